"""Tokens spent, with the protocol's modality details, and what they are estimated to cost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["PRICES_PER_MILLION", "CostEstimate", "ModalityTokens", "Prices", "Usage", "UsageEntry"]


@dataclass(frozen=True, slots=True)
class ModalityTokens:
    """Tokens by modality; `cached_*` are part of the others. What was not broken down is in none."""

    text: int = 0
    audio: int = 0
    image: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    cached_image: int = 0

    @classmethod
    def from_details(cls, details: Any) -> ModalityTokens:
        """From `input_token_details` or `output_token_details` of the protocol; what is not there counts as 0."""
        cached = details.get("cached_tokens_details") if isinstance(details, Mapping) else None
        plain = {name: _count(details, f"{name}_tokens") for name in ("text", "audio", "image")}
        return cls(**plain, **{f"cached_{name}": _count(cached, f"{name}_tokens") for name in plain})

    def __add__(self, other: ModalityTokens) -> ModalityTokens:
        return ModalityTokens(
            self.text + other.text,
            self.audio + other.audio,
            self.image + other.image,
            self.cached_text + other.cached_text,
            self.cached_audio + other.cached_audio,
            self.cached_image + other.cached_image,
        )


def _count(details: Any, key: str) -> int:
    value = details.get(key) if isinstance(details, Mapping) else None
    return int(value) if isinstance(value, (int, float)) else 0


@dataclass(frozen=True, slots=True)
class UsageEntry:
    """The tokens of one response."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_details: ModalityTokens = ModalityTokens()
    output_details: ModalityTokens = ModalityTokens()
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens."""

    text_in: float
    text_out: float
    audio_in: float
    audio_out: float
    image_in: float = 0.0
    cached_text_in: float = 0.0
    cached_audio_in: float = 0.0
    cached_image_in: float = 0.0


PRICES_PER_MILLION: dict[str, Prices] = {}
"""By model name; a dated snapshot (`gpt-realtime-2025-08-28`) has the price of its model. Empty, because prices change:
enter those of your account (https://platform.openai.com/docs/pricing), or pass a table of your own."""


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """US dollars. `known` is false when the table has no entry for the model (the sums are 0 then)."""

    input: float
    output: float
    known: bool = True

    @property
    def total(self) -> float:
        return self.input + self.output


@dataclass(slots=True)
class Usage:
    """What a session has spent so far. `request_usage_entries` keeps the latest 1,000 responses one by one."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_details: ModalityTokens = ModalityTokens()
    output_details: ModalityTokens = ModalityTokens()
    request_usage_entries: list[UsageEntry] = field(default_factory=list)

    def add(self, other: Usage) -> None:
        """Add another sum, in place."""
        self._add_sums(other)
        self.request_usage_entries = (self.request_usage_entries + other.request_usage_entries)[-_MAX_ENTRIES:]

    def add_response(
        self,
        input_tokens: int,
        output_tokens: int,
        total_tokens: int,
        details: Mapping[str, Any],
        response_id: str = "",
    ) -> None:
        """Add one response; `details` is the protocol's `usage` object."""
        entry = UsageEntry(
            input_tokens,
            output_tokens,
            total_tokens or input_tokens + output_tokens,
            ModalityTokens.from_details(details.get("input_token_details")),
            ModalityTokens.from_details(details.get("output_token_details")),
            response_id,
        )
        self.requests += 1
        self._add_sums(entry)
        self.request_usage_entries.append(entry)
        del self.request_usage_entries[:-_MAX_ENTRIES]

    def _add_sums(self, other: Usage | UsageEntry) -> None:
        self.requests += other.requests if isinstance(other, Usage) else 0
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.total_tokens += other.total_tokens
        self.input_details += other.input_details
        self.output_details += other.output_details

    def snapshot(self) -> Usage:
        """A copy that stays as it is."""
        return replace(self, request_usage_entries=list(self.request_usage_entries))

    def cost(self, model: str, prices: Mapping[str, Prices] | None = None) -> CostEstimate:
        """An estimate for `model` by a price table (default `PRICES_PER_MILLION`). Tokens that the server did not break
        down by modality count as text, the cheapest."""
        table = PRICES_PER_MILLION if prices is None else prices
        price = table.get(model) or table.get(_SNAPSHOT.sub("", model))
        if price is None:
            return CostEstimate(0.0, 0.0, known=False)
        i, o = self.input_details, self.output_details
        unknown_in = max(0, self.input_tokens - i.text - i.audio - i.image)
        unknown_out = max(0, self.output_tokens - o.text - o.audio)
        spent_in = (
            (i.text - i.cached_text + unknown_in) * price.text_in
            + (i.audio - i.cached_audio) * price.audio_in
            + (i.image - i.cached_image) * price.image_in
            + i.cached_text * price.cached_text_in
            + i.cached_audio * price.cached_audio_in
            + i.cached_image * price.cached_image_in
        )
        spent_out = (o.text + unknown_out) * price.text_out + o.audio * price.audio_out
        return CostEstimate(spent_in / 1e6, spent_out / 1e6)


_MAX_ENTRIES = 1000
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
