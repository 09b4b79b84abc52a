"""The states of the model's responses in one server session, and the transitions between the states. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

__all__ = ["ResponseState", "StateEvent", "next_state"]


class ResponseState(Enum):
    """The states of the model's responses in one server session."""

    IDLE = auto()
    REQUESTED = auto()
    """The client's `response.create` was sent, and the server has not reacted."""
    ACTIVE = auto()
    """A response is in progress."""
    COLLIDING = auto()
    """A response that the server started itself is in progress, and the client's `response.create` was sent."""


class StateEvent(Enum):
    """An event that changes the state of the model's responses in a server session, such as from "requested" to
    "active".
    """

    SENT = auto()
    """The client sent `response.create`."""
    CREATED_ON_REQUEST = auto()
    """The server created the response that the client requested."""
    CREATED_BY_SERVER = auto()
    """The server created a response that the client did not request."""
    REFUSED = auto()
    """The server refused the client's `response.create`, or no longer answers it."""
    DONE = auto()
    """The response in progress has ended."""


_IDLE, _REQUESTED, _ACTIVE, _COLLIDING = ResponseState
_TABLE: Mapping[tuple[ResponseState, StateEvent], ResponseState] = {
    (_IDLE, StateEvent.SENT): _REQUESTED,
    (_IDLE, StateEvent.CREATED_BY_SERVER): _ACTIVE,
    (_REQUESTED, StateEvent.CREATED_ON_REQUEST): _ACTIVE,
    (_REQUESTED, StateEvent.CREATED_BY_SERVER): _COLLIDING,
    (_REQUESTED, StateEvent.REFUSED): _IDLE,
    (_COLLIDING, StateEvent.REFUSED): _ACTIVE,
    (_COLLIDING, StateEvent.DONE): _REQUESTED,
    (_COLLIDING, StateEvent.CREATED_ON_REQUEST): _ACTIVE,
    (_ACTIVE, StateEvent.DONE): _IDLE,
}


def next_state(state: ResponseState, event: StateEvent) -> ResponseState:
    """Returns the state after the event. If the event cannot change this state, returns `state`."""
    return _TABLE.get((state, event), state)
