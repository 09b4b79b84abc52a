"""Events are idempotent, for actions and for data: each event of a whole conversation is repeated, delayed and left
out.

The server of this test holds one conversation that has every event of the protocol in it. Each run spoils one event. At
the end, the actions and the data of the session must be the same as without the fault, except for data that only the
lost event contained. `make proof` spoils each event in each way. `make test` spoils the first or the last event of a
type. It repeats the event as a new one and delays it, and spoils some types in the other ways.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmarks.extent import extent
from realtime_core import (
    GuardrailFunctionOutput,
    RealtimeAgent,
    RealtimeRunner,
    function_tool,
    input_guardrail,
    output_guardrail,
    realtime_handoff,
)
from realtime_core.connection.memory import MemoryConnection
from realtime_core.errors import ConnectFailed
from realtime_core.model_inputs import RealtimeModelSendRawMessage
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from realtime_core.openai_realtime.protocol import SERVER_EVENTS
from realtime_core.openai_realtime.recovery import ReconnectPolicy
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from tests.support.realtime_peer import Peer, settle

BETA = {
    "conversation.item.created", "response.audio.delta", "response.audio.done", "response.audio_transcript.delta",
    "response.audio_transcript.done", "response.text.delta", "response.text.done",
}  # fmt: skip
"""Names of the protocol's beta form for events that are here under their present name."""
EVENTS = sorted(set(SERVER_EVENTS) - BETA)
PIECES = {
    "response.output_audio.delta", "response.output_audio_transcript.delta", "response.output_text.delta",
    "conversation.item.input_audio_transcription.delta", "response.function_call_arguments.delta",
    "response.mcp_call_arguments.delta",
}  # fmt: skip
"""Two equal pieces with ids of their own are two pieces (silence, or a word said twice), and no repetition."""

Event = dict[str, Any]


@dataclass
class Spoilt:
    """The fault of the event with this number."""

    how: str = "nothing"
    number: int = -1

    def __call__(self, number: int, event: Event) -> Iterator[Event]:
        if number != self.number:
            yield event
            return
        if self.how != "left out":
            yield event
        if self.how == "repeated":
            yield event
        elif self.how == "repeated as a new event":
            yield event | {"event_id": event["event_id"] + "_again"}


class Server(Peer):
    """It answers as the service does, and says what `talk` has it say."""

    def __init__(self, spoilt: Spoilt) -> None:
        super().__init__()
        self.spoilt = spoilt
        self.emitted: dict[int, str] = {}
        self.held_back: list[tuple[int, Event]] = []
        self.last: str | None = None
        self.active = ""
        self.made = 0
        """Responses that the client had made."""
        self.session: Event = {}
        self.replies: list[tuple[str, list[Event]]] = []
        self.on_client = self._on_client

    def emit(self, type: str, **fields: Any) -> None:
        number = len(self.emitted)
        self.emitted[number] = type
        event = {"type": type, "event_id": f"event_{number}", **fields}
        if self.spoilt.number == number and self.spoilt.how.startswith("delayed"):
            self.held_back.append((int(self.spoilt.how.split()[2]), event))
            asyncio.get_running_loop().call_later(2.0, self.flush, 99)  # where the server says nothing more
            return
        self._say(*self.spoilt(number, event))
        self.held_back = [(after - 1, each) for after, each in self.held_back]
        self.flush(0)
        if self.spoilt.number == number and self.spoilt.how == "repeated late":
            self.held_back.append((12, event | {"event_id": event["event_id"] + "_again"}))

    def flush(self, due: int) -> None:
        for after, event in list(self.held_back):
            if after <= due:
                self.held_back.remove((after, event))
                self._say(event)

    def _say(self, *events: Event) -> None:
        assert isinstance(self.connection, MemoryConnection)
        for event in events:
            self.connection.send(json.dumps(event))

    def _on_client(self, event: Event) -> None:
        match event["type"]:
            case "session.update":
                self.session = {**self.session, **event["session"]}
                self.emit("session.updated", session=self.session)
            case "conversation.item.create" if event["item"].get("type") == "bad":
                error = {"type": "invalid_request_error", "code": "invalid_value", "message": "No such type."}
                self.emit("error", error=error | {"param": "item.type", "event_id": event["event_id"]})
            case "conversation.item.create":
                self.item(event["item"])
            case "conversation.item.truncate":
                self.emit(
                    "conversation.item.truncated", **{k: v for k, v in event.items() if k not in ("type", "event_id")}
                )
            case "conversation.item.delete":
                self.emit("conversation.item.deleted", item_id=event["item_id"])
            case "conversation.item.retrieve":
                content = [{"type": "input_audio", "transcript": "A table for two"}]
                item = {"id": event["item_id"], "type": "message", "role": "user", "status": "completed"}
                self.emit("conversation.item.retrieved", item=item | {"content": content})
            case "input_audio_buffer.clear":
                self.emit("input_audio_buffer.cleared")
            case "input_audio_buffer.commit":
                self.turn("u4", by_hand=True)
            case "response.cancel":
                self.end(event.get("response_id") or self.active, "cancelled", [])
            case "response.create" if self.active:
                error = {"type": "invalid_request_error", "code": "conversation_already_has_active_response"}
                self.emit("error", error=error | {"message": "no", "param": None, "event_id": event["event_id"]})
            case "response.create" if self.replies:
                self.made += 1
                response_id, items = self.replies.pop(0)
                self.response(response_id, items, event["response"].get("metadata"))

    def item(self, item: Event) -> None:
        for kind in ("added", "done"):
            self.emit(f"conversation.item.{kind}", previous_item_id=self.last, item={"status": "completed", **item})
        self.last = item["id"]

    def turn(self, item_id: str, *, by_hand: bool = False) -> None:
        ms = 1000 * int(item_id[1:])
        if not by_hand:
            self.emit("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=ms)
            self.emit("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=ms + 500)
        self.emit("input_audio_buffer.committed", item_id=item_id, previous_item_id=self.last)
        content = [{"type": "input_audio", "transcript": None}]
        self.item({"id": item_id, "type": "message", "role": "user", "content": content})

    def transcript(self, item_id: str, text: str) -> None:
        kind, part = "conversation.item.input_audio_transcription", {"item_id": item_id, "content_index": 0}
        for word in text.split():
            self.emit(f"{kind}.delta", **part, delta=f" {word}")
        self.emit(f"{kind}.segment", **part, id="s", text=text, speaker="A", start=0, end=1)
        self.emit(f"{kind}.completed", **part, transcript=text, usage={"type": "duration", "seconds": 1})

    def begin(self, response_id: str, metadata: Any = None) -> None:
        response = {
            "id": response_id,
            "status": "in_progress",
            "output": [],
            "conversation_id": "c",
            "metadata": metadata,
        }
        self.active = response_id
        self.emit("response.created", response=response)
        self.emit("rate_limits.updated", rate_limits=[])

    def response(self, response_id: str, items: list[Event], metadata: Any = None) -> None:
        self.begin(response_id, metadata)
        for index, item in enumerate(items):
            self.output(response_id, index, item)
        self.end(response_id, "completed", items, metadata)

    def end(self, response_id: str, status: str, items: list[Event], metadata: Any = None) -> None:
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        details = {"type": status, "reason": "client_cancelled"} if status == "cancelled" else None
        response = {"id": response_id, "status": status, "status_details": details, "output": items, "usage": usage}
        self.active = ""
        self.emit("response.done", response=response | {"conversation_id": "c", "metadata": metadata})

    def output(self, response_id: str, index: int, item: Event) -> None:
        place = {"response_id": response_id, "output_index": index}
        part = {**place, "item_id": item["id"], "content_index": 0}
        empty: Event = {"content": []} if "content" in item else {"arguments": ""}
        begun = {**item, "status": "in_progress", **empty}
        self.emit("response.output_item.added", **place, item=begun)
        self.emit("conversation.item.added", previous_item_id=self.last, item=begun)
        match item["type"]:
            case "function_call":
                call = {**place, "item_id": item["id"], "call_id": item["call_id"]}
                self.emit("response.function_call_arguments.delta", **call, delta=item["arguments"])
                self.emit("response.function_call_arguments.done", **call, arguments=item["arguments"])
            case "mcp_call":
                call = {**place, "item_id": item["id"]}
                self.emit("response.mcp_call_arguments.delta", **call, delta="{}")
                self.emit("response.mcp_call_arguments.done", **call, arguments="{}")
                self.emit("response.mcp_call.in_progress", **call)
            case "message":
                (content,) = item["content"]
                is_audio = content["type"] == "output_audio"
                self.emit("response.content_part.added", **part, part={"type": "audio" if is_audio else "text"})
                self.say(part, content, is_audio=is_audio)
                self.emit("response.content_part.done", **part, part=content)
        self.emit("conversation.item.done", previous_item_id=self.last, item=item)
        self.emit("response.output_item.done", **place, item=item)
        self.last = item["id"]

    def say(self, part: Event, content: Event, *, is_audio: bool) -> None:
        text, kind = (
            content.get("transcript") or content.get("text"),
            "output_audio_transcript" if is_audio else "output_text",
        )
        for i, word in enumerate(str(text).split(" ")):
            self.emit(f"response.{kind}.delta", **part, delta=f" {word}" if i else word)
            if is_audio:
                audio = base64.b64encode(bytes([i + 1]) * 4800).decode()
                self.emit("response.output_audio.delta", **part, delta=audio)
        if is_audio:
            self.emit("response.output_audio.done", **part)
        self.emit(f"response.{kind}.done", **part, **({"transcript": text} if is_audio else {"text": text}))


def message(item_id: str, text: str, kind: str = "output_audio") -> Event:
    content = {"type": kind, "transcript" if kind == "output_audio" else "text": text}
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": [content]}


def call(call_id: str, name: str, arguments: str = "{}") -> Event:
    return {"id": f"item_{call_id}", "type": "function_call", "name": name, "call_id": call_id,
            "arguments": arguments, "status": "completed"}  # fmt: skip


@dataclass
class Outcome:
    """What can be observed from outside."""

    ran: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    audio: dict[str, bytes] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    outputs: dict[str, list[str]] = field(default_factory=dict)
    history: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    usage: tuple[int, int] = (0, 0)
    agent: str = ""
    errors: list[str] = field(default_factory=list)


OBSERVED = {
    "agent_start", "agent_end", "handoff", "tool_start", "tool_end", "tool_approval_required", "guardrail_tripped",
    "audio_end", "audio_interrupted", "input_audio_timeout_triggered", "dtmf", "speech_started", "speech_stopped",
    "response_failed", "response_incomplete", "error", "session_ended", "input_audio_transcription_failed",
}  # fmt: skip


async def converse(spoilt: Spoilt) -> tuple[Outcome, dict[int, str]]:
    """Hold the conversation, and tell how it went and which events it had."""
    outcome, server = Outcome(), Server(spoilt)

    @function_tool
    async def book(people: int) -> str:
        outcome.ran["book"] += 1
        return "booked"

    @function_tool(needs_approval=True)
    async def refund() -> str:
        outcome.ran["refund"] += 1
        return "refunded"

    @input_guardrail
    def no_secrets(context: Any, agent: Any, transcript: str) -> GuardrailFunctionOutput:
        outcome.ran[f"input: {transcript}"] += 1
        return GuardrailFunctionOutput(None, "secret" in transcript)

    @output_guardrail
    def clean(context: Any, agent: Any, text: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, "forbidden" in text)

    def handed_over(context: Any) -> None:
        outcome.ran["handoff"] += 1

    checks: Any = {"input_guardrails": [no_secrets], "output_guardrails": [clean]}
    kitchen = RealtimeAgent(name="Kitchen", instructions="You are the kitchen.", tools=[refund], **checks)
    handoff = realtime_handoff(kitchen, on_handoff=handed_over)
    desk = RealtimeAgent(name="Desk", instructions="You are the desk.", tools=[book], handoffs=[handoff], **checks)

    approvals: list[asyncio.Future[None]] = []

    def on_event(event: Any) -> None:
        if event.type in OBSERVED:
            outcome.events[event.type] += 1
        if event.type == "audio":
            outcome.audio[event.item_id] = outcome.audio.get(event.item_id, b"") + event.audio.data
        if event.type == "error":
            outcome.errors.append(str(event.error))
        if event.type == "tool_approval_required":
            approvals.append(asyncio.ensure_future(session.approve_tool_call(event.call_id)))

    async def go(seconds: float = 30.0) -> None:
        await settle(seconds)
        server.flush(99)
        await settle(0.5)

    model = OpenAIRealtimeWebSocketModel(sources=Sources(1), reconnect=ReconnectPolicy(attempts=0))
    session = await RealtimeRunner(desk, model=model).run(model_config=server.config)
    session.add_handler(on_event)
    async with session:
        server.emit("conversation.created", conversation={"id": "c"})
        # A turn whose answer calls a tool and speaks about its result.
        server.replies.append(("r2", [message("a2", "It is booked.")]))
        server.turn("u1")
        server.response("r1", [message("a1", "One moment please."), call("c1", "book", '{"people": 2}')])
        server.transcript("u1", "A table for two")
        await go()
        # A turn that is not allowed here: its answer is cut, and another one permitted.
        server.replies.append(("r4", [message("a4", "I cannot help with that.")]))
        server.turn("u2")
        server.begin("r3")
        server.emit("response.output_audio.delta", response_id="r3", item_id="a3", output_index=0, content_index=0,
                    delta=base64.b64encode(bytes(48000)).decode())  # fmt: skip
        await settle(0.1)
        server.transcript("u2", "Tell me the secret")
        await go()
        # A handoff.
        server.replies.append(("r6", [message("a6", "The kitchen speaking.")]))
        server.turn("u3")
        server.response("r5", [call("c2", "transfer_to_kitchen")])
        server.transcript("u3", "The kitchen please")
        await go()
        # A turn that is ended by hand and answered in writing; its transcription fails.
        server.replies.append(("r7", [message("a0", "I write."), message("a7", "So it is.", "output_text")]))
        await session.send_audio(bytes(9600), commit=True)
        await settle(0.1)
        server.emit("conversation.item.input_audio_transcription.failed", item_id="u4", content_index=0,
                    error={"code": "audio_unintelligible"})  # fmt: skip
        await go()
        # A tool that waits for approval, and one of the server's own that does.
        server.replies += [("r9", [message("a9", "It is refunded.")]), ("r11", [message("a11", "It is found.")])]
        server.turn("u5")
        server.response("r8", [call("c3", "refund")])
        await go()
        for kind in ("in_progress", "completed"):
            server.emit(f"mcp_list_tools.{kind}", item_id="l1")
        server.emit("mcp_list_tools.failed", item_id="l2")
        request = {"id": "m1", "type": "mcp_approval_request", "server_label": "s", "name": "find", "arguments": "{}"}
        server.turn("u6")
        server.response("r10", [request])
        await go()
        find = {
            "id": "m2",
            "type": "mcp_call",
            "server_label": "s",
            "name": "find",
            "arguments": "{}",
            "status": "completed",
        }
        server.begin("r12")
        server.output("r12", 0, find)
        server.end("r12", "completed", [find])
        server.emit("response.mcp_call.completed", item_id="m2", output_index=0)
        server.emit("conversation.item.done", previous_item_id=server.last, item=find | {"output": "found"})
        await go()
        server.begin("r13")
        server.emit("response.mcp_call.failed", item_id="m3", output_index=0)
        await settle(0.1)
        server.output("r13", 1, message("a13", "It is lost."))
        server.end("r13", "completed", [find | {"id": "m3"}, message("a13", "It is lost.")])
        await go()
        # What else there is.
        for kind in ("started", "stopped", "cleared"):
            server.emit(f"output_audio_buffer.{kind}", response_id="r11")
        server.emit("input_audio_buffer.timeout_triggered", item_id="u7", audio_start_ms=1, audio_end_ms=2)
        server.emit("input_audio_buffer.dtmf_event_received", event="5", received_at=17)
        for raw in ({"type": "conversation.item.retrieve", "other_data": {"item_id": "u1"}},
                    {"type": "conversation.item.create", "other_data": {"item": {"id": "b", "type": "bad"}}},
                    {"type": "conversation.item.delete", "other_data": {"item_id": "a7"}},
                    {"type": "input_audio_buffer.clear"}):  # fmt: skip
            await session.model.send_event(RealtimeModelSendRawMessage(raw))  # type: ignore[arg-type]
        await go()
        # The session listens to its user still.
        server.replies.append(("r14", [message("a14", "Goodbye.")]))
        await session.send_message("Goodbye")
        await settle(1.0)
        assert any(e["type"] == "response.create" for e in server.sent[-2:]), "it waits for something"
        await go()
        outcome.agent, outcome.usage = session.current_agent.name, (session.usage.requests, session.usage.total_tokens)
        outcome.history = [
            (
                getattr(item, "role", item.type),
                item.status,
                getattr(item, "text", None) or getattr(item, "output", None),
            )
            for item in session.history
        ]
    outcome.sent["responses"] = server.made
    for event in server.sent:
        if event["type"] != "response.create":
            outcome.sent[event["type"]] += 1
        if event["type"] == "conversation.item.create" and event["item"].get("type") == "function_call_output":
            outcome.outputs.setdefault(event["item"]["call_id"], []).append(event["item"]["output"])
    return outcome, server.emitted


@functools.cache
def unspoilt() -> tuple[Outcome, dict[int, str]]:
    return virtual_time.run(converse(Spoilt()))


def numbers(type: str) -> list[int]:
    """The events of this type."""
    return [number for number, each in unspoilt()[1].items() if each == type]


def test_the_conversation_is_whole() -> None:
    outcome, types = unspoilt()
    assert set(EVENTS) - set(types.values()) == set(), "every event of the protocol is in it"
    assert outcome.ran == {
        "book": 1, "refund": 1, "handoff": 1,
        "input: A table for two": 1, "input: Tell me the secret": 1, "input: The kitchen please": 1,
    }  # fmt: skip
    assert outcome.agent == "Kitchen" and outcome.events["guardrail_tripped"] == 1
    assert outcome.events["agent_start"] == outcome.events["agent_end"] == outcome.usage[0] == 14
    assert {call_id: len(outputs) for call_id, outputs in outcome.outputs.items()} == {"c1": 1, "c2": 1, "c3": 1}
    assert outcome.events["tool_start"] == outcome.events["tool_end"] == 4, "two of them at the server"
    assert outcome.events["tool_approval_required"] == 2 and outcome.events["error"] == 2
    assert not outcome.events["response_failed"] and not outcome.events["session_ended"]


WAYS = ["repeated", "repeated as a new event", "repeated late", "delayed by 1", "delayed by 3"]
WHICH = {way: extent(short, slice(None)) for way, short in zip(WAYS, [slice(1), slice(-1, None)] * 3, strict=False)}
"""The events of a type that are spoilt in each way: the first or the last one. `make proof` spoils all of them."""
EACH_TYPE = {"repeated as a new event", "delayed by 3"}
"""The ways in which `make test` spoils each type. It spoils every fourth type in the other ways."""
TWICE_OR_LATE = [
    (type, how)
    for number, type in enumerate(EVENTS)
    for how in WAYS
    if (how == "repeated" if type in PIECES else extent(how in EACH_TYPE or number % 4 == 0, True))
]
"""A piece that comes again as a new event, or out of order, is another piece."""


def run(spoilt: Spoilt) -> Outcome:
    return virtual_time.run(converse(spoilt))[0]


def differences(outcome: Outcome) -> set[str]:
    """Where the outcome is another one: fields, and for counters what they count."""
    found: set[str] = set()
    for name, wanted in vars(unspoilt()[0]).items():
        got = getattr(outcome, name)
        if got != wanted:
            counted = isinstance(wanted, Counter)
            found |= {f"{name}: {key}" for key in wanted | got if wanted[key] != got[key]} if counted else {name}
    return found


@pytest.mark.parametrize(("type", "how"), TWICE_OR_LATE)
def test_an_event_that_comes_twice_or_late_changes_nothing(type: str, how: str) -> None:
    late_start = type == "input_audio_buffer.speech_started" and how.startswith("delayed")
    # Where the end of a speech came before its beginning, the end is told once more after it.
    allowed = {"events: speech_stopped"} if late_start else set()
    for number in numbers(type)[WHICH[how]]:
        assert differences(run(Spoilt(how, number))) <= allowed, f"event {number}, {type}, {how}"


LOST = {
    # That a hosted tool was called and spoken about in the same response.
    "response.done": {"usage", "history", "events: response_failed", "events: tool_start", "events: tool_end"},
    "conversation.item.done": {"history"},  # the output of a hosted tool
    "response.output_audio.delta": {"audio", "events: audio_end", "events: audio_interrupted",
                                    "sent: conversation.item.truncate"},
    "input_audio_buffer.speech_started": {"events: speech_started"},
    "input_audio_buffer.timeout_triggered": {"events: input_audio_timeout_triggered"},
    "input_audio_buffer.dtmf_event_received": {"events: dtmf"},
    "conversation.item.input_audio_transcription.failed": {"events: input_audio_transcription_failed", "history"},
    "conversation.item.deleted": {"history"},
    "mcp_list_tools.failed": {"errors", "events: error"},
    "error": {"errors", "events: error"},
}  # fmt: skip
"""What only this event tells: the tokens, a piece of sound, a key, ..."""


@pytest.mark.parametrize("type", [type for type in EVENTS if type not in ("session.created", "session.updated")])
def test_a_missing_event_loses_only_what_no_other_event_reports(type: str) -> None:
    events = numbers(type)
    for number in extent(events[-1:], events):
        outcome = run(Spoilt("left out", number))
        assert outcome.events["agent_start"] == outcome.events["agent_end"], f"event {number}, {type}"
        assert differences(outcome) <= LOST.get(type, set()), f"event {number}, {type}"


def test_a_handoff_without_an_acknowledgement_is_reported_as_failed() -> None:
    first, *later = numbers("session.updated")
    assert first == 1 and later
    for number in later:
        outcome = run(Spoilt("left out", number))
        assert outcome.agent == "Desk" and outcome.ran["handoff"] == 1
        assert len(outcome.outputs["c2"]) == 1 and "failed" in outcome.outputs["c2"][0]
        assert any("has not answered" in error for error in outcome.errors)


@pytest.mark.parametrize("type", ["session.created", "session.updated"])
def test_connect_reports_a_session_that_never_begins(type: str) -> None:
    with pytest.raises(ConnectFailed):
        run(Spoilt("left out", numbers(type)[0]))
