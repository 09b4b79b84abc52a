"""Token usage by modality, and its estimated cost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

__all__ = ["PRICES_PER_MILLION", "CostEstimate", "ModalityTokens", "Prices", "Usage", "UsageEntry"]


@dataclass(frozen=True, slots=True)
class ModalityTokens:
    """The tokens of one direction (input or output) by modality: text, audio and image. The sum can be smaller than the
    number of all tokens, because the server does not report the modality of every token.

    `cached_tokens` is the server's sum of cached input tokens. `cached_text` and the other `cached_` fields are its
    parts. `cache_write_tokens` and `reasoning_tokens` have the OpenAI Agents SDK's names. The Realtime API does not
    report these two values, so both are 0 unless a user's model sets them.
    """

    text: int = 0
    audio: int = 0
    image: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    cached_image: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @classmethod
    def from_details(cls, details: Any) -> ModalityTokens:
        """Creates the object from `input_token_details` or `output_token_details` of the protocol. A missing number
        counts as 0.
        """
        cached = details.get("cached_tokens_details") if isinstance(details, Mapping) else None
        plain = {name: _count(details, f"{name}_tokens") for name in ("text", "audio", "image")}
        parts = {f"cached_{name}": _count(cached, f"{name}_tokens") for name in plain}
        return cls(**plain, **parts, cached_tokens=_count(details, "cached_tokens"))

    def __add__(self, other: Any) -> ModalityTokens:
        """Returns the sum. `other` may be any object with some of these attributes, such as the token details of
        `openai`."""
        names = [each.name for each in fields(self)]
        return ModalityTokens(**{name: getattr(self, name) + (getattr(other, name, 0) or 0) for name in names})


def _count(details: Any, key: str) -> int:
    value = details.get(key) if isinstance(details, Mapping) else None
    return int(value) if isinstance(value, (int, float)) else 0


@dataclass(frozen=True, slots=True)
class UsageEntry:
    """The tokens of one response: input, output and both together, and input and output by modality."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: ModalityTokens = ModalityTokens()
    output_tokens_details: ModalityTokens = ModalityTokens()
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of a speech model in US dollars per million tokens."""

    text_in: float
    text_out: float
    audio_in: float
    audio_out: float
    image_in: float = 0.0
    cached_text_in: float = 0.0
    cached_audio_in: float = 0.0
    cached_image_in: float = 0.0


PRICES_PER_MILLION: dict[str, Prices] = {}
"""The prices by model name. The price of a model also applies to its dated snapshots (`gpt-realtime-2025-08-28`). The
table is empty, because prices change. Users can enter the prices of their account
(https://platform.openai.com/docs/pricing), or pass their own table.
"""


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """A cost in US dollars, estimated with a table of prices: `input` for the input tokens, and `output` for the output
    tokens. `known` is False if the table has no prices for the model. Then both costs are 0.
    """

    input: float
    output: float
    known: bool = True

    @property
    def total(self) -> float:
        return self.input + self.output


@dataclass(slots=True)
class Usage:
    """The tokens of one response, or the sum of several. `request_usage_entries` keeps the latest 1,000 responses."""

    requests: int = 0
    input_tokens: int = 0
    input_tokens_details: ModalityTokens = ModalityTokens()
    output_tokens: int = 0
    output_tokens_details: ModalityTokens = ModalityTokens()
    total_tokens: int = 0
    request_usage_entries: list[UsageEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("input_tokens_details", "output_tokens_details"):
            given: Any = getattr(self, name)
            if not isinstance(given, ModalityTokens):  # None, or the token details of `openai`, from a user's model
                setattr(self, name, ModalityTokens() + given)

    @classmethod
    def of_response(cls, usage: Mapping[str, Any], response_id: str = "") -> Usage:
        """Reads the `usage` object of `response.done`. `response_id` is the id of the response, for its entry in
        `request_usage_entries`.

        Source: https://platform.openai.com/docs/api-reference/realtime-server-events/response/done
        """
        input_tokens, output_tokens = _count(usage, "input_tokens"), _count(usage, "output_tokens")
        entry = UsageEntry(
            input_tokens,
            output_tokens,
            _count(usage, "total_tokens") or input_tokens + output_tokens,
            ModalityTokens.from_details(usage.get("input_token_details")),
            ModalityTokens.from_details(usage.get("output_token_details")),
            response_id,
        )
        return cls(
            requests=1,
            input_tokens=entry.input_tokens,
            input_tokens_details=entry.input_tokens_details,
            output_tokens=entry.output_tokens,
            output_tokens_details=entry.output_tokens_details,
            total_tokens=entry.total_tokens,
            request_usage_entries=[entry],
        )

    def add(self, other: Usage) -> None:
        """Adds the numbers of requests and tokens of `other` to this object, and appends the entries of `other` (one
        entry for each response) to `request_usage_entries`. If `other` is the usage of one response and has no entry,
        an entry is created from its numbers.
        """
        self.requests += other.requests
        self.input_tokens += other.input_tokens
        self.input_tokens_details += other.input_tokens_details
        self.output_tokens += other.output_tokens
        self.output_tokens_details += other.output_tokens_details
        self.total_tokens += other.total_tokens
        entries = list(other.request_usage_entries)
        if not entries and other.requests == 1 and other.total_tokens:
            none = ModalityTokens()
            details = none + other.input_tokens_details, none + other.output_tokens_details
            entries = [UsageEntry(other.input_tokens, other.output_tokens, other.total_tokens, *details)]
        self.request_usage_entries = (self.request_usage_entries + entries)[-_MAX_ENTRIES:]

    def snapshot(self) -> Usage:
        """Returns a copy that is not changed by later responses."""
        return replace(self, request_usage_entries=list(self.request_usage_entries))

    def cost(self, model: str, prices: Mapping[str, Prices] | None = None) -> CostEstimate:
        """Estimates the cost for `model` with the price table `prices` (None: `PRICES_PER_MILLION`). Tokens without a
        modality count as text, the cheapest.
        """
        table = PRICES_PER_MILLION if prices is None else prices
        price = table.get(model) or table.get(_SNAPSHOT.sub("", model))
        if price is None:
            return CostEstimate(0.0, 0.0, known=False)
        i, o = self.input_tokens_details, self.output_tokens_details
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
