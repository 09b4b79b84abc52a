"""The usage of a text model: the number of requests and tokens. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TextModelUsage"]


@dataclass(frozen=True, slots=True)
class TextModelUsage:
    """The number of requests that the text model has answered, and the number of tokens that the text model has
    used.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: TextModelUsage) -> TextModelUsage:
        return TextModelUsage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    def __sub__(self, other: TextModelUsage) -> TextModelUsage:
        return self + TextModelUsage(-other.requests, -other.input_tokens, -other.output_tokens)
