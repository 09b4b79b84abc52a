"""Edits that change one conversation into another, and the client events of `update_history`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import UserError
from realtime_core.history_edits import history_edits, wire_items
from realtime_core.history_order import Entry, OtherItem
from realtime_core.items import (
    AssistantAudio,
    AssistantMessageItem,
    InputAudio,
    InputImage,
    InputText,
    RealtimeItem,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserMessageItem,
)
from realtime_core.model_events import RealtimeModelItemUpdatedEvent
from realtime_core.model_inputs import RealtimeModelSendRawMessage
from tests.support.session_kit import opened


def user(item_id: str, text: str = "x") -> UserMessageItem:
    return UserMessageItem(item_id=item_id, content=[InputText(text=text)])


def apply(edits: list[Any], conversation: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns the conversation that the server has after the edits, as (id, text) of each item."""
    for edit in edits:
        data = edit["other_data"]
        if edit["type"] == "conversation.item.delete":
            conversation = [item for item in conversation if item[0] != data["item_id"]]
            continue
        item = (data["item"]["id"], data["item"]["content"][0]["text"])
        ids = [item_id for item_id, _ in conversation]
        assert item[0] not in ids
        previous = data.get("previous_item_id")
        at = 0 if previous == "root" else len(ids) if previous is None else ids.index(previous) + 1
        conversation.insert(at, item)
    return conversation


CONVERSATIONS = st.lists(st.sampled_from("abcdef"), unique=True).flatmap(
    lambda ids: st.tuples(*[st.builds(user, st.just(i), st.sampled_from(["x", "y"])) for i in ids]).map(list)
)


@given(CONVERSATIONS, CONVERSATIONS)
def test_edits_lead_from_one_conversation_to_the_other(old: list[UserMessageItem], new: list[UserMessageItem]) -> None:
    edits = history_edits(old, new)
    result = apply(edits, [(item.item_id, item.text) for item in old])
    assert result == [(item.item_id, item.text) for item in new]
    if old == new:
        assert edits == []


def call(
    item_id: str, output: str | None = None, *, arguments: str = "{}", server: str | None = None
) -> RealtimeToolCallItem:
    status: Any = "in_progress" if output is None else "completed"
    return RealtimeToolCallItem(
        item_id=item_id, call_id=f"call_{item_id}", name="f", arguments=arguments, output=output, status=status,
        server_label=server,
    )  # fmt: skip


def output_of(item: RealtimeToolCallItem) -> OtherItem:
    return OtherItem(f"{item.item_id}_out", "function_call_output", item.item_id, item.call_id, item.output)


def on_server(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Returns the items that the server has. An output is an entry of its own."""
    found = []
    for entry in entries:
        if isinstance(entry, OtherItem):
            output = {"call_id": entry.call_id, "output": entry.output} if entry.call_id else {}
            found.append({"id": entry.item_id, "type": entry.kind, **output})
        else:
            found.append(next(wire_items(entry)))
    return found


def edited(old: Sequence[Entry], new: Sequence[RealtimeItem], **options: Any) -> list[dict[str, Any]]:
    """Returns the items that the server has after the edits."""
    items = on_server(old)
    for edit in history_edits(old, new, **options):
        data = edit["other_data"]
        ids = [item["id"] for item in items]
        if edit["type"] == "conversation.item.delete":
            del items[ids.index(data["item_id"])]
            continue
        assert data["item"]["id"] not in ids
        previous = data.get("previous_item_id")
        items.insert(
            0 if previous == "root" else len(ids) if previous is None else ids.index(previous) + 1, data["item"]
        )
    return items


def conversation(drawn: list[tuple[str, str]]) -> list[Entry]:
    """Returns a conversation with calls (lower case), messages (upper case) and unlisted items (digits)."""
    found: list[Entry] = []
    for name, value in drawn:
        if name.isdigit():
            found.append(OtherItem(name, "reasoning"))
        elif name.isupper():
            found.append(user(name, value))
        else:
            made = call(name, None if value == "x" else value)
            found += [made] if made.output is None else [made, output_of(made)]
    return found


ENTRIES = st.lists(st.tuples(st.sampled_from("abcABC12"), st.sampled_from("xyz")), unique_by=lambda it: it[0])


@given(ENTRIES, ENTRIES)
def test_edits_of_calls_keep_the_items_that_the_history_does_not_list(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    old = conversation(first)
    new: list[RealtimeItem] = [item for item in conversation(second) if not isinstance(item, OtherItem)]
    result = edited(old, new)
    assert [item for item in result if item["type"] != "reasoning"] == [
        wire for item in new for wire in wire_items(item)
    ]
    before, after = (
        [item["id"] for item in items if not item["id"].endswith("_out")] for items in (on_server(old), result)
    )
    deleted = {e["other_data"]["item_id"] for e in history_edits(old, new) if e["type"] == "conversation.item.delete"}
    assert deleted.isdisjoint("12"), "the server keeps its unlisted items"
    for previous, item_id in pairwise(before):
        if item_id.isdigit() and previous not in deleted:
            assert after[after.index(previous) + 1] == item_id, "an unlisted item stays behind its item"


def kinds(edits: list[Any]) -> list[tuple[str, str]]:
    """Returns what each edit does (`delete` or `create`), and the id of its item."""
    return [
        (each["type"].rpartition(".")[2], each["other_data"].get("item_id") or each["other_data"]["item"]["id"])
        for each in edits
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            [call("a", "y"), output_of(call("a", "y"))], [call("a", "z")], [("delete", "a_out"), ("create", "a_out")],
            id="another output",
        ),
        pytest.param([call("a")], [call("a", "z")], [("create", "a_out")], id="a first output"),
        pytest.param(
            [call("a", "y"), output_of(call("a", "y"))], [call("a")], [("delete", "a_out")], id="no output any more"
        ),
        pytest.param(
            [call("a", "y")], [call("a", "z")], [("delete", "a"), ("create", "a"), ("create", "a_out")],
            id="an output whose item is not known cannot be deleted",
        ),
        pytest.param(
            [call("a", "y"), output_of(call("a", "y"))], [call("a", "z", arguments='{"n": 1}')],
            [("delete", "a"), ("delete", "a_out"), ("create", "a"), ("create", "a_out")], id="other arguments, too",
        ),
        pytest.param(
            [call("a", "y"), output_of(call("a", "y"))], [user("a")],
            [("delete", "a"), ("delete", "a_out"), ("create", "a")], id="a message with the id of a call",
        ),
        pytest.param(
            [call("a", "y", server="s")], [call("a", "z", server="s")], [("delete", "a"), ("create", "a")],
            id="the output of a hosted tool is a part of its call",
        ),
    ],
)  # fmt: skip
def test_a_call_is_created_again_only_if_its_output_cannot_be_replaced(
    old: list[Entry], new: list[RealtimeItem], expected: list[tuple[str, str]]
) -> None:
    assert kinds(history_edits(old, new)) == expected


def test_an_output_is_created_directly_after_its_call() -> None:
    result = edited([call("a"), OtherItem("1", "reasoning"), user("B")], [call("a", "z"), user("B")])
    assert [item["id"] for item in result] == ["a", "a_out", "1", "B"]


def test_another_output_is_created_before_the_unlisted_item_behind_its_call() -> None:
    old: list[Entry] = [call("a", "y"), output_of(call("a", "y")), OtherItem("1", "reasoning")]
    assert [item["id"] for item in edited(old, [call("a", "z")])] == ["a", "a_out", "1"]


def test_an_item_is_not_created_behind_an_output_that_was_deleted() -> None:
    made = call("a", "y")
    old: list[Entry] = [made, OtherItem("item_9", "function_call_output", "a", made.call_id, "y"), user("C")]
    assert [item["id"] for item in edited(old, [call("a", "z"), user("B"), user("C")])] == ["a", "a_out", "B", "C"]


def test_items_that_replace_all_others_come_after_the_unlisted_items() -> None:
    assert [item["id"] for item in edited([OtherItem("1", "reasoning"), user("A")], [user("B"), user("C")])] == [
        "1", "B", "C"
    ]  # fmt: skip


def test_items_of_a_lost_connection_are_created_again_and_their_summary_is_deleted() -> None:
    summary = OtherItem("note", "message")
    old: list[Entry] = [user("a"), user("b"), OtherItem("1", "reasoning"), summary]
    new: list[RealtimeItem] = [user("a"), user("b"), user("c")]
    assert kinds(history_edits(old, new, lost={"a"})) == [
        ("delete", "note"), ("delete", "a"), ("create", "a"), ("create", "c")
    ]  # fmt: skip
    assert kinds(history_edits(old, new)) == [("create", "c")], "a message of the server that is no summary stays"


def test_places_in_the_old_conversation_do_not_count() -> None:
    old: list[Entry] = [user("a"), UserMessageItem(item_id="b", previous_item_id="a", content=[InputText(text="x")])]
    assert history_edits(old, [user("a"), user("b")]) == []


def test_an_image_has_its_detail_and_a_hosted_call_its_output_only_if_they_are_set() -> None:
    image = UserMessageItem(item_id="u", content=[InputImage(image_url="https://x"), InputImage()])
    hosted = {"type": "mcp_call", "server_label": "s", "name": "f", "arguments": "{}"}
    assert [
        wire for item in (image, call("t", server="s"), call("t", "done", server="s")) for wire in wire_items(item)
    ] == [
        {"id": "u", "type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "https://x"}]},
        {"id": "t", **hosted},
        {"id": "t", **hosted, "output": "done"},
    ]


def test_the_id_of_an_output_has_at_most_32_characters() -> None:
    made = call("i" * 32, "done")
    assert [wire["id"] for wire in wire_items(made)] == ["i" * 32, "i" * 28 + "_out"]


def test_what_is_added_at_the_end_leaves_the_rest_alone() -> None:
    old: list[RealtimeItem] = [user("a"), user("b")]
    (edit,) = history_edits(old, [*old, user("c")])
    assert edit["type"] == "conversation.item.create"
    assert "previous_item_id" not in edit["other_data"]


def test_the_protocols_form_of_items() -> None:
    said = AssistantMessageItem(
        item_id="a", content=[AssistantAudio(transcript="all of it", heard_ms=5, heard_transcript="all")]
    )
    requested = UserMessageItem(
        item_id="u",
        content=[InputAudio(transcript="Look"), InputAudio(), InputImage(image_url="https://x", detail="low")],
    )
    outcome = SystemMessageItem(item_id="s", content=[InputText(text="Be brief.")])
    called = RealtimeToolCallItem(item_id="t", call_id="c", name="f", arguments="{}", status="completed", output="done")
    assert [wire for item in (said, requested, outcome, called) for wire in wire_items(item)] == [
        {"id": "a", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "all"}]},
        {
            "id": "u",
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "https://x", "detail": "low"},
            ],
        },
        {"id": "s", "type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"id": "t", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"id": "t_out", "type": "function_call_output", "call_id": "c", "output": "done"},
    ]


@pytest.mark.virtual_time
async def test_a_session_can_be_seeded_and_edited() -> None:
    async with opened() as kit:
        await kit.session.update_history([user("a"), user("b")])
        kit.emit(
            RealtimeModelItemUpdatedEvent(user("a"), previous_item_id=""),
            RealtimeModelItemUpdatedEvent(user("b"), previous_item_id="a"),
        )
        await kit.session.update_history(lambda history: history[1:])
        kinds = [(e.message["type"]) for e in kit.sent if isinstance(e, RealtimeModelSendRawMessage)]
        assert kinds == ["conversation.item.create"] * 2 + ["conversation.item.delete"]


class SdkItem:
    """An item with pydantic's method, such as that of the SDK."""

    def model_dump(self) -> dict[str, Any]:
        return user("a").model_dump()


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "given",
    [
        user("a"),
        user("a").model_dump(),
        {"id": "a", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]},
        SdkItem(),
    ],
)
async def test_a_history_may_be_given_as_items_or_as_stored_items(given: Any) -> None:
    async with opened() as kit:
        await kit.session.update_history([given])
        (sent,) = [each.message for each in kit.sent if isinstance(each, RealtimeModelSendRawMessage)]
        assert sent["other_data"]["item"] == next(wire_items(user("a")))


@pytest.mark.virtual_time
@pytest.mark.parametrize("given", [None, 5, [5], [None], ["text"], [user("")], [{"role": "user", "content": []}]])
async def test_what_is_no_history_is_refused_and_changes_nothing(given: Any) -> None:
    async with opened() as kit:
        for history in (given, lambda _: given):
            with pytest.raises(UserError):
                await kit.session.update_history(history)
        assert not [each for each in kit.sent if isinstance(each, RealtimeModelSendRawMessage)]
