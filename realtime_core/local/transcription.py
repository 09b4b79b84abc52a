"""One transcription session of the embedded server (`?intent=transcription`), as a state machine. Pure.

The session takes audio, and answers each committed turn with a transcript. The session has no model, no items of the
client, no tools and no responses. Events and fields of a conversation are refused. The form of the events is that of
https://developers.openai.com/api/docs/guides/realtime-transcription and of the reference of `session.update`. The texts
and codes of three errors are those that users have quoted in public issue threads: `invalid_model`, `invalid_parameter`
(an update of the other type of session), and the refusal of turn detection.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from ..sources import Sources
from .conversation import handle_message
from .input_audio import InputAudio, decode_append
from .items import Item, Items
from .outbox import HangUp, Outbox
from .rejection import Rejected, missing
from .reply import Heard
from .schedule import Schedule
from .session_config import SERVER_VAD, check_transcription_update, merge
from .transcripts import Transcripts
from .usage import input_audio_tokens

__all__ = ["Transcription"]

_WITHOUT_TURN_DETECTION = ("gpt-live-transcribe", "gpt-realtime-whisper")
"""The models that accept only commits of the client, and refuse turn detection."""
_REFUSED = 4000
"""The code with which the server closes a connection whose address is invalid."""


class Transcription:
    """One transcription session. Its methods are those of `Conversation`, the other kind of session. `now` is in
    seconds on any steady clock. `transcripts` has the transcripts of the turns in order. When no transcript is left,
    the session sends the length of the speech as the transcript. `model` is the model in the client's URL. If `model`
    is not None, the session closes the connection with an error, as the real server does, because a transcription
    session takes its model from `session.update`.
    """

    def __init__(
        self,
        transcripts: Iterator[Heard],
        *,
        sources: Sources,
        now: float,
        expires_at: int,
        expires_after_s: float = 3600.0,
        model: str | None = None,
    ) -> None:
        self._heard = transcripts
        self._sources = sources
        self._outbox = outbox = Outbox(sources)
        self._schedule = schedule = Schedule(now)
        self._items = Items()
        self._transcripts = Transcripts(outbox, schedule)
        self._input = InputAudio()
        self._speech_item_id: str | None = None
        self.wanted_speech: list[str] = []
        """The texts that must be synthesised. The list is always empty, because the session says nothing."""
        self._session: dict[str, Any] = {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": sources.id("sess"),
            "expires_at": expires_at,
            "include": None,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": {**SERVER_VAD},
                }
            },
        }
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": lambda event: self._commit(self._speech_item_id or self._sources.id("item")),
            "input_audio_buffer.clear": self._clear,
        }
        if model is not None:
            message = "You must not provide a model parameter for transcription sessions."
            outbox.reject(Rejected(message, code="invalid_model"), None)
            outbox.hang_up(_REFUSED, "invalid_request_error.invalid_model")
            return
        self._input.configure(self._audio)
        outbox.emit("session.created", session=self._session)
        schedule.after(expires_after_s, lambda: self._expire(expires_after_s))

    @property
    def outbox(self) -> list[str | HangUp]:
        """The messages to send to the client, and at most one `HangUp` as the last element, in order."""
        return self._outbox.actions

    @property
    def next_due(self) -> float | None:
        """The time at which `run` must be called next, or None if no action is planned."""
        return self._schedule.next_due

    def receive(self, message: str | bytes, now: float) -> None:
        """Executes one JSON message of the client, such as `session.update` or a piece of audio, at the time `now`. The
        answers are appended to `outbox`. An invalid message causes an `error` event for the client, and no exception.
        """
        self._schedule.now = now
        handle_message(message, self._handlers, self._outbox)

    def run(self, now: float) -> None:
        """Performs the planned actions of this transcription session that are due at the time `now`, such as sending a
        transcript or ending an expired session. The messages of these actions are appended to `outbox`. `next_due` says
        when this method must be called next.
        """
        self._schedule.run(now)

    def speech_is_ready(self, now: float) -> None:
        """Does nothing, because a transcription session never speaks. The server calls this method of any session when
        a text of `wanted_speech` has been synthesised.
        """

    @property
    def _audio(self) -> dict[str, Any]:
        return self._session["audio"]["input"]  # type: ignore[no-any-return]

    def _update(self, event: dict[str, Any]) -> None:
        if "session" not in event:
            raise missing("session")
        change = event["session"]
        check_transcription_update(change)
        session = copy.deepcopy(self._session)
        audio = session["audio"]["input"]
        if "include" in change:
            session["include"] = change["include"]
        for name, value in change.get("audio", {}).get("input", {}).items():
            merge(audio, name, value)
        model = (audio["transcription"] or {}).get("model")
        if model in _WITHOUT_TURN_DETECTION and audio["turn_detection"] is not None:
            if "turn_detection" in change.get("audio", {}).get("input", {}):
                message = "Turn detection is not supported for this transcription model."
                raise Rejected(message, code="invalid_value", param="session.audio.input.turn_detection")
            audio["turn_detection"] = None
        self._session = session
        self._input.configure(audio)
        if not self._input.speaking:
            self._speech_item_id = None
        self._outbox.emit("session.updated", session=self._session)

    def _append(self, event: dict[str, Any]) -> None:
        for edge in self._input.append(decode_append(event.get("audio"))):
            if edge.kind == "started":
                self._speech_item_id = item_id = self._sources.id("item")
                self._outbox.emit("input_audio_buffer.speech_started", audio_start_ms=edge.at_ms, item_id=item_id)
            else:
                item_id = self._speech_item_id or self._sources.id("item")
                self._outbox.emit("input_audio_buffer.speech_stopped", audio_end_ms=edge.at_ms, item_id=item_id)
                self._commit(item_id, edge.at_ms)

    def _clear(self, event: dict[str, Any]) -> None:
        self._input.clear()
        self._speech_item_id = None
        self._outbox.emit("input_audio_buffer.cleared")

    def _commit(self, item_id: str, end_ms: float | None = None) -> None:
        committed = self._input.commit(end_ms)
        self._speech_item_id = None
        wire = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
        content = [{"type": "input_audio", "transcript": None}]
        item = Item({**wire, "content": content}, audio_tokens=input_audio_tokens(committed.duration_ms))
        previous = self._items.append(item)
        self._outbox.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        for type in ("conversation.item.added", "conversation.item.done"):
            self._outbox.emit(type, previous_item_id=previous, item=item.wire)
        if self._audio["transcription"] is not None:
            self._transcripts.expect(item, next(self._heard, Heard()), committed.duration_ms / 1000)

    def _expire(self, after_s: float) -> None:
        message = f"Your session hit the maximum duration of {after_s / 60:g} minutes."
        self._outbox.reject(Rejected(message, code="session_expired"), None)
        self._outbox.hang_up(1001, message)
