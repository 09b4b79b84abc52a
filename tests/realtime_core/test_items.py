"""Items as plain data and back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import UserError
from realtime_core.items import (
    AssistantAudio,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    RealtimeItem,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserMessageItem,
    item_from_dict,
)

TEXT = st.none() | st.text(max_size=5)
ID = st.text("abc", min_size=1, max_size=3)
STATUS = st.sampled_from([None, "in_progress", "completed", "incomplete"])
ITEMS: st.SearchStrategy[RealtimeItem] = st.one_of(
    st.builds(
        UserMessageItem,
        item_id=ID,
        previous_item_id=TEXT,
        status=STATUS,
        content=st.lists(
            st.builds(InputText, text=TEXT)
            | st.builds(InputAudio, transcript=TEXT)
            | st.builds(InputImage, image_url=TEXT, detail=TEXT)
        ),
    ),
    st.builds(
        AssistantMessageItem,
        item_id=ID,
        status=STATUS,
        content=st.lists(
            st.builds(AssistantText, text=TEXT)
            | st.builds(
                AssistantAudio,
                transcript=TEXT,
                received_ms=st.floats(0, 1e6),
                heard_ms=st.none() | st.integers(0, 9),
                heard_transcript=TEXT,
            )
        ),
    ),
    st.builds(SystemMessageItem, item_id=ID, status=STATUS, content=st.lists(st.builds(InputText, text=TEXT))),
    st.builds(
        RealtimeToolCallItem,
        item_id=ID,
        call_id=TEXT,
        arguments=st.text(),
        name=ID,
        output=TEXT,
        status=st.sampled_from(["in_progress", "completed"]),
    ),
)


@given(ITEMS)
def test_items_are_the_same_after_dump_and_load(item: RealtimeItem) -> None:
    data = item.model_dump(mode="json")
    assert item_from_dict(json.loads(json.dumps(data))) == item
    assert None not in item.model_dump(exclude_none=True).values()


def test_the_protocols_own_form() -> None:
    item = item_from_dict(
        {
            "id": "item_1",
            "object": "realtime.item",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_audio", "transcript": "Hi", "audio": "AAAA" * 1000},
                {"type": "output_text", "text": "x"},
                {"type": "something new"},
                "odd",
            ],
        }
    )
    assert item == AssistantMessageItem(
        item_id="item_1", status="completed", content=[AssistantAudio(transcript="Hi"), AssistantText(text="x")]
    )


@pytest.mark.parametrize("data", [{}, {"type": "message", "role": "narrator"}, {"type": "mcp_call", "id": "x"}])
def test_what_is_no_item(data: dict[str, str]) -> None:
    with pytest.raises(UserError):
        item_from_dict(data)


def test_what_is_of_another_kind_than_it_should_be_is_left_out() -> None:
    audio = {"type": "output_audio", "transcript": ["Hi"], "heard_ms": "9", "received_ms": 20}
    odd: dict[str, Any] = {"id": "a", "status": 5, "previous_item_id": {}, "content": [audio, {"type": []}, 7]}
    assert item_from_dict({**odd, "type": "message", "role": "assistant"}) == AssistantMessageItem(
        item_id="a", content=[AssistantAudio(received_ms=20)]
    )
    assert item_from_dict({**odd, "role": "user", "content": 7}) == UserMessageItem(item_id="a", content=[])
    call = item_from_dict({"id": 5, "type": "function_call", "name": 7, "arguments": None, "call_id": "c"})
    assert call == RealtimeToolCallItem(item_id="", call_id="c", name="", arguments="")


def test_items_are_values() -> None:
    item = UserMessageItem(item_id="a", content=[InputText(text="x")])
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.item_id = "b"  # type: ignore[misc]


def test_texts() -> None:
    user = UserMessageItem(
        item_id="u",
        content=[InputText(text="one"), InputImage(image_url="x"), InputAudio(transcript="two"), InputAudio()],
    )
    cut = AssistantAudio(transcript="said all", heard_ms=10, heard_transcript="said")
    said = AssistantMessageItem(item_id="a", content=[AssistantText(text="Hm."), cut, AssistantAudio()])
    assert (user.text, said.text, said.heard_text) == ("one two", "Hm. said all", "Hm. said")
