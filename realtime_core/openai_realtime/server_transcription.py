"""One transcription session with the server, as a state machine. Pure.

The session has no conversation and no responses. Turn detection is off, and the client commits each turn: the live
models (`gpt-live-transcribe`, `gpt-realtime-whisper`) refuse turn detection, and all models accept commits. Sources:
https://developers.openai.com/api/docs/guides/realtime-transcription and the types
`RealtimeTranscriptionSessionCreateRequest` and `ConversationItemInputAudioTranscription*Event` of `openai`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import RealtimeCoreError, ServerRejected
from ..model_events import RealtimeModelInputAudioTranscriptionCompletedEvent
from . import server_events as wire
from .encoding import EventIds, encode, encode_append
from .protocol import decode_object, parse
from .server_errors import Fault, classify, exception

__all__ = ["Outcome", "ServerTranscription"]

Outcome = RealtimeModelInputAudioTranscriptionCompletedEvent | RealtimeCoreError

_PCM = {"type": "audio/pcm", "rate": 24000}
_CREATED = ("session.created", "transcription_session.created")
_UPDATED = ("session.updated", "transcription_session.updated")


class ServerTranscription:
    """The client's side of one transcription session of the server. The session ends with its connection. `send` sends
    a message to the server. `settle` is called once for each turn of speech, with the number of the turn and its
    transcript, or with the error if there is no transcript. `on_delta` is called with the id of an item and a piece of
    its transcript. `transcription` has the settings of the transcription, in the form of `audio.input.transcription` of
    the session object.
    """

    def __init__(
        self,
        send: Callable[[str], None],
        transcription: Mapping[str, Any],
        *,
        settle: Callable[[int, Outcome], None],
        on_delta: Callable[[str, str], None],
    ) -> None:
        self.created = False
        self.configured = False
        self.rejection: ServerRejected | None = None
        self.expired = False
        self.unusable = False
        self._send = send
        self._transcription = transcription
        self._settle = settle
        self._on_delta = on_delta
        self._ids = EventIds()
        self._turns = 0
        self._committing: deque[tuple[str, int]] = deque()
        """The commits that the server has not answered, as (event id, turn)."""
        self._transcribing: dict[str, int] = {}
        """The turns without a transcript, by item id."""

    def configure(self, now: float) -> None:
        """Sends the settings of the session to the server (`session.update`): the audio format, the transcription
        settings, and no turn detection. `now` is in seconds on any steady clock.
        """
        audio = {"format": _PCM, "transcription": dict(self._transcription), "turn_detection": None}
        session = {"type": "transcription", "audio": {"input": audio}}
        self._send(encode(self._ids(), "session.update", {"session": session}))

    def append(self, audio: bytes) -> None:
        """Appends audio (PCM, 16 bits, 24 kHz, mono) to the current turn of speech."""
        self._send(encode_append(audio))

    def commit(self) -> int:
        """Ends the current turn of speech. Returns the number of this turn, counted from 0."""
        turn, event_id = self._turns, self._ids()
        self._turns += 1
        self._committing.append((event_id, turn))
        self._send(encode(event_id, "input_audio_buffer.commit"))
        return turn

    def end(self, error: RealtimeCoreError) -> None:
        """Ends all turns that have no transcript yet with the exception `error`, because the session is over."""
        turns = [*self._transcribing.values(), *(turn for _, turn in self._committing)]
        self._committing.clear()
        self._transcribing.clear()
        for turn in turns:
            self._settle(turn, error)

    def receive(self, message: str | bytes) -> None:
        """Handles one JSON message of the server: passes transcripts on to `settle` and `on_delta`, and stores whether
        the server has accepted the settings of the session. Unknown and malformed messages have no effect.
        """
        data = parse(message)
        if isinstance(data, wire.Malformed):
            return
        if data["type"] in _CREATED:
            self.created = True
        elif data["type"] in _UPDATED:
            self.configured = self.created
        match decode_object(data):
            case wire.Committed(item_id=item_id) if self._committing:
                _, self._transcribing[item_id] = self._committing.popleft()
            case wire.TranscriptionDelta() as event if event.delta:
                self._on_delta(event.item_id, event.delta)
            case wire.TranscriptionCompleted() as event:
                self._transcribed(event.item_id, event.model_event())
            case wire.TranscriptionFailed() as event:
                self._transcribed(event.item_id, _failure(event.error))
            case wire.ServerError() as event:
                self._error(event)

    def _transcribed(self, item_id: str, outcome: Outcome) -> None:
        turn = self._transcribing.pop(item_id, None)
        if turn is not None:  # a repeated event is left out
            self._settle(turn, outcome)

    def _error(self, event: wire.ServerError) -> None:
        error = exception(event)
        self.expired = self.expired or classify(event) is Fault.EXPIRED
        if not self.configured:
            self.rejection = self.rejection or error
            return
        refused = [each for each in self._committing if each[0] == event.event_id]
        for each in refused:
            self._committing.remove(each)
            self._settle(each[1], error)


def _failure(error: Mapping[str, Any]) -> ServerRejected:
    fields = {name: str(error.get(name) or "") for name in ("type", "code", "param")}
    return ServerRejected(str(error.get("message") or "The speech could not be transcribed."), **fields)
