"""The embedded server's items: creating, retrieving, deleting and truncating them, and every invalid request."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.extent import extent
from realtime_core.local import Reply, Script, Turn
from realtime_core.local.conversation import Conversation
from realtime_core.local.script_director import ScriptDirector
from realtime_core.local.voice import Voice
from realtime_core.sources import Sources
from tests.support.local_client import Client, human, session, silence

pytestmark = pytest.mark.virtual_time

HOURS = "We are open every day from noon until eleven in the evening. To hear that again, press one."
SCRIPT = Script(greeting=Reply(say=HOURS), turns=[Turn(Reply(say="Yes."))])


def message(text: str, role: str = "user", **fields: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **fields}


async def answered(client: Client) -> dict[str, Any]:
    """The item of an answer that is complete."""
    client.respond()
    item: dict[str, Any] = (await client.answer())["output"][0]
    return item


async def test_items_have_an_order() -> None:
    async with session(SCRIPT) as client:
        client.send("conversation.item.create", item=message("a", id="item_a"))
        client.send("conversation.item.create", item=message("b", id="item_b"))
        client.send("conversation.item.create", item=message("c", id="item_c"), previous_item_id="item_a")
        client.send("conversation.item.create", item=message("d", "system", id="item_d"), previous_item_id="root")
        client.send("conversation.item.create", item=message("e", "assistant", id="item_e"))
        await client.wait("conversation.item.done", 5)
        order = [(e["item"]["id"], e["previous_item_id"]) for e in client.all("conversation.item.added")]
        assert order == [
            ("item_a", None),
            ("item_b", "item_a"),
            ("item_c", "item_a"),
            ("item_d", None),
            ("item_e", "item_b"),
        ]
        assert client.all("conversation.item.done")[0]["item"]["status"] == "completed"
        assert not client.all("response.created")


@pytest.mark.parametrize(
    ("item", "extra", "code", "param"),
    [
        (None, {}, "missing_required_parameter", "item"),
        ({}, {}, "missing_required_parameter", "item.type"),
        ({"type": ["message"]}, {}, "invalid_value", "item.type"),
        ({"type": "message"}, {}, "missing_required_parameter", "item.role"),
        (message("x", "robot"), {}, "invalid_value", "item.role"),
        (message("x", foo=1), {}, "unknown_parameter", "item.foo"),
        (message("x", id="i" * 33), {}, "string_above_max_length", "item.id"),
        ({"type": "message", "role": "user", "content": [{"type": "input_text"}]}, {}, "missing_required_parameter",
         "item.content[0].text"),
        ({"type": "message", "role": "assistant", "content": [{"type": "output_audio", "audio": ""}]}, {},
         "invalid_value", "item.content[0].type"),
        ({"type": "function_call_output", "call_id": "a/b", "output": "x"}, {}, "invalid_value", "item.call_id"),
        ({"type": "function_call_output", "call_id": "call_x", "output": "x"}, {}, "invalid_tool_call_id", None),
        (message("x"), {"previous_item_id": "nobody"}, "item_create_invalid_previous_item_id", "previous_item_id"),
        (message("x"), {"previous_item_id": ["a"]}, "item_create_invalid_previous_item_id", "previous_item_id"),
        (message("x", id="item_first"), {}, "item_create_duplicate_item_id", "item.id"),
        (message("x"), {"previous": "item_first"}, "unknown_parameter", "previous"),
        ({"type": "mcp_call", "name": "find"}, {}, "missing_required_parameter", "item.server_label"),
        ({"type": "mcp_call", "server_label": "s", "name": "find", "arguments": "{}", "call_id": "c"}, {},
         "unknown_parameter", "item.call_id"),
        ({"type": "mcp_approval_response", "approval_request_id": "item_first", "approve": True}, {},
         "invalid_value", "item.approval_request_id"),
        ({"type": "reasoning"}, {}, "invalid_value", "item.type"),
    ],
)  # fmt: skip
async def test_an_item_that_does_not_hold(item: Any, extra: dict[str, Any], code: str, param: str | None) -> None:
    async with session(SCRIPT) as client:
        client.send("conversation.item.create", item=message("first", id="item_first"))
        client.send("conversation.item.create", event_id="bad", **({} if item is None else {"item": item}), **extra)
        error = await client.error()
        assert (error["code"], error["param"], error["event_id"]) == (code, param, "bad")
        assert len(client.all("conversation.item.added")) == 1


async def test_an_output_without_its_call_says_which() -> None:
    async with session(SCRIPT) as client:
        client.result({"call_id": "call_9"}, "x")
        assert (await client.error())["message"] == "Tool call ID 'call_9' not found in conversation."


@pytest.mark.parametrize("verb", ["retrieve", "delete"])
async def test_an_item_is_named_by_its_id_alone(verb: str) -> None:
    async with session(SCRIPT) as client:
        client.send("conversation.item.create", item=message("first", id="item_first"))
        client.send(f"conversation.item.{verb}", item_id="item_first", call_id="c")
        error = await client.error()
        assert (error["code"], error["param"]) == ("unknown_parameter", "call_id")
        assert not client.all(f"conversation.item.{verb}d")


async def test_items_of_hosted_tools_are_taken_as_they_are() -> None:
    shop = {"server_label": "shop", "name": "find", "arguments": "{}"}
    items = [
        {"id": "l", "type": "mcp_list_tools", "server_label": "shop", "tools": []},
        {"id": "q", "type": "mcp_approval_request", **shop},
        {"id": "a", "type": "mcp_approval_response", "approval_request_id": "q", "approve": True},
        {"id": "m", "type": "mcp_call", **shop, "output": "found", "approval_request_id": "q"},
    ]
    async with session(SCRIPT) as client:
        for item in items:
            client.send("conversation.item.create", item=item)
        await client.wait("conversation.item.done", 4)
        assert [event["item"] for event in client.all("conversation.item.done")] == items


async def test_retrieve_gives_the_audio_and_delete_takes_the_item_away() -> None:
    async with session(SCRIPT) as client:
        item = await answered(client)
        client.send("conversation.item.retrieve", item_id=item["id"])
        retrieved = (await client.wait("conversation.item.retrieved"))["item"]
        assert base64.b64decode(retrieved["content"][0]["audio"]) == client.audio()
        assert retrieved["content"][0]["transcript"] == HOURS
        client.send("conversation.item.delete", item_id=item["id"])
        assert (await client.wait("conversation.item.deleted"))["item_id"] == item["id"]
        for verb, doing in (("delete", "deleting"), ("retrieve", "retrieving")):
            client.send(f"conversation.item.{verb}", item_id=item["id"])
            error = await client.error(len(client.all("error")) + 1)
            assert error["code"] == f"item_{verb}_invalid_item_id"
            assert error["message"] == f"Error {doing} item: the item with id '{item['id']}' does not exist."
        client.send("conversation.item.delete")
        assert (await client.error(3))["code"] == "missing_required_parameter"


def truncate(client: Client, item_id: Any, ms: Any, content_index: Any = 0) -> None:
    client.send(
        "conversation.item.truncate", event_id="t", item_id=item_id, content_index=content_index, audio_end_ms=ms
    )


async def test_truncate_takes_the_unheard_audio_and_the_transcript_away() -> None:
    async with session(SCRIPT) as client:
        item = await answered(client)
        truncate(client, item["id"], 1234)
        done = await client.wait("conversation.item.truncated")
        assert (done["item_id"], done["content_index"], done["audio_end_ms"]) == (item["id"], 0, 1234)
        client.send("conversation.item.retrieve", item_id=item["id"])
        content = (await client.wait("conversation.item.retrieved"))["item"]["content"][0]
        assert base64.b64decode(content["audio"]) == client.audio()[: 1234 * 48]
        assert content["transcript"] == ""


async def test_a_truncation_past_the_audio_is_an_error() -> None:
    async with session(SCRIPT) as client:
        item = await answered(client)
        length_ms = len(client.audio()) / 48
        assert length_ms % 1, "a length of whole milliseconds would not show how it is rounded"
        truncate(client, item["id"], int(length_ms) + 1)
        error = await client.error()
        assert (error["type"], error["code"], error["event_id"]) == ("invalid_request_error", "invalid_value", "t")
        assert error["message"] == f"Audio content of {int(length_ms)}ms is already shorter than {int(length_ms) + 1}ms"
        truncate(client, item["id"], int(length_ms))
        truncate(client, item["id"], 0)
        truncate(client, item["id"], 1)
        assert (await client.error(2))["message"] == "Audio content of 0ms is already shorter than 1ms"
        assert len(client.all("conversation.item.truncated")) == 2


async def test_a_truncation_counts_what_was_sent_not_what_would_have_come() -> None:
    async with session(SCRIPT) as client:
        client.respond()
        await client.wait("response.output_audio.delta", 4)
        await client.say(human())
        item = (await client.answer())["output"][0]
        sent_ms = len(client.audio()) / 48
        truncate(client, item["id"], int(sent_ms) + 1)
        assert (await client.error())["code"] == "invalid_value"
        truncate(client, item["id"], int(sent_ms))
        await client.wait("conversation.item.truncated")


async def test_only_audio_of_the_model_can_be_truncated() -> None:
    async with session(SCRIPT) as client:
        client.send("conversation.item.create", item=message("x", id="item_text"))
        truncate(client, "item_text", 0)
        await client.say(human() + silence(1))
        spoken = client.last("input_audio_buffer.committed")["item_id"]
        truncate(client, spoken, 100)
        await client.wait("response.content_part.added")
        for n in (1, 2):
            error = await client.error(n)
            assert error["code"] == "unsupported_content_type"
            assert error["message"] == "Only model output audio messages can be truncated"
        truncate(client, "nobody", 0)
        assert (await client.error(3))["code"] == "item_truncate_invalid_item_id"
        truncate(client, spoken, -1)
        assert (await client.error(4))["param"] == "audio_end_ms"
        truncate(client, spoken, 1.5)
        assert (await client.error(5))["code"] == "invalid_type"
        truncate(client, spoken, 0, content_index=1)
        assert (await client.error(6))["param"] == "content_index"


async def test_an_answer_without_audio_yet_cannot_be_truncated() -> None:
    async with session(Script(greeting=Reply(say=HOURS, text_only=True))) as client:
        item = await answered(client)
        truncate(client, item["id"], 0)
        assert (await client.error())["code"] == "unsupported_content_type"


async def test_messages_that_are_none() -> None:
    async with session(SCRIPT) as client:
        client.connection.send("{")
        client.connection.send("[1]")
        client.connection.send("{}")
        client.connection.send_binary(b"{}")  # type: ignore[attr-defined]
        client.send("response.dance", event_id="d")
        client.send("output_audio_buffer.clear")
        await client.error(6)
        errors = [event["error"] for event in client.all("error")]
        assert [e["code"] for e in errors] == [
            "invalid_json",
            "invalid_type",
            "missing_required_parameter",
            "invalid_message",
            "invalid_value",
            "invalid_value",
        ]
        assert errors[4]["event_id"] == "d" and "'response.create'" in errors[4]["message"]
        client.update()
        await client.wait("session.updated")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["type", "event_id", "session", "item", "item_id", "audio", "response", "audio_end_ms", "content_index", "tools"]
KEYS += ["role", "content", "input", "output", "turn_detection", "format", "call_id", "previous_item_id", "arguments"]
TYPES = ["session.update", "input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear"]
TYPES += ["conversation.item.create", "conversation.item.retrieve", "conversation.item.truncate"]
TYPES += ["conversation.item.delete", "response.create", "response.cancel"]
VALUES = st.recursive(
    JSON
    | st.sampled_from(["message", "user", "realtime", "input_text", "server_vad", "audio/pcm", "function", "AAAA"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
EVENTS = st.builds(
    lambda type, fields: {**fields, "type": type},
    st.sampled_from(TYPES),
    st.dictionaries(st.sampled_from(KEYS), VALUES),
)


@given(st.lists(EVENTS, max_size=12))
@settings(max_examples=extent(40, 5000))
def test_no_message_breaks_the_session(events: list[dict[str, Any]]) -> None:
    conversation = Conversation(ScriptDirector(SCRIPT), Voice(), sources=Sources(1), now=0.0, expires_at=0)
    for i, event in enumerate(events):
        conversation.receive(json.dumps(event), float(i))
        conversation.run(float(i) + 0.5)
    for action in conversation.outbox:
        assert isinstance(action, str) and json.loads(action)["type"]
