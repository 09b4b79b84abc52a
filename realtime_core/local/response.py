"""One response of the embedded server, from `response.created` to `response.done`. Pure.

`Response.perform` is a generator that emits events and yields the time to wait before the next event, so the code has
the same order as the events of the GA protocol. Audio is sent in bursts of 200 ms at `speed` times real time.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from typing import Any, Literal, Protocol

from .formats import wire_format
from .items import Item, Items
from .outbox import Outbox
from .reply import Call, Reply, ToolOutput, Trouble
from .usage import audio_limit_s, usage
from .voice import Speech
from .voice.speech import BURST_MS

__all__ = ["Host", "Response", "Waits"]

Waits = Generator[float | None, None, None]
"""The generator that runs one response of the embedded server. The generator yields the time in seconds after which it
must be resumed. If the generator yields None, it must be resumed when the requested speech is ready.
"""

_BURST_S = BURST_MS / 1000
_ARGUMENT_STEP = 24
_STEP_S = 0.01
"""The delay in seconds between steps without audio."""

Status = Literal["completed", "cancelled", "failed", "incomplete"]


class Host(Protocol):
    """The methods and objects of the embedded server's session that a response uses."""

    @property
    def outbox(self) -> Outbox: ...
    @property
    def items(self) -> Items: ...

    def new_id(self, prefix: str) -> str: ...
    def speech(self, text: str, clip: str | None) -> Speech | None: ...
    def stall(self, seconds: float) -> None: ...
    def begun(self, response: Response) -> None: ...
    def audio_was_sent(self) -> None: ...
    def finished(self, response: Response) -> None: ...
    def tool_has_run(self, output: ToolOutput) -> None: ...


class Response:
    """One response of the embedded server. `options` are the options of `response.create`, merged over the settings of
    the session. `conversation_id` is None for a response outside of the conversation.
    """

    def __init__(
        self,
        host: Host,
        reply: Reply,
        options: Mapping[str, Any],
        *,
        conversation_id: str | None,
        speed: float,
        latency_s: float,
    ) -> None:
        self.id = host.new_id("resp")
        self.reply = reply
        self.in_conversation = conversation_id is not None
        self.audio_s = 0.0
        self._host = host
        self._outbox = host.outbox
        self._options = options
        self._speed = speed
        self._latency_s = latency_s
        self._format = wire_format(options["audio"]["output"]["format"])
        self._text_only = reply.text_only or options["output_modalities"] == ["text"]
        self._output: list[Item] = []
        self._open: Item | None = None
        self._said = ""
        self._done = False
        self._has_begun = False
        self.wire: dict[str, Any] = {
            "object": "realtime.response",
            "id": self.id,
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "conversation_id": conversation_id,
            "output_modalities": ["text"] if self._text_only else ["audio"],
            "max_output_tokens": options["max_output_tokens"],
            "audio": {"output": {key: options["audio"]["output"][key] for key in ("format", "voice")}},
            "usage": None,
            "metadata": options.get("metadata"),
        }

    def perform(self) -> Waits:
        reply, trouble = self.reply, self.reply.trouble
        self._outbox.emit("response.created", response=self.wire)
        self._outbox.emit("rate_limits.updated", rate_limits=_RATE_LIMITS)
        yield self._latency_s
        if trouble is not None and trouble.at_s is None and (trouble.kind != "incomplete" or not reply.say):
            yield from self._apply_trouble(trouble)
        if reply.say:
            yield from self._write() if self._text_only else self._speak()
        for call in reply.calls:
            yield from self._call(call) if call.server_label is None else self._call_hosted(call)
        self._begin()
        self._finish("completed")

    def cancel(self, reason: Literal["turn_detected", "client_cancelled"]) -> None:
        """Ends the response immediately, with `reason` in its `status_details`. Output items that have begun are closed
        as incomplete. The generator of `perform` must be closed before this call, because it would emit further events.
        """
        self._finish("cancelled", reason=reason)

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._host.begun(self)

    def _apply_trouble(self, trouble: Trouble) -> Waits:
        self._begin()
        match trouble.kind:
            case "stall":
                self._host.stall(trouble.stall_s)
                yield _STEP_S
                return
            case "close":
                self._outbox.hang_up(trouble.close_code, trouble.message)
            case "incomplete":
                self._finish("incomplete", reason=trouble.code)
            case _:
                error = {"type": _error_type(trouble.code), "code": trouble.code, "message": trouble.message}
                self._finish("failed", error=error)
        while True:  # The response has ended and emits nothing more.
            yield None

    # Messages.

    def _speak(self) -> Waits:
        reply = self.reply
        while (speech := self._host.speech(reply.say, reply.clip)) is None:
            yield None
        item = self._add({"type": "message", "role": "assistant", "content": []})
        item.speech, item.format = speech, self._format
        self._part("response.content_part.added", part={"type": "audio", "transcript": ""})
        self._begin()
        trouble = self._trouble(speech)
        trouble_at = math.inf if trouble is None else _bursts(trouble.at_s or 0.0)
        pauses = {_bursts(pause.at_s): pause.pause_s for pause in reply.pauses}
        for i, (audio, size) in enumerate(speech.bursts(self._format)):
            if i in pauses:
                yield pauses[i]
            if trouble is not None and i == trouble_at:
                yield from self._apply_trouble(trouble)
            if speech.captions[i]:
                self._part("response.output_audio_transcript.delta", delta=speech.captions[i])
                self._said += speech.captions[i]
            self._outbox.emit_audio(self.id, item.id, len(self._output) - 1, audio)
            item.audio_bytes += size
            if not item.has_model_audio:
                item.has_model_audio = True
                self._host.audio_was_sent()
            self.audio_s = item.audio_ms / 1000
            yield _BURST_S / self._speed
        if trouble is not None and trouble_at >= len(speech.captions):
            yield from self._apply_trouble(trouble)
        self._close("completed")

    def _write(self) -> Waits:
        self._add({"type": "message", "role": "assistant", "content": []})
        self._part("response.content_part.added", part={"type": "text", "text": ""})
        self._begin()
        words, trouble = self.reply.say.split(), self.reply.trouble
        if trouble is not None and trouble.at_s is None and trouble.kind != "incomplete":
            trouble = None  # This fault has already happened.
        for i, word in enumerate(words):
            if trouble is not None and i == len(words) // 2:
                yield from self._apply_trouble(trouble)
            delta = f" {word}" if self._said else word
            self._part("response.output_text.delta", delta=delta)
            self._said += delta
            yield _STEP_S
        self._close("completed")

    def _trouble(self, speech: Speech) -> Trouble | None:
        """Returns the fault that occurs within this text, or None."""
        trouble, limit_s = self.reply.trouble, audio_limit_s(self._options["max_output_tokens"])
        if trouble is not None and trouble.kind == "incomplete" and trouble.at_s is None:
            trouble = Trouble("incomplete", at_s=speech.duration_ms / 2000, code=trouble.code)
        elif trouble is not None and trouble.at_s is None:
            trouble = None
        if limit_s < speech.duration_ms / 1000 and (trouble is None or limit_s < (trouble.at_s or 0.0)):
            trouble = Trouble("incomplete", at_s=limit_s, code="max_output_tokens")
        return trouble

    # Calls.

    def _call(self, call: Call) -> Waits:
        call_id = self._host.new_id("call")
        item = self._add({"type": "function_call", "name": call.name, "call_id": call_id, "arguments": ""})
        self._begin()
        for at in range(0, len(call.arguments), _ARGUMENT_STEP):
            delta = call.arguments[at : at + _ARGUMENT_STEP]
            self._item_event("response.function_call_arguments.delta", call_id=call_id, delta=delta)
            self._said += delta
            yield _STEP_S
        done = {"call_id": call_id, "name": call.name, "arguments": call.arguments}
        self._item_event("response.function_call_arguments.done", **done)
        item.wire = {**item.wire, "arguments": call.arguments}
        self._close("completed")

    def _call_hosted(self, call: Call) -> Waits:
        """Runs a tool on the server. The client must request the response with the result of the tool."""
        shown = {"type": "mcp_call", "server_label": call.server_label, "name": call.name}
        item = self._add({**shown, "arguments": "", "output": None, "error": None, "approval_request_id": None})
        self._begin()
        self._item_event("response.mcp_call_arguments.delta", delta=call.arguments)
        self._said = call.arguments
        self._item_event("response.mcp_call_arguments.done", arguments=call.arguments)
        self._item_event("response.mcp_call.in_progress")
        yield call.takes_s
        if call.error is None:
            item.wire = {**item.wire, "output": call.output}
            self._item_event("response.mcp_call.completed")
        else:
            error = {"type": "tool_execution_error", "content": [{"type": "text", "text": call.error}]}
            item.wire = {**item.wire, "error": error}
            self._item_event("response.mcp_call.failed")
        self._host.tool_has_run(ToolOutput(call.name, call.output if call.error is None else call.error))
        self._close("completed")

    # Items.

    def _add(self, wire: dict[str, Any]) -> Item:
        item_id = self._host.new_id("item")
        common = {} if wire["type"] == "mcp_call" else {"object": "realtime.item", "status": "in_progress"}
        item = Item({"id": item_id, **common, **wire})
        self._output.append(item)
        self._open, self._said = item, ""
        self._output_event("response.output_item.added", item=item.wire)
        if self.in_conversation:
            previous = self._host.items.append(item)
            self._outbox.emit("conversation.item.added", previous_item_id=previous, item=item.wire)
        return item

    def _close(self, status: Literal["completed", "incomplete"]) -> None:
        """Closes the open item. The done events of the item are always emitted."""
        item, said = self._open, self._said
        if item is None:
            return
        if item.wire["type"] == "mcp_call":
            item.wire = {**item.wire, "arguments": said}
        elif item.wire["type"] == "function_call":
            item.wire = {**item.wire, "status": status, "arguments": said}
        elif self._text_only:
            self._part("response.output_text.done", text=said)
            self._part("response.content_part.done", part={"type": "text", "text": said})
            item.wire = {**item.wire, "status": status, "content": [{"type": "output_text", "text": said}]}
        else:
            self._part("response.output_audio.done")
            self._part("response.output_audio_transcript.done", transcript=said)
            self._part("response.content_part.done", part={"type": "audio", "transcript": said})
            content = item.wire["content"] or [{"type": "output_audio", "transcript": said}]
            item.wire = {**item.wire, "status": status, "content": content}
        if self.in_conversation:
            previous = self._host.items.previous_id(item.id)
            self._outbox.emit("conversation.item.done", previous_item_id=previous, item=item.wire)
        self._output_event("response.output_item.done", item=item.wire)
        self._open = None

    def _finish(self, status: Status, *, reason: str | None = None, error: dict[str, Any] | None = None) -> None:
        if self._done:
            return
        self._done = True
        self._close("incomplete")
        details: dict[str, Any] | None = None
        if status != "completed":
            details = {"type": status} | ({"reason": reason} if reason else {}) | ({"error": error} if error else {})
        self.wire |= {
            "status": status,
            "status_details": details,
            "output": [item.wire for item in self._output],
            "usage": usage(self._options, self._host.items, self._output),
        }
        self._outbox.emit("response.done", response=self.wire)
        self._host.finished(self)

    def _output_event(self, type: str, **fields: Any) -> None:
        self._outbox.emit(type, response_id=self.id, output_index=len(self._output) - 1, **fields)

    def _item_event(self, type: str, **fields: Any) -> None:
        self._output_event(type, item_id=self._output[-1].id, **fields)

    def _part(self, type: str, **fields: Any) -> None:
        self._item_event(type, content_index=0, **fields)


def _bursts(at_s: float) -> int:
    return math.ceil(at_s / _BURST_S - 1e-9)


def _error_type(code: str) -> str:
    return code if code in ("server_error", "insufficient_quota") else "invalid_request_error"


_RATE_LIMITS = [
    {"name": "requests", "limit": 10_000, "remaining": 9_999, "reset_seconds": 0.006},
    {"name": "tokens", "limit": 1_000_000, "remaining": 995_904, "reset_seconds": 0.25},
]
