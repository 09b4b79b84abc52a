"""A server that sends known events with any content. The session continues."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.extent import extent
from realtime_core import RealtimeAgent, RealtimeSession, function_tool
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from realtime_core.openai_realtime.protocol import SERVER_EVENTS
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from tests.support.realtime_peer import Peer, settle

SPOKEN = {"type": "output_audio", "transcript": "Hello"}
MESSAGE = {"id": "item_a", "type": "message", "role": "assistant", "status": "completed", "content": [SPOKEN]}
HEARD = {"id": "item_u", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": "Hi"}]}
CALL = {"id": "item_c", "type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
APPROVAL = {"id": "item_m", "type": "mcp_approval_request", "server_label": "s", "name": "n", "arguments": "{}"}
USAGE = {
    "input_tokens": 1, "output_tokens": 2, "total_tokens": 3,
    "input_token_details": {"text_tokens": 1, "cached_tokens_details": {"text_tokens": 1}},
}  # fmt: skip
SESSION = {
    "expires_at": 9e9,
    "audio": {"input": {"format": {"type": "audio/pcm"}, "turn_detection": {"type": "server_vad"}}, "output": {}},
    "output_modalities": ["audio"],
}
PLACE = {"item_id": "item_a", "response_id": "resp_1", "content_index": 0, "output_index": 0, "previous_item_id": None}
FIELDS: dict[str, Any] = {
    **PLACE,
    "delta": "AAAA",
    "transcript": "Hello",
    "text": "Hello",
    "usage": USAGE,
    "audio_start_ms": 0,
    "audio_end_ms": 100,
    "event": "1",
    "session": SESSION,
    "rate_limits": [{"name": "tokens", "limit": 1}],
    "error": {"type": "invalid_request_error", "code": "x", "message": "no", "param": "p", "event_id": "evt_1"},
    "part": SPOKEN,
    "conversation": {"id": "conv"},
}
ITEMS = st.sampled_from([MESSAGE, HEARD, CALL, APPROVAL])
RESPONSES = st.fixed_dictionaries(
    {"id": st.sampled_from(["resp_1", "resp_2"]), "output": st.lists(ITEMS, max_size=2)},
    optional={
        "status": st.sampled_from(["completed", "failed", "cancelled", "incomplete"]),
        "status_details": st.just({"reason": "turn_detected", "error": {"type": "server_error", "code": "x"}}),
        "usage": st.just(USAGE),
        "metadata": st.just({"client_event_id": "evt_2"}),
        "conversation_id": st.none(),
    },
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    event = {**FIELDS, "item": draw(ITEMS), "response": draw(RESPONSES)}
    event = copy.deepcopy(event)
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from(places(event)))
        if path:
            target: Any = event
            for key in path[:-1]:
                target = target[key]
            target[path[-1]] = draw(ANYTHING)
    return {**event, "type": draw(st.sampled_from(sorted(SERVER_EVENTS)))}


@function_tool
def look() -> str:
    """Look."""
    return "found"


def response_done(**changes: Any) -> dict[str, Any]:
    """Returns the end of a response with one message, in which these fields have other values."""
    response = {"id": "resp_1", "status": "completed", "output": [MESSAGE | changes]}
    return {**FIELDS, "item": CALL, "response": response, "type": "response.done"}


def session_event(kind: str, audio: Any) -> dict[str, Any]:
    """Returns `session.created` or `session.updated` with this value as the settings of the audio."""
    return {**FIELDS, "session": SESSION | {"audio": audio}, "type": f"session.{kind}"}


@settings(max_examples=extent(40, 2000))
@example([response_done(id=[])], False)
@example([response_done(id={}, type="mcp_call", output="x"), response_done(id=17)], True)
@example([response_done(type={}, status=[], content={})], False)
@example([response_done(type="function_call", call_id=[]), response_done(call_id={}, name="look")], False)
@example([{**FIELDS, "item": CALL | {"call_id": []}, "type": "conversation.item.added"}], False)
@example([{**FIELDS, "item": CALL | {"call_id": {}, "id": 1.5}, "type": "response.output_item.done"}], True)
@example([session_event("created", {"input": [1], "output": "x"})], False)
@example([session_event("updated", {"input": [1], "output": 1.5}), session_event("updated", "x")], False)
@given(st.lists(events(), max_size=12), st.booleans())
def test_whatever_the_server_says_the_session_continues(said: list[dict[str, Any]], raw: bool) -> None:
    async def main() -> None:
        peer = Peer()
        model = OpenAIRealtimeWebSocketModel(sources=Sources(1))
        model.emit_raw = raw
        session = RealtimeSession(model, RealtimeAgent(name="Desk", tools=[look]), None, peer.config)
        async with session:
            for event in said:
                peer.emit(**event)
            await settle(30.0)
            assert all(item.model_dump() for item in session.history)
            assert peer.connection is not None
            peer.connection.break_()
            await settle(10.0)
            assert session.status == "connected"

    virtual_time.run(main)
