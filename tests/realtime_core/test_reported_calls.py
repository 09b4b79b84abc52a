"""A tool call runs exactly once, whatever combination of the server's events reports it, and in whatever order."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from realtime_core import RealtimeAgent, function_tool
from realtime_core.model_events import RealtimeModelToolCallEvent
from realtime_core.model_inputs import RealtimeModelSendRawMessage
from tests.realtime_core.test_open_ends import opened
from tests.realtime_core.test_server_session import Bench
from tests.support.realtime_peer import Peer, settle

PLACE = {"response_id": "resp_1", "output_index": 0}
CALL = {"id": "item_c", "type": "function_call", "call_id": "call_1", "name": "book"}
BEGUN = {**CALL, "status": "in_progress", "arguments": ""}
COMPLETE = {**CALL, "status": "completed", "arguments": '{"people": 2}'}
ARGUMENTS = {**PLACE, "item_id": "item_c", "call_id": "call_1"}
DONE = {"id": "resp_1", "status": "completed"}
EVENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "begun": ("response.output_item.added", {**PLACE, "item": BEGUN}),
    "added": ("conversation.item.added", {"item": BEGUN}),
    "piece": ("response.function_call_arguments.delta", {**ARGUMENTS, "delta": '{"people": 2}'}),
    "arguments": ("response.function_call_arguments.done", {**ARGUMENTS, "arguments": '{"people": 2}'}),
    "named": ("response.function_call_arguments.done", {**ARGUMENTS, "name": "book", "arguments": '{"people": 2}'}),
    "complete": ("conversation.item.done", {"item": COMPLETE}),
    "output": ("response.output_item.done", {**PLACE, "item": COMPLETE}),
    "done": ("response.done", {"response": {**DONE, "output": [COMPLETE]}}),
    "bare": ("response.done", {"response": {**DONE, "output": []}}),
}
NAMED = {"begun", "added", "named", "complete", "output", "done"}
WITH_ARGUMENTS = {"piece", "arguments", "named", "complete", "output", "done"}


def combinations() -> list[tuple[str, ...]]:
    """Every selection of the events that has all parts of the call, and ends the response."""
    before = ("begun", "added", "piece", "arguments", "named", "complete", "output")
    chosen = (each for size in range(8) for each in itertools.combinations(before, size))
    told = [(*each, end) for each in chosen for end in ("done", "bare")]
    return [each for each in told if NAMED & {*each} and WITH_ARGUMENTS & {*each}]


def called(events: Iterable[str], changes: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
    """Returns the calls that a session reports, after all time limits. A repetition counts once."""
    bench = Bench()
    bench.receive("response.created", response={"id": "resp_1"})
    for name in events:
        type, fields = EVENTS[name]
        bench.receive(type, **{**fields, **((changes or {}).get(name) or {})})
    while (deadline := bench.session.deadline) is not None and deadline < 60.0:
        bench.time = deadline
        bench.session.on_time(deadline)
    calls = [event for event in bench.emitted if isinstance(event, RealtimeModelToolCallEvent)]
    assert not [event for event in bench.emitted if event.type == "response_failed"]
    assert "response.create" not in bench.types(), "the response is not empty, so it is not requested again"
    return sorted({(event.name, event.arguments) for event in calls})


def test_every_combination_of_events_reports_a_tool_call() -> None:
    told = combinations()
    assert len(told) > 200
    assert [each for each in told if called(each) != [("book", '{"people": 2}')]] == []


def test_every_order_of_events_reports_a_tool_call() -> None:
    names = ("begun", "arguments", "complete", "bare")
    orders = [*itertools.permutations(names), *itertools.permutations(("added", "named", "bare"))]
    # Where the response ends before its first call is known, an empty response is requested again.
    late = [each for each in orders if each[0] != "bare"]
    assert [each for each in late if called(each) != [("book", '{"people": 2}')]] == []


@pytest.mark.parametrize("events", [("begun", "arguments"), ("named",), ("added", "arguments"), ("begun", "complete")])
def test_a_tool_call_is_emitted_after_a_time_if_its_response_does_not_end(events: tuple[str, ...]) -> None:
    assert called(events) == [("book", '{"people": 2}')]


@pytest.mark.parametrize(
    ("events", "changes"),
    [
        (("begun", "arguments", "bare"), {"bare": {"response": {**DONE, "status": "cancelled", "output": []}}}),
        (("begun", "named", "bare"), {"bare": {"response": {**DONE, "status": "cancelled", "output": []}}}),
        (("begun", "arguments", "output", "bare"), {"output": {"item": {**COMPLETE, "status": "incomplete"}}}),
        (
            ("begun", "arguments", "done"),
            {"done": {"response": {**DONE, "output": [{**CALL, "status": "incomplete"}]}}},
        ),
        (("begun", "piece", "bare"), {"piece": {"delta": '{"peo'}}),
    ],
)
def test_a_call_that_was_cut_is_not_run(events: tuple[str, ...], changes: dict[str, Any]) -> None:
    assert called(events, changes) == []


def test_a_call_that_the_client_has_put_into_the_conversation_is_not_run() -> None:
    bench = Bench()
    bench.receive("response.created", response={"id": "resp_1"})
    item = {"type": "function_call", "call_id": "call_1", "name": "book", "arguments": "{}"}
    message: Any = {"type": "conversation.item.create", "other_data": {"item": item}}
    bench.session.send(RealtimeModelSendRawMessage(message), bench.time)
    bench.receive("conversation.item.added", item={**item, "id": "item_x", "status": "completed"})
    bench.receive("conversation.item.done", item={**item, "id": "item_x", "status": "completed"})
    bench.receive("response.done", response={**DONE, "output": []})
    assert not [event for event in bench.emitted if event.type == "function_call"]


@pytest.mark.virtual_time
@pytest.mark.parametrize("again", ['{"people": 2}', '{"people":2}'])
async def test_a_call_that_several_events_tell_is_run_once(again: str) -> None:
    ran: list[int] = []

    @function_tool
    def book(people: int) -> str:
        ran.append(people)
        return "booked"

    peer = Peer()
    async with opened(peer, RealtimeAgent(name="Desk", tools=[book])) as (session, events):
        peer.respond()
        for name in ("begun", "arguments", "bare"):
            peer.emit(EVENTS[name][0], **EVENTS[name][1])
        await settle(0.1)
        for name in ("output", "complete"):
            peer.emit(EVENTS[name][0], **{**EVENTS[name][1], "item": {**COMPLETE, "arguments": again}})
        await settle(0.1)
        assert ran == [2]
        outputs = [e["item"]["output"] for e in peer.sent if e.get("item", {}).get("type") == "function_call_output"]
        assert outputs == ["booked"]
        assert not [event for event in events if event.type == "error"]
        (call,) = session.history
        assert json.loads(getattr(call, "arguments", "")) == {"people": 2} and call.status == "completed"
