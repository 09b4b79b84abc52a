"""The actions (effects) that the methods of `Responses` return. The code that calls such a method must execute them.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["CancelResponse", "CreateResponse", "Effect", "Options", "ResponseFailed", "ResponseStalled"]

Options = Mapping[str, Any]
"""The options of a response: the `response` object of `response.create`."""


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """An action that a method of `Responses` returns: send the client event `response.create` with this event id and
    these options.
    """

    event_id: str
    options: Options


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """An action that `Responses` requests: send `response.cancel`. An empty `response_id` means the response in
    progress in the default conversation. If `mute` is True, no audio of the response may be played.
    """

    event_id: str
    response_id: str
    mute: bool = False


@dataclass(frozen=True, slots=True)
class ResponseStalled:
    """The response sent no event for too long. The response counts as ended, and its later events are ignored.
    `is_complete` is True if all of its items are complete and only `response.done` is missing.
    """

    response_id: str
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class ResponseFailed:
    """A response failed, or the server refused the request for the response (`response_id` is "").

    `reason` is the protocol's reason, or one of these: `empty` or `text_only` (no audio in an audio session),
    `no_reaction` (the server never answered), `stalled` (the response stopped). If `retrying` is True, the request is
    sent again.
    """

    response_id: str
    status: str
    reason: str
    error: Any
    retrying: bool


Effect = CreateResponse | CancelResponse | ResponseStalled | ResponseFailed
