"""What stays of a known item when the server reports it again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from realtime_core.history_merge import later_status, merged
from realtime_core.items import (
    AssistantAudio,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    RealtimeItem,
    RealtimeToolCallItem,
    UserMessageItem,
)


def said(*content: Any, status: Any = None) -> AssistantMessageItem:
    return AssistantMessageItem(item_id="a", content=list(content), status=status)


def heard(*content: Any, status: Any = None) -> UserMessageItem:
    return UserMessageItem(item_id="u", content=list(content), status=status)


CUT = AssistantAudio(transcript="Hello there", received_ms=800, heard_ms=300, heard_transcript="Hello")


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        pytest.param([CUT], [AssistantAudio(received_ms=100)], [CUT], id="speech keeps what was heard and received"),
        pytest.param(
            [AssistantAudio(transcript="Hel", received_ms=100)],
            [AssistantAudio(transcript="Hello", received_ms=800)],
            [AssistantAudio(transcript="Hello", received_ms=800)],
            id="a longer transcript, and more audio",
        ),
        pytest.param(
            [AssistantText(text="Hi")], [AssistantText()], [AssistantText(text="Hi")], id="a text that is left out"
        ),
        pytest.param(
            [AssistantText(text="Hi")],
            [AssistantText(text="Hi there")],
            [AssistantText(text="Hi there")],
            id="another text",
        ),
        pytest.param([CUT], [AssistantText(text="Hi")], [AssistantText(text="Hi")], id="text in place of speech"),
        pytest.param([AssistantText(text="Hi")], [CUT], [CUT], id="speech in place of text"),
        pytest.param(
            [CUT, AssistantText(text="Hi")],
            [AssistantAudio()],
            [CUT, AssistantText(text="Hi")],
            id="a part is left out",
        ),
        pytest.param(
            [CUT], [AssistantAudio(), AssistantText(text="Hi")], [CUT, AssistantText(text="Hi")], id="a part is added"
        ),
    ],
)
def test_the_agents_content_keeps_what_an_update_leaves_out(old: list[Any], new: list[Any], result: list[Any]) -> None:
    assert merged(said(*old), said(*new)) == said(*result)


PICTURE, OTHER = InputImage(image_url="https://a"), InputImage(image_url="https://b")


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        pytest.param(
            [InputAudio(transcript="Hi")], [InputAudio()], [InputAudio(transcript="Hi")], id="a transcript is left out"
        ),
        pytest.param(
            [InputAudio(transcript="Hi")],
            [InputAudio(transcript="Hey")],
            [InputAudio(transcript="Hey")],
            id="another one",
        ),
        pytest.param(
            [InputText(text="Hi")], [InputAudio()], [InputAudio(transcript="Hi")], id="speech in place of text"
        ),
        pytest.param([PICTURE], [InputAudio()], [PICTURE, InputAudio()], id="speech beside an image"),
        pytest.param([InputText(text="Hi")], [InputText()], [InputText(text="Hi")], id="a text is left out"),
        pytest.param([InputText(text="Hi")], [InputText(text="Hey")], [InputText(text="Hey")], id="another text"),
        pytest.param([InputAudio(transcript="Hi")], [InputText()], [InputText()], id="text in place of speech"),
        pytest.param(
            [PICTURE, InputText(text="Hi")], [InputText()], [PICTURE, InputText(text="Hi")], id="an image is left out"
        ),
        pytest.param(
            [PICTURE, InputText(text="Hi")],
            [InputText(), PICTURE, OTHER],
            [InputText(text="Hi"), PICTURE, OTHER],
            id="the order of an update with images is the server's",
        ),
        pytest.param([PICTURE], [OTHER], [PICTURE, OTHER], id="other images come after the known ones"),
        pytest.param([InputText(text="Hi")], [OTHER], [OTHER, InputText(text="Hi")], id="a text beside a new image"),
        pytest.param(
            [InputText(text="1"), InputText(text="2")],
            [InputText()],
            [InputText(text="1"), InputText(text="2")],
            id="a part is left out",
        ),
        pytest.param(
            [InputText(text="1")],
            [InputText(), InputText(text="2")],
            [InputText(text="1"), InputText(text="2")],
            id="a part is added",
        ),
    ],
)
def test_the_callers_content_keeps_what_an_update_leaves_out(old: list[Any], new: list[Any], result: list[Any]) -> None:
    assert merged(heard(*old), heard(*new)) == heard(*result)


def call(**fields: Any) -> RealtimeToolCallItem:
    return RealtimeToolCallItem(**{"item_id": "t", "call_id": "c", "name": "f", "arguments": "{}", **fields})


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        pytest.param({"output": "4"}, {}, {"output": "4"}, id="the output"),
        pytest.param({"output": "4"}, {"output": "5"}, {"output": "5"}, id="another output"),
        pytest.param({"output": "4"}, {"output": ""}, {"output": ""}, id="an empty output is an output"),
        pytest.param({"arguments": '{"n": 1}'}, {"arguments": ""}, {"arguments": '{"n": 1}'}, id="the arguments"),
        pytest.param({}, {"arguments": '{"n": 1}'}, {"arguments": '{"n": 1}'}, id="other arguments"),
        pytest.param({}, {"call_id": None}, {}, id="the id of the call"),
        pytest.param({"call_id": "d"}, {}, {}, id="another id of the call"),
        pytest.param({"server_label": "s"}, {}, {"server_label": "s"}, id="the server of a hosted tool"),
        pytest.param({"server_label": "s"}, {"server_label": "z"}, {"server_label": "z"}, id="another server"),
        pytest.param({}, {"item_id": "c"}, {}, id="an id that was only known from the call"),
        pytest.param({}, {"item_id": "x"}, {"item_id": "x"}, id="another id"),
        pytest.param({"status": "completed"}, {"status": "in_progress"}, {"status": "completed"}, id="a later status"),
        pytest.param(
            {"status": "in_progress"}, {"status": "incomplete"}, {"status": "incomplete"}, id="another status"
        ),
        pytest.param({"status": None}, {"status": None}, {"status": "in_progress"}, id="no status"),
    ],
)
def test_a_call_keeps_what_an_update_leaves_out(
    old: dict[str, Any], new: dict[str, Any], result: dict[str, Any]
) -> None:
    assert merged(call(**old), call(**new)) == call(**result)


@pytest.mark.parametrize("old", [call(), said(CUT), heard(InputText(text="Hi"))])
@pytest.mark.parametrize("new", [call(), said(AssistantAudio()), heard(InputText())])
def test_an_item_of_another_kind_replaces_the_known_one(old: RealtimeItem, new: RealtimeItem) -> None:
    if type(old) is not type(new):
        assert merged(old, new) is new


@pytest.mark.parametrize("message", [partial(said, CUT), partial(heard, InputText(text="Hi"))], ids=["agent", "caller"])
def test_a_known_status_is_not_taken_back(message: Callable[..., RealtimeItem]) -> None:
    assert merged(message(status="completed"), message(status="in_progress")) == message(status="completed")
    assert merged(message(status="completed"), message()) == message(status="completed")
    assert merged(message(status="in_progress"), message(status="completed")) == message(status="completed")


def test_the_later_of_two_statuses_is_known() -> None:
    assert later_status(None, "in_progress") == "in_progress"
    assert later_status("completed", None) == "completed"
    assert later_status("in_progress", "completed") == "completed"
    assert later_status(None, None) is None
