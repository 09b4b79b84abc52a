"""The outcome of a response, and the policy for retrying failed responses.

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
    """The policy for requesting a response again.

    An empty response is requested again immediately. A failed response is requested again after `delay_s` seconds if
    its error code or type is in `transient`. A response without an event for `stalled_after_s` seconds has failed. If
    `stalled_after_s` is None, there is no such limit.
    """

    empty: int = 1
    failed: int = 1
    delay_s: float = 1.0
    transient: frozenset[str] = frozenset(
        {"server_error", "rate_limit_exceeded", "inference_rate_limit_exceeded", "internal_error", "timeout"}
    )
    stalled_after_s: float | None = 15.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a response ended, read from the `response` object of `response.done`. `spoke` is True if the response has
    audio, `wrote` if it has text, and `called` if it has tool calls.
    """

    status: str
    reason: str | None = None
    error: Any = None
    spoke: bool = False
    wrote: bool = False
    called: bool = False

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
        """Whether the caller or the client ended the response. Servers report such a response as `incomplete` or
        `cancelled`.
        """
        return self.status == "cancelled" or self.reason in ("turn_detected", "client_cancelled")

    def names(self) -> list[str]:
        """Returns the code and the type of the error, if the response has them."""
        error = self.error if isinstance(self.error, Mapping) else {}
        return [str(error[name]) for name in ("code", "type") if error.get(name)]


def items_of(response: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns the output items of a `response` object. Items with an id that is not a text are left out."""
    output = response.get("output")
    items = [each for each in output if isinstance(each, Mapping)] if isinstance(output, list) else []
    return [item for item in items if isinstance(item.get("id"), str | None)]


def _parts(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = item.get("content")
    return [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
