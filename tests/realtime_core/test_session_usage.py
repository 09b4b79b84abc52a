"""Tokens and their cost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from realtime_core import (
    PRICES_PER_MILLION,
    ModalityTokens,
    Prices,
    RealtimeModelCachedTokensDetails,
    RealtimeModelInputTokensDetails,
    RealtimeModelOutputTokensDetails,
    Usage,
)
from realtime_core.openai_realtime.usage import usage_event

DETAILS: dict[str, Any] = {
    "input_token_details": {
        "text_tokens": 100,
        "audio_tokens": 200,
        "image_tokens": 10,
        "cached_tokens": 80,
        "cached_tokens_details": {"text_tokens": 50, "audio_tokens": 30},
    },
    "output_token_details": {"text_tokens": 20, "audio_tokens": 60},
}


def response(given: int, taken: int, total: int, details: dict[str, Any], response_id: str = "") -> Usage:
    counts = {"input_tokens": given, "output_tokens": taken, "total_tokens": total}
    return Usage.of_response(counts | details, response_id)


def test_responses_are_summed_with_their_modalities() -> None:
    usage = Usage()
    usage.add(response(310, 80, 390, DETAILS, "r1"))
    usage.add(response(10, 5, 0, {"input_token_details": None, "output_token_details": "odd"}))
    assert (usage.requests, usage.input_tokens, usage.output_tokens, usage.total_tokens) == (2, 320, 85, 405)
    assert usage.input_tokens_details == ModalityTokens(100, 200, 10, 50, 30, 0, cached_tokens=80)
    assert usage.output_tokens_details == ModalityTokens(20, 60)
    assert [entry.response_id for entry in usage.request_usage_entries] == ["r1", ""]


def test_sums_of_sums_and_snapshots() -> None:
    one, two = Usage(), Usage()
    one.add(response(310, 80, 390, DETAILS, "r1"))
    two.add(response(1, 1, 2, {}, "r2"))
    before = one.snapshot()
    one.add(two)
    assert (one.requests, one.total_tokens, before.requests, before.total_tokens) == (2, 392, 1, 390)
    assert [entry.response_id for entry in one.request_usage_entries] == ["r1", "r2"]
    assert len(before.request_usage_entries) == 1


def test_single_responses_are_kept_up_to_a_bound() -> None:
    usage = Usage()
    for _ in range(1100):
        usage.add(response(1, 1, 2, {}))
    assert (usage.requests, len(usage.request_usage_entries)) == (1100, 1000)


def test_cost_by_modality() -> None:
    usage = Usage()
    usage.add(response(310, 80, 390, DETAILS))
    prices = {"m": Prices(1, 2, 10, 20, image_in=5, cached_text_in=0.5, cached_audio_in=0.25)}
    cost = usage.cost("m", prices)
    assert cost.input == pytest.approx((50 * 1 + 170 * 10 + 10 * 5 + 50 * 0.5 + 30 * 0.25) / 1e6)
    assert cost.output == pytest.approx((20 * 2 + 60 * 20) / 1e6)
    assert cost.total == cost.input + cost.output


def test_tokens_without_details_count_as_text() -> None:
    usage = Usage()
    usage.add(response(1_000_000, 1_000_000, 0, {}))
    assert usage.cost("m", {"m": Prices(1, 2, 10, 20)}).total == 3.0


@pytest.mark.parametrize(
    ("model", "known"), [("gpt-realtime", True), ("gpt-realtime-mini-2025-10-06", True), ("gpt-realtime-x", False)]
)
def test_which_models_have_a_price(model: str, known: bool) -> None:
    """A dated snapshot has the price of its model. Another model has no price, and not a wrong price."""
    prices = {"gpt-realtime": Prices(1, 1, 1, 1), "gpt-realtime-mini": Prices(1, 1, 1, 1)}
    assert Usage().cost(model, prices).known is known
    assert Usage().cost(model).known is False, "no price is built in: it would be somebody's guess"


def test_the_table_can_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = Usage(input_tokens=1_000_000)
    monkeypatch.setitem(PRICES_PER_MILLION, "mine", Prices(7, 0, 0, 0))
    assert usage.cost("mine").total == 7.0
    assert usage.cost("nobody's").known is False


def test_a_single_response_of_a_foreign_model_gets_an_entry_and_its_details_are_read_by_name() -> None:
    details: Any = SimpleNamespace(cached_tokens=4, cache_write_tokens=None)
    usage = Usage()
    usage.add(Usage(requests=1, input_tokens=7, input_tokens_details=details, output_tokens=3, total_tokens=10))
    usage.add(Usage(requests=1))
    assert usage.input_tokens_details == ModalityTokens(cached_tokens=4)
    (entry,) = usage.request_usage_entries
    assert (entry.total_tokens, entry.input_tokens_details.cached_tokens) == (10, 4)


WIRE: dict[str, Any] = {"total_tokens": 390, "input_tokens": 310, "output_tokens": 80, **DETAILS}


def test_the_usage_event_has_the_sum_and_both_breakdowns() -> None:
    event = usage_event("r1", WIRE)
    assert (event.type, event.response_id, event.usage) == ("usage", "r1", Usage.of_response(WIRE, "r1"))
    assert event.input_tokens_details == RealtimeModelInputTokensDetails(
        100, 200, 10, 80, RealtimeModelCachedTokensDetails(50, 30, None)
    )
    assert event.output_tokens_details == RealtimeModelOutputTokensDetails(20, 60)


@pytest.mark.parametrize("odd", [None, "odd", 7, []])
def test_details_that_are_absent_or_odd_are_none(odd: Any) -> None:
    event = usage_event("r1", {"input_tokens": "many", "input_token_details": odd, "output_token_details": odd})
    assert (event.usage.total_tokens, event.input_tokens_details, event.output_tokens_details) == (0, None, None)
    event = usage_event("r1", {"input_token_details": {"text_tokens": odd, "cached_tokens_details": odd}})
    assert event.input_tokens_details is not None
    assert event.input_tokens_details.cached_tokens_details is None
    assert event.input_tokens_details.text_tokens == (7 if odd == 7 else None)


def test_token_details_of_a_users_model_may_be_none_or_of_another_class() -> None:
    """Such a usage can be the one that others are added to."""
    details: Any = SimpleNamespace(cached_tokens=3, cache_write_tokens=None)
    nothing: Any = None
    usage = Usage(1, 10, details, 5, nothing, 15)
    assert (usage.input_tokens_details, usage.output_tokens_details) == (
        ModalityTokens(cached_tokens=3),
        ModalityTokens(),
    )
    usage.add(Usage(1, 10, details, 5, nothing, 15))
    assert usage.input_tokens_details.cached_tokens == 6
