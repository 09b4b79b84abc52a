"""One session of the embedded server: the OpenAI Realtime protocol as a state machine. Pure.

`receive` takes a client's message, `run` does what has become due; what is to be done lies in `outbox` then: texts to
send, and at most one `HangUp`, last. `next_due` tells when `run` is wanted. No sockets, tasks or clocks here.

Behaviour: the Realtime API's reference (GA), client and server events.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..sources import Sources
from .checks import obj, text
from .input_audio import InputAudio
from .items import Item, Items
from .rejection import Rejected, invalid_type, invalid_value, missing
from .reply import Director, Situation, ToolOutput
from .response import Response, Waits
from .schedule import Deadline, Schedule
from .session_config import SessionConfig, check_response_options
from .usage import input_audio_tokens
from .vad import Edge
from .voice import Speech, Voice

__all__ = ["Conversation", "HangUp"]

MAX_APPEND_BYTES = 15 * 2**20
_TRANSCRIPTION_S = 0.3
"""From the commit of what the caller said to its transcript."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection; 1006: drop it without a closing handshake."""

    code: int
    reason: str


@dataclass(slots=True)
class _News:
    """What came in since the last response."""

    speech_s: float = 0.0
    texts: list[str] = field(default_factory=list)
    outputs: list[ToolOutput] = field(default_factory=list)


class Conversation:
    def __init__(
        self,
        director: Director,
        voice: Voice,
        *,
        sources: Sources,
        now: float,
        expires_at: int,
        expires_after_s: float = 3600.0,
        model: str | None = None,
        speed: float = 5.0,
        latency_s: float = 0.3,
    ) -> None:
        self.outbox: list[str | HangUp] = []
        self.items = Items()
        self.config = SessionConfig(sources.id("sess"), model, expires_at)
        self.wanted_speech: list[str] = []
        """Lines to be synthesised (`Voice.prepare`) before an answer goes on: take one out, then `speech_is_ready`."""
        self._director = director
        self._voice = voice
        self._sources = sources
        self._speed = speed
        self._latency_s = latency_s
        self._now = now
        self._event_prefix = f"event_{sources.token(6)}"
        self._events = 0
        self._hung_up = False
        self._conversation_id = sources.id("conv")
        self._input = InputAudio()
        self._input.configure(self.config.input)
        self._schedule = Schedule()
        self._news = _News()
        self._responses: dict[str, _Running] = {}
        self._active: Response | None = None
        self._speech_item_id: str | None = None
        self._idle: Deadline | None = None
        self._stalled_until = 0.0
        self._held_back: list[str | bytes] = []
        self._handlers = {
            "session.update": self._session_update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit_asked,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._create,
            "conversation.item.retrieve": self._retrieve,
            "conversation.item.truncate": self._truncate,
            "conversation.item.delete": self._delete,
            "response.create": self._create_response,
            "response.cancel": self._cancel,
        }
        self.emit("session.created", session=self.config.object)
        self.emit("conversation.created", conversation={"id": self._conversation_id, "object": "realtime.conversation"})
        self._schedule.at(now + expires_after_s, lambda _: self._expire(expires_after_s))

    # Driving it.

    def receive(self, message: str | bytes, now: float) -> None:
        """Take one message of the client's."""
        self._now = now
        if now < self._stalled_until:
            self._held_back.append(message)
            return
        event_id: str | None = None
        try:
            event = _parse(message)
            event_id = event.get("event_id")
            handler = self._handlers.get(event["type"])
            if handler is None:
                raise invalid_value("type", event["type"], *self._handlers)
            handler(event)
        except Rejected as rejection:
            self.emit("error", error=rejection.fields(event_id if isinstance(event_id, str) else None))

    def run(self, now: float) -> None:
        """Do what is due."""
        if now < self._stalled_until:
            return
        self._now = now
        held_back, self._held_back = self._held_back, []
        for message in held_back:
            self.receive(message, now)
        self._schedule.run(now)

    @property
    def next_due(self) -> float | None:
        due = self._schedule.next_due
        return due if due is None or due >= self._stalled_until else self._stalled_until

    def speech_is_ready(self, now: float) -> None:
        """A line of `wanted_speech` was prepared."""
        self._now = now
        for running in list(self._responses.values()):
            if running.deadline is None:
                self._step(running, now)

    # The caller's audio.

    def _append(self, event: dict[str, Any]) -> None:
        audio = event.get("audio")
        if not isinstance(audio, str):
            raise missing("audio") if audio is None else invalid_type("audio", "a string", audio)
        try:
            data = binascii.a2b_base64(audio, strict_mode=True)
        except ValueError:
            message = "Invalid 'audio'. Expected base64-encoded audio bytes, but got an invalid value."
            raise Rejected(message, code="invalid_value", param="audio") from None
        if len(data) > MAX_APPEND_BYTES:
            raise Rejected("Invalid 'audio': over 15 MiB.", code="string_above_max_length", param="audio")
        for edge in self._input.append(data):
            self._speech_edge(edge)

    def _speech_edge(self, edge: Edge) -> None:
        turns = self._input.turns
        assert turns is not None
        if edge.kind == "started":
            self._speech_item_id = self.new_id("item")
            self._stop_waiting_for_speech()
            self.emit("input_audio_buffer.speech_started", audio_start_ms=edge.at_ms, item_id=self._speech_item_id)
            if turns.interrupt_response and self._active is not None:
                self._end(self._active, "turn_detected")
            return
        item_id = self._speech_item_id or self.new_id("item")
        self.emit("input_audio_buffer.speech_stopped", audio_end_ms=edge.at_ms, item_id=item_id)
        self._commit(item_id, edge.at_ms)
        if turns.create_response:
            self._respond({}, None)

    def _commit_asked(self, event: dict[str, Any]) -> None:
        self._commit(self._speech_item_id or self.new_id("item"))

    def _commit(self, item_id: str, end_ms: float | None = None) -> None:
        committed = self._input.commit(end_ms)
        self._speech_item_id = None
        content = [{"type": "input_audio", "transcript": None}]
        wire = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
        item = Item({**wire, "content": content}, audio_tokens=input_audio_tokens(committed.duration_ms))
        previous = self.items.append(item)
        self.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        self._show(item)
        seconds = committed.duration_ms / 1000
        self._news.speech_s += seconds
        heard = self._director.heard()
        if self.config.input["transcription"] is not None:
            due = self._now + _TRANSCRIPTION_S
            self._schedule.at(due, lambda _: self._transcribe(item, heard.text, heard.failed, seconds))

    def _transcribe(self, item: Item, heard: str | None, failed: bool, seconds: float) -> None:
        name = "conversation.item.input_audio_transcription"
        where = {"item_id": item.id, "content_index": 0}
        if failed:
            error = {
                "type": "transcription_error",
                "code": "audio_unintelligible",
                "message": "The script says so.",
                "param": None,
            }
            self.emit(f"{name}.failed", **where, error=error)
            return
        transcript = f"[{seconds:.1f} s of speech]" if heard is None else heard
        for i, word in enumerate(transcript.split()):
            self.emit(f"{name}.delta", **where, delta=f" {word}" if i else word)
        item.wire = {**item.wire, "content": [{"type": "input_audio", "transcript": transcript}]}
        self.emit(
            f"{name}.completed",
            **where,
            transcript=transcript,
            usage={"type": "duration", "seconds": round(seconds, 2)},
        )

    def _clear(self, event: dict[str, Any]) -> None:
        self._input.clear()
        self._speech_item_id = None
        self.emit("input_audio_buffer.cleared")

    # The session.

    def _session_update(self, event: dict[str, Any]) -> None:
        if "session" not in event:
            raise missing("session")
        self.config.update(event["session"], responding=self._active is not None)
        self._input.configure(self.config.input)
        if not self._input.speaking:
            self._speech_item_id = None
        self.emit("session.updated", session=self.config.object)

    def _expire(self, after_s: float) -> None:
        message = f"Your session hit the maximum duration of {after_s / 60:g} minutes."
        self.emit("error", error=Rejected(message, code="session_expired").fields(None))
        self.hang_up(1001, message)

    def _wait_for_speech(self, from_s: float) -> None:
        """The idle time-out: it runs from when the answer has been played."""
        turns = self._input.turns
        self._stop_waiting_for_speech()
        if turns is not None and turns.idle_timeout_s is not None and not self._input.speaking:
            self._idle = self._schedule.at(from_s + turns.idle_timeout_s, self._nobody_spoke)

    def _stop_waiting_for_speech(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _nobody_spoke(self, due: float) -> None:
        turns, end_ms, item_id = self._input.turns, self._input.position_ms, self.new_id("item")
        if turns is None or turns.idle_timeout_s is None or self._active is not None:
            return
        start_ms = max(0.0, end_ms - turns.idle_timeout_s * 1000)
        fields = {"audio_start_ms": int(start_ms), "audio_end_ms": int(end_ms), "item_id": item_id}
        self.emit("input_audio_buffer.timeout_triggered", **fields)
        try:
            self._input.commit()
        except Rejected:
            pass  # The client sends no audio at all: there is nothing to commit, and still somebody to ask.
        else:
            wire = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
            item = Item({**wire, "content": [{"type": "input_audio", "transcript": None}]})
            self.emit("input_audio_buffer.committed", previous_item_id=self.items.append(item), item_id=item_id)
            self._show(item)
        self._respond({}, None, idle=True)

    # Items.

    def _create(self, event: dict[str, Any]) -> None:
        item = self.items.create(event.get("item"), event.get("previous_item_id"), self.new_id("item"))
        wire = item.wire
        if wire["type"] == "function_call_output":
            call = self.items.call(wire["call_id"])
            assert call is not None
            self._news.outputs.append(ToolOutput(call.wire["name"], wire["output"]))
        elif wire["type"] == "message" and wire["role"] == "user":
            self._news.texts += _texts(wire)
            self._news.speech_s += any(part["type"] == "input_audio" for part in wire["content"])
        self._show(item)

    def _show(self, item: Item) -> None:
        previous = self.items.previous_id(item.id)
        for type in ("conversation.item.added", "conversation.item.done"):
            self.emit(type, previous_item_id=previous, item=item.wire)

    def _retrieve(self, event: dict[str, Any]) -> None:
        self.emit("conversation.item.retrieved", item=self.items.retrieve(event.get("item_id")).with_audio())

    def _truncate(self, event: dict[str, Any]) -> None:
        item = self.items.truncate(event)
        position = {"content_index": event["content_index"], "audio_end_ms": event["audio_end_ms"]}
        self.emit("conversation.item.truncated", item_id=item.id, **position)

    def _delete(self, event: dict[str, Any]) -> None:
        self.items.delete(event.get("item_id"))
        self.emit("conversation.item.deleted", item_id=event["item_id"])

    # Responses.

    def _create_response(self, event: dict[str, Any]) -> None:
        options = event.get("response") or {}
        check_response_options(options)
        self._respond(options, event.get("event_id"))

    def _respond(self, options: Mapping[str, Any], event_id: str | None, *, idle: bool = False) -> None:
        in_conversation = options.get("conversation") != "none"
        if in_conversation and self._active is not None:
            message = (
                f"Conversation already has an active response in progress: {self._active.id}. "
                "Wait until the response is finished before creating a new one."
            )
            rejection = Rejected(message, code="conversation_already_has_active_response")
            self.emit("error", error=rejection.fields(event_id))
            return
        self._stop_waiting_for_speech()
        effective = self._effective(options)
        reply = self._director.reply(self._situation(options, effective, idle=idle))
        if reply.trouble is not None and reply.trouble.kind == "error":
            trouble = reply.trouble
            self._director.begun(reply)
            rejection = Rejected(trouble.message, code=trouble.code, type=trouble.code)
            self.emit("error", error=rejection.fields(event_id))
            return
        response = Response(
            self,
            reply,
            effective,
            conversation_id=self._conversation_id if in_conversation else None,
            speed=self._speed,
            latency_s=self._latency_s,
        )
        if in_conversation:
            self._active = response
        running = self._responses[response.id] = _Running(response, response.perform())
        self._step(running, self._now)

    def _effective(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The session's configuration with the options of one response over it."""
        session = self.config.object
        output = {**session["audio"]["output"], **options.get("audio", {}).get("output", {})}
        return {**session, **options, "audio": {"output": output}}

    def _situation(self, options: Mapping[str, Any], effective: Mapping[str, Any], *, idle: bool) -> Situation:
        own = {"instructions": effective["instructions"], "tools": effective["tools"], "idle": idle}
        if effective["tool_choice"] == "none":
            own["tools"] = []
        asked = options.get("instructions", "")
        if "input" in options or options.get("conversation") == "none":
            # Out of band, or with an input of its own: what came in before still waits for its answer.
            given = [wire for wire in options.get("input", ()) if isinstance(wire, dict)]
            return Situation(**own, asked=asked, texts=[text for wire in given for text in _texts(wire)])
        news, self._news = self._news, _News()
        return Situation(**own, asked=asked, speech_s=news.speech_s, texts=news.texts, outputs=news.outputs)

    def _step(self, running: _Running, due: float) -> None:
        """Go on with a response; when it waits, come back."""
        running.deadline = None
        wait = next(running.waits, None)
        if wait is not None and running.response.id in self._responses:
            running.deadline = self._schedule.at(due + wait, lambda at: self._step(running, at))

    def _cancel(self, event: dict[str, Any]) -> None:
        response_id = event.get("response_id")
        running = self._responses.get(response_id) if isinstance(response_id, str) else None
        response = running.response if running is not None else self._active if response_id is None else None
        if response is None:
            raise Rejected("Cancellation failed: no active response found", code="response_cancel_not_active")
        self._end(response, "client_cancelled")

    def _end(self, response: Response, reason: Any) -> None:
        running = self._responses[response.id]
        running.waits.close()
        if running.deadline is not None:
            running.deadline.cancel()
        response.cancel(reason)

    # What a response needs (`response.Host`).

    def emit(self, type: str, /, **fields: Any) -> None:
        if self._hung_up:
            return
        event = {"type": type, "event_id": self._event_id(), **fields}
        self.outbox.append(orjson.dumps(event).decode())

    def emit_audio(self, response_id: str, item_id: str, output_index: int, audio_base64: str) -> None:
        # By hand: the largest message by far, and its base64 text is the same in every call.
        self.config.audio_was_sent()
        self.outbox.append(
            f'{{"type":"response.output_audio.delta","event_id":"{self._event_id()}","response_id":"{response_id}",'
            f'"item_id":"{item_id}","output_index":{output_index},"content_index":0,"delta":"{audio_base64}"}}'
        )

    def _event_id(self) -> str:
        self._events += 1
        return f"{self._event_prefix}{self._events:08d}"

    def new_id(self, prefix: str) -> str:
        return self._sources.id(prefix)

    def speech(self, text: str, clip: str | None) -> Speech | None:
        speech = self._voice.speech(text, clip)
        if speech is None and text not in self.wanted_speech:
            self.wanted_speech.append(text)
        return speech

    def hang_up(self, code: int, reason: str) -> None:
        if not self._hung_up:
            self._hung_up = True
            self.outbox.append(HangUp(code, reason))

    def stall(self, seconds: float) -> None:
        self._stalled_until = self._now + seconds

    def begun(self, response: Response) -> None:
        self._director.begun(response.reply)

    def finished(self, response: Response) -> None:
        del self._responses[response.id]
        if response is self._active:
            self._active = None
            self._wait_for_speech(self._now + response.audio_s)


@dataclass(slots=True)
class _Running:
    """A response at work: its generator, and when to go on with it (None: when its speech is there)."""

    response: Response
    waits: Waits
    deadline: Deadline | None = None


_ITEM_ID = obj({"type": text(), "event_id": text(), "item_id": text()}, "item_id")


def _parse(message: str | bytes) -> dict[str, Any]:
    if isinstance(message, bytes):
        raise Rejected("Binary messages are not supported: send JSON text.", code="invalid_message")
    try:
        event = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise Rejected(f"The message is not valid JSON: {error}.", code="invalid_json") from None
    if not isinstance(event, dict):
        raise invalid_type("event", "an object", event)
    if not isinstance(event.get("type"), str):
        raise missing("type")
    return event


def _texts(wire: Mapping[str, Any]) -> list[str]:
    """What was written in a message."""
    parts = wire.get("content")
    return [part["text"] for part in parts or () if isinstance(part, dict) and isinstance(part.get("text"), str)]
