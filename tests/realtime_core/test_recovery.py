"""The memory of a new session, and the reasons for one."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.connection import Close
from realtime_core.errors import ConnectFailed, ModelBehaviorError, RealtimeCoreError, ServerRejected
from realtime_core.items import (
    AssistantAudio,
    AssistantMessageItem,
    AssistantText,
    InputText,
    RealtimeItem,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserMessageItem,
)
from realtime_core.openai_realtime.recovery import (
    ReconnectPolicy,
    is_recoverable,
    is_worth_retrying,
    replayed,
    summary,
)

texts = st.text(max_size=300)
items = st.one_of(
    st.builds(lambda t: UserMessageItem(item_id="u", content=[InputText(text=t)]), texts),
    st.builds(lambda t: SystemMessageItem(item_id="s", content=[InputText(text=t)]), texts),
    st.builds(lambda t: AssistantMessageItem(item_id="a", content=[AssistantText(text=t)]), texts),
    st.builds(
        lambda t, h: AssistantMessageItem(
            item_id="a", content=[AssistantAudio(transcript=t, heard_ms=h, heard_transcript=t[:2] if h else None)]
        ),
        texts,
        st.none() | st.integers(0, 9),
    ),
    st.builds(
        lambda n, a, o: RealtimeToolCallItem(item_id="c", call_id="call", name=n, arguments=a, output=o),
        texts,
        texts,
        st.none() | texts,
    ),
)


def test_an_empty_conversation_has_no_summary() -> None:
    assert summary([], 1000) is None
    assert summary([AssistantMessageItem(item_id="a", content=[AssistantAudio()])], 1000) is None


def test_the_summary_names_tools_without_a_result() -> None:
    text = summary([RealtimeToolCallItem(item_id="c", call_id="c", name="book", arguments="{}")], 1000)
    assert text is not None and "Tool book({}): no result yet" in text


def test_the_newest_are_kept() -> None:
    history: list[RealtimeItem] = [
        UserMessageItem(item_id=f"u{n}", content=[InputText(text=f"sentence number {n}")]) for n in range(1000)
    ]
    text = summary(history, 2000)
    assert text is not None and "number 999" in text and "number 5\n" not in text and "left out" in text


@given(st.lists(items, max_size=30), st.integers(100, 3000))
def test_a_summary_is_bounded_and_holds_what_fits(history: list[RealtimeItem], max_chars: int) -> None:
    text = summary(history, max_chars)
    if text is not None:
        assert len(text) <= max_chars + 700
    wire = replayed(history, max_chars)
    assert sum(len(str(each)) for each in wire) <= max_chars
    outputs = {each["call_id"] for each in wire if each["type"] == "function_call_output"}
    assert outputs <= {each["call_id"] for each in wire if each["type"] == "function_call"}


@given(st.integers(0, 50), st.integers())
def test_delays_are_spread_and_bounded(attempt: int, seed: int) -> None:
    policy = ReconnectPolicy(first_delay_s=0.5, max_delay_s=4.0)
    delay_s = policy.delay_s(attempt, Random(seed))
    whole = min(4.0, 0.5 * 2**attempt)
    assert whole / 2 <= delay_s <= whole


def _status(status: int) -> ConnectFailed:
    error = ConnectFailed("x")
    error.status = status
    return error


def _closed(code: int) -> ConnectFailed:
    error = ConnectFailed("x")
    error.close = Close(code, "", "peer")
    return error


@pytest.mark.parametrize(
    ("error", "worth"),
    [
        (ConnectFailed("x"), True),
        (_status(401), False),
        (_status(429), True),
        (_status(503), True),
        (_closed(1013), True),
        (_closed(1006), True),
        (_closed(1008), False),
        (_closed(1000), False),
        (ServerRejected("x", type="invalid_request_error"), False),
        (ServerRejected("x", type="server_error"), True),
        (ServerRejected("x", code="rate_limit_exceeded"), True),
        (ModelBehaviorError("x"), False),
    ],
)
def test_errors_that_are_worth_a_retry(error: RealtimeCoreError, worth: bool) -> None:
    assert is_worth_retrying(error) is worth


@pytest.mark.parametrize(
    ("close", "recoverable"),
    [
        (Close(1006, "", "network"), True),
        (Close(1001, "", "peer"), True),
        (Close(1000, "", "peer"), False),
        (Close(1000, "", "us"), False),
        (Close(1008, "", "peer"), False),
        (Close(1009, "over 16777216 bytes", "us"), True),
        (Close(1011, "internal error", "us"), False),
    ],
)
def test_recoverable_ends(close: Close, recoverable: bool) -> None:
    assert is_recoverable(close) is recoverable
