"""Effects that `Responses` returns for its caller to execute. Pure."""

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
    """Send `response.cancel`. An empty `response_id` means the response in progress in the default conversation. With
    `mute` no audio of the response may be played."""

    event_id: str
    response_id: str
    mute: bool = False


@dataclass(frozen=True, slots=True)
class ResponseStalled:
    """The response sent no event for too long. It has ended, and its later events are ignored. `is_complete` means that
    all of its items are complete; only `response.done` is missing.
    """

    response_id: str
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class ResponseFailed:
    """A response failed, or the server refused the request for it (`response_id` is "").

    `reason` is the protocol's or one of ours: `empty` or `text_only` (no audio in an audio session), `no_reaction`
    (the server never answered), `stalled` (the response stopped). With `retrying` the request is sent again."""

    response_id: str
    status: str
    reason: str
    error: Any
    retrying: bool


Effect = CreateResponse | CancelResponse | ResponseStalled | ResponseFailed
