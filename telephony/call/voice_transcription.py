"""Transcribes the voice of a supervisor while the supervisor speaks to the caller.

The transcription never delays the call: audio waits in a bounded buffer until the session is open, and is dropped if
the server reads too slowly. If no session can be opened, or the session ends, the supervisor types the words.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from realtime_core import TranscriptionSession
from realtime_core.audio.resample import Upsampler3
from realtime_core.errors import RealtimeCoreError

from .line.speech_turns import SpeechTurns

__all__ = ["SpokenWords", "VoiceTranscription"]

log = logging.getLogger(__name__)

_MAX_HELD = 500
"""The maximum number of pieces (10 s of 20 ms) that wait until the session is open. Then the oldest are dropped."""


@dataclass(slots=True)
class SpokenWords:
    """One turn of the supervisor. `part` is the id of the piece of audio in which the turn began (see
    `Supervision.voice`), and `began` is the time of the event loop, in seconds, at which the turn began. The text is
    empty if the words were not understood.
    """

    part: str
    began: float
    text: str = ""
    usage: Mapping[str, Any] | None = None


class VoiceTranscription:
    """Transcribes the voice of a supervisor who has taken over the call. `run` must be started as a task. `on_words` is
    called with each turn of speech. `now` is a time of the event loop in seconds.
    """

    def __init__(
        self,
        open_session: Callable[[], Awaitable[TranscriptionSession]],
        on_words: Callable[[SpokenWords], None],
        *,
        name: str,
    ) -> None:
        self.is_available = True
        """Whether the words of the supervisor are transcribed. False after a failure or after `finish`."""
        self._open_session = open_session
        self._on_words = on_words
        self._name = name
        self._turns = SpeechTurns()
        self._up = Upsampler3()
        self._turn: SpokenWords | None = None
        self._session: TranscriptionSession | None = None
        self._held: deque[bytes | SpokenWords] = deque()
        """The audio, and the ends of turns, that wait for the session."""
        self._waiting: set[asyncio.Future[Any]] = set()
        self._settled = asyncio.Event()
        """Set when the session is open, or cannot be opened."""
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Opens the transcription session, passes the supervisor's audio to it, and closes it when `finish` is called
        or the task is cancelled. If the session cannot be opened, nothing is transcribed, and `is_available` becomes
        False.
        """
        try:
            session = await self._open_session()
        except RealtimeCoreError as error:
            self._fail(str(error))
            return
        except Exception as error:  # a model of the application
            log.exception("%s: the transcription session of the model failed.", self._name)
            self._fail(type(error).__name__)
            return
        try:
            self._session = session
            while self._held:
                self._pass_on(self._held.popleft())
            self._settled.set()
            await self._over.wait()
        finally:
            try:
                await session.close()
            except Exception:  # a model of the application
                log.exception("%s: the transcription session could not be closed.", self._name)

    def hear(self, ulaw: bytes, part: str, now: float) -> bool:
        """Transcribes a piece of the supervisor's voice (mu-law, 8 kHz), which the caller hears at the time `now`.
        Returns whether a turn of speech begins with this piece. `part` is the id of the audio without a gap to which
        the piece belongs. The transcript of a turn gets the id of its first piece.
        """
        if not self.is_available or (piece := self._turns.push(ulaw)) is None:
            return False
        begins = self._turn is None
        if self._turn is None:
            self._turn = SpokenWords(part, now)
        self._put(self._up.push_ulaw(piece.ulaw))
        if piece.ends:
            self._end_turn()
        return begins

    def cut(self) -> None:
        """Ends the turn in progress, because the caller does not hear the supervisor for some time, for example because
        the supervisor's connection was lost.
        """
        if self._turns.cut():
            self._end_turn()

    async def finish(self, within_s: float) -> None:
        """Ends the turn in progress, and waits for all transcripts, at most `within_s` seconds. Later transcripts are
        lost.
        """
        self.cut()
        try:
            async with asyncio.timeout(within_s):
                if self.is_available and (self._held or self._waiting):
                    await self._settled.wait()
                if self._waiting:
                    await asyncio.wait(self._waiting)
        except TimeoutError:
            log.warning("%s: the last words of the supervisor were not transcribed in time.", self._name)
        self._over.set()
        self.is_available = False
        self._held.clear()

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            self._put(turn)

    def _put(self, entry: bytes | SpokenWords) -> None:
        if self._session is not None:
            self._pass_on(entry)
            return
        self._held.append(entry)
        if len(self._held) > _MAX_HELD:
            oldest = next((n for n, each in enumerate(self._held) if isinstance(each, bytes)), 0)
            del self._held[oldest]

    def _pass_on(self, entry: bytes | SpokenWords) -> None:
        session = self._session
        assert session is not None
        try:
            if not session.is_open:
                self._fail("the session has ended")
            elif isinstance(entry, bytes):
                session.append(entry)
            else:
                self._commit(session, entry)
        except Exception as error:  # a model of the application
            log.exception("%s: the transcription session of the model failed.", self._name)
            self._fail(type(error).__name__)

    def _commit(self, session: TranscriptionSession, turn: SpokenWords) -> None:
        def settled(future: asyncio.Future[Any]) -> None:
            self._waiting.discard(future)
            error = None if future.cancelled() else future.exception()
            if future.cancelled() or self._over.is_set():
                return
            if error is not None:
                log.warning("%s: words of the supervisor were not transcribed: %s", self._name, error)
            else:
                turn.text, turn.usage = future.result().transcript.strip(), future.result().usage
            self._on_words(turn)

        future = asyncio.ensure_future(session.commit())  # raises `TypeError` for an object that is no future
        self._waiting.add(future)
        future.add_done_callback(settled)

    def _fail(self, why: str) -> None:
        if self.is_available:
            log.warning("%s: the supervisor's words are not transcribed: %s", self._name, why)
        self.is_available = False
        self._held.clear()
        self._settled.set()
