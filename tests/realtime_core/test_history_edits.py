"""Making one conversation out of another (rows 29 and 30)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import UserError
from realtime_core.history_edits import history_edits, wire_items
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
