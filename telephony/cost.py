"""Computes the cost of the use of a model. The prices are those of the package `genai-prices`, or the user's own
prices. An unknown cost is None, and never 0.

Tokens have a price for each modality. Models that are billed by the minute have a price for the length of the audio.
The prices come with the installed release of `genai-prices` (https://github.com/pydantic/genai-prices). The first use
imports the data of this package, which takes about half a second. Therefore `load` should be called before calls begin.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from realtime_core.usage import ModalityTokens, Prices, Usage

__all__ = ["ModelPrice", "PriceList"]


class ModelPrice(BaseModel):
    """The price of one model in US dollars: per million tokens by modality, per minute of audio, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text_in: float = Field(default=0.0, ge=0)
    text_out: float = Field(default=0.0, ge=0)
    audio_in: float = Field(default=0.0, ge=0)
    audio_out: float = Field(default=0.0, ge=0)
    image_in: float = Field(default=0.0, ge=0)
    cached_text_in: float = Field(default=0.0, ge=0)
    cached_audio_in: float = Field(default=0.0, ge=0)
    cached_image_in: float = Field(default=0.0, ge=0)
    per_minute: float = Field(default=0.0, ge=0)


class PriceList:
    """The prices of models.

    `own` has prices by the name of the model. These prices replace the prices of `genai-prices`. `base_url` is the URL
    of the models, if the models are not OpenAI's. In this case a price of `genai-prices` is known only if
    `genai-prices` knows the provider with this URL.
    """

    def __init__(self, own: Mapping[str, ModelPrice] | None = None, *, base_url: str | None = None) -> None:
        self._own = dict(own or {})
        self._base_url = base_url

    def load(self) -> None:
        """Imports the prices. The import takes about half a second, so `load` should be called in a thread."""
        import genai_prices.data  # noqa: F401

    def cost(self, model: str, usage: Usage, *, audio_s: float | None = None) -> float | None:
        """Returns the cost of `usage` (tokens of the model with the name `model`) in US dollars. Returns None if the
        price of the model is unknown, or if the arguments do not contain the numbers by which the model is billed.

        `audio_s` is the length of the audio in seconds, for models that are billed by the minute.
        """
        if (own := self._own.get(model)) is not None:
            if own.per_minute and audio_s is None:
                return None
            prices = Prices(**own.model_dump(exclude={"per_minute"}))
            return usage.cost(model, {model: prices}).total + own.per_minute * (audio_s or 0.0) / 60
        if not model:
            return None
        from genai_prices import Usage as Priced
        from genai_prices import calc_price

        counts = _counts(usage) | ({} if audio_s is None else {"audio_seconds": audio_s})
        try:
            if self._base_url is None:
                found = calc_price(Priced(**counts), model, provider_id="openai")
            else:
                found = calc_price(Priced(**counts), model, provider_api_url=self._base_url)
        except (LookupError, ValueError):  # the model is not known, or this combination of units has no price
            return None
        price = float(found.total_price)
        return None if price == 0 and any(counts.values()) else price


def _counts(usage: Usage) -> dict[str, float]:
    """Returns the units for `genai-prices`. A total count includes the tokens of each modality. Counts of 0 are left
    out.
    """
    i, o = usage.input_tokens_details, usage.output_tokens_details
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "input_audio_tokens": i.audio,
        "output_audio_tokens": o.audio,
        "input_image_tokens": i.image,
        "cache_read_tokens": max(i.cached_tokens, _cached(i)),
        "cache_audio_read_tokens": i.cached_audio,
        "cache_image_read_tokens": i.cached_image,
    }
    return {unit: count for unit, count in counts.items() if count}


def _cached(details: ModalityTokens) -> int:
    return details.cached_text + details.cached_audio + details.cached_image
