"""The cost of a model: by modality, by the minute, by own prices; and None if it is not known."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from realtime_core.usage import Usage
from telephony.cost import ModelPrice, PriceList


def usage(**details: Any) -> Usage:
    return Usage.of_response(
        {
            "input_tokens": 1000,
            "output_tokens": 1000,
            "input_token_details": {
                "text_tokens": 200,
                "audio_tokens": 800,
                "cached_tokens": 500,
                "cached_tokens_details": {"text_tokens": 100, "audio_tokens": 400},
            },
            "output_token_details": {"text_tokens": 100, "audio_tokens": 900},
            **details,
        }
    )


def test_tokens_are_priced_by_modality() -> None:
    """By OpenAI's list: 4 and 24 dollars for text, 32 and 64 for audio, 0.4 for cached input."""
    known = PriceList().cost("gpt-realtime-2.1", usage())
    assert known == pytest.approx((100 * 4 + 400 * 32 + 100 * 0.4 + 400 * 0.4 + 100 * 24 + 900 * 64) / 1e6)


def test_a_model_by_the_minute_is_priced_by_its_audio() -> None:
    assert PriceList().cost("gpt-live-transcribe", Usage(), audio_s=60) == pytest.approx(0.017)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("a-model-that-nobody-knows", {}),
        ("", {}),
        ("gpt-live-transcribe", {}),
    ],
    ids=["unknown model", "no model", "by the minute, and the minutes are not known"],
)
def test_what_is_not_known_is_none_and_never_0(model: str, options: dict[str, Any]) -> None:
    assert PriceList().cost(model, usage(), **options) is None


def test_models_at_another_address_have_no_known_price() -> None:
    assert PriceList(base_url="http://127.0.0.1:9/v1").cost("gpt-realtime-2.1", usage()) is None
    assert PriceList(base_url="https://api.openai.com/v1").cost("gpt-realtime-2.1", usage()) is not None


def test_own_prices_replace_the_list() -> None:
    own = PriceList({"gpt-realtime-2.1": ModelPrice(text_in=1, audio_out=10), "mine": ModelPrice(per_minute=0.06)})
    assert own.cost("gpt-realtime-2.1", usage()) == pytest.approx((100 * 1 + 900 * 10) / 1e6)
    assert own.cost("mine", usage(), audio_s=30) == pytest.approx(0.03)
    assert own.cost("mine", usage()) is None
    assert PriceList({"free": ModelPrice()}).cost("free", usage()) == 0, "the owner says that it costs nothing"


@pytest.mark.parametrize("wrong", [{"text_in": -1}, {"texts_in": 1}, {"per_minute": "much"}])
def test_a_price_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelPrice(**wrong)
