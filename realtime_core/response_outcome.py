"""How a response ended, and how often one that failed is asked for again.

Pure. Source: `response.status` and `response.status_details` of `response.done`,
https://platform.openai.com/docs/api-reference/realtime-server-events/response/done
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Outcome", "RetryPolicy", "items_of"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a response that failed is asked for again: an empty one at once, a failed one after `delay_s` and only
    if its error code or type is among `transient`. One of which nothing has come for `stalled_after_s` has failed, too
    (None: it is waited for)."""

    empty: int = 1
    failed: int = 1
    delay_s: float = 1.0
    transient: frozenset[str] = frozenset(
        {"server_error", "rate_limit_exceeded", "inference_rate_limit_exceeded", "internal_error", "timeout"}
    )
    stalled_after_s: float | None = 15.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a response ended, from the `response` object of `response.done`."""

    status: str
    reason: str | None
    error: Any
    spoke: bool
    wrote: bool
    called: bool

    @classmethod
    def of(cls, response: Mapping[str, Any]) -> Outcome:
        details = response.get("status_details")
        details = details if isinstance(details, Mapping) else {}
        items = items_of(response)
        contents = [part for item in items for part in _parts(item)]
        return cls(
            status=str(response.get("status") or "completed"),
            reason=details.get("reason"),
            error=details.get("error"),
            spoke=any(part.get("type") in ("audio", "output_audio") for part in contents),
            wrote=any(part.get("type") in ("text", "output_text") and part.get("text") for part in contents),
            called=any(item.get("type") not in ("message", "reasoning") for item in items),
        )

    @property
    def interrupted(self) -> bool:
        """The caller or the client has ended it. Servers were seen to call that `incomplete` as well as `cancelled`."""
        return self.status == "cancelled" or self.reason in ("turn_detected", "client_cancelled")

    def names(self) -> list[str]:
        """Code and type of the error, as far as it has them."""
        error = self.error if isinstance(self.error, Mapping) else {}
        return [str(error[name]) for name in ("code", "type") if error.get(name)]


def items_of(response: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The items that a `response` object lists as its output."""
    output = response.get("output")
    return [each for each in output if isinstance(each, Mapping)] if isinstance(output, list) else []


def _parts(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = item.get("content")
    return [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
