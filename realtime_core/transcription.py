"""A session that only transcribes speech: the interface that a model can offer beside the conversation."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from .model_events import RealtimeModelInputAudioTranscriptionCompletedEvent

__all__ = ["OnDelta", "TranscriptionSession"]

OnDelta = Callable[[str, str], None]
"""A function that is called with the id of an item and a piece of the transcript of this item."""


class TranscriptionSession(ABC):
    """An open transcription session. The user appends audio, and commits the audio of one turn of speech. The server
    then returns the transcript of the turn. The methods must be called from the thread of the event loop.
    """

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether the session can still transcribe speech."""

    @abstractmethod
    def append(self, audio: bytes) -> bool:
        """Appends audio (PCM, 16 bits, 24 kHz, mono, any length) to the current turn of speech. Never blocks. Returns
        False if the audio was dropped, because the server reads too slowly or the session is over.
        """

    @abstractmethod
    def commit(self) -> asyncio.Future[RealtimeModelInputAudioTranscriptionCompletedEvent]:
        """Ends the current turn of speech, and returns a future with the transcript of this turn. A turn needs at least
        100 ms of audio.

        The future raises `ServerRejected` if the server refused the turn or could not transcribe it, and
        `ConnectionLost` or `SessionExpired` if the session ended before.
        """

    @abstractmethod
    async def close(self) -> None:
        """Closes the session, in at most a second. Pending transcripts are lost. Idempotent."""
