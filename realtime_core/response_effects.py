"""What `Responses` asks of whoever calls it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["CancelResponse", "CreateResponse", "Effect", "Options", "ResponseFailed", "ResponseStalled"]

Options = Mapping[str, Any]
"""The `response` object of `response.create`."""


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """Send `response.create`."""

    event_id: str
    options: Options


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Send `response.cancel`; without a `response_id` ("") for whatever is being made in the default conversation. With
    `mute` nothing of the response may be heard."""

    event_id: str
    response_id: str
    mute: bool = False


@dataclass(frozen=True, slots=True)
class ResponseStalled:
    """Nothing of the response has come for too long: it is over, and what may still come of it is left out.
    `is_complete`: all of its items are complete, only its end was not told."""

    response_id: str
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class ResponseFailed:
    """A response did not do what it was made for, or was refused (`response_id` is ""). `reason` is the protocol's;
    `empty` or `text_only` for one without audio in an audio session; `no_reaction` if the server never answered,
    `stalled` if it began to and went silent. With `retrying` it is asked for once more."""

    response_id: str
    status: str
    reason: str
    error: Any
    retrying: bool


Effect = CreateResponse | CancelResponse | ResponseStalled | ResponseFailed
