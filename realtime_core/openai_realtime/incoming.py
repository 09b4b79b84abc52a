"""What is done with each server event: one function per event, in one table.

Here: the session, its errors, and what asks for nothing. What the caller says is in `incoming_turns`, responses and
items in `incoming_responses`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import model_events as emitted
from ..responses import COLLISION
from . import hosted_tools
from . import server_events as wire
from .incoming_responses import RESPONSE_EVENTS
from .incoming_turns import TURN_EVENTS
from .server_errors import COMMIT_EMPTY, KNOWN_CODES, Fault, classify, code_of, exception
from .settings_ledger import Refusal

if TYPE_CHECKING:
    from .dialogue import Dialogue

__all__ = ["handle"]

_logger = logging.getLogger(__name__)


def handle(dialogue: Dialogue, event: wire.ServerEvent) -> None:
    """Change the dialogue's state, send what is to be sent, emit what is to be told: in this one step."""
    if (response_id := _response_of(event)) is not None:
        dialogue.responses.progress(dialogue.setup.now(), response_id)
        if not dialogue.told.knows(wire.ResponseCreated, response_id):
            dialogue.unannounced_id = response_id
    _HANDLERS[type(event)](dialogue, event)


def _response_of(event: wire.ServerEvent) -> str | None:
    """The response that the event is a part of."""
    if isinstance(event, wire.Notice):
        response_id = event.data.get("response_id")
        return response_id if isinstance(response_id, str) else None
    return getattr(event, "response_id", None)


# The session.


def _session_created(dialogue: Dialogue, event: wire.SessionCreated) -> None:
    expires_at = event.session.get("expires_at")
    dialogue.expires_at = float(expires_at) if isinstance(expires_at, int | float) and expires_at else None
    dialogue.config.created(event.session)
    if not dialogue.created.done():
        dialogue.created.set_result(None)


def _session_updated(dialogue: Dialogue, event: wire.SessionUpdated) -> None:
    dialogue.session_taken(event.session)


def _error(dialogue: Dialogue, event: wire.ServerError) -> None:
    error, fault = exception(event), classify(event)
    if dialogue.reject_configuration(error):
        return
    if (refusal := _refused_update(dialogue, event)) is not None:
        dialogue.session_refused(refusal, error)
        return
    if dialogue.edit_refused(event.event_id, code_of(event) or event.code):
        return
    if (item_id := dialogue.created_items.pop(event.event_id, None)) is not None:
        dialogue.item_refused(item_id)
    is_told = bool(event.event_id) and not dialogue.told.news(error.message, wire.ServerError, event.event_id)
    if _refused_commit(dialogue, event):
        dialogue.emit(emitted.RealtimeModelErrorEvent(error))  # whoever has ended the turn waits for an answer
    elif fault in (Fault.BENIGN, Fault.OURS):
        dialogue.setup.swallowed[code_of(event) or fault.value] += 1
        _logger.debug("The server's %s error was expected: %s", event.code, event.message)
    elif fault is not Fault.EXPIRED and not is_told:
        dialogue.emit(emitted.RealtimeModelErrorEvent(error))
    reason = code_of(event) or event.type
    if reason == COLLISION:
        dialogue.announce()
    dialogue.perform(dialogue.responses.refused(dialogue.setup.now(), event.event_id, reason, error))
    if fault is Fault.EXPIRED:
        dialogue.expired = True
        dialogue.connection.close(1000, "session expired")


def _refused_commit(dialogue: Dialogue, event: wire.ServerError) -> bool:
    """The error refuses a turn that was ended by hand."""
    commits = dialogue.commits_by_hand
    if event.event_id in commits:
        commits.remove(event.event_id)
        return True
    if commits and not event.event_id and code_of(event) == COMMIT_EMPTY:
        commits.popleft()
        return True
    return False


def _refused_update(dialogue: Dialogue, event: wire.ServerError) -> Refusal | None:
    """The `session.update` that the error refuses. An error without an event id refuses one where it names a setting,
    or where nothing else is under way that could be meant."""
    is_ours = bool(event.event_id) or classify(event) is Fault.CONFIGURATION
    if not is_ours and (event.param or code_of(event) in KNOWN_CODES or dialogue.waits_for_answers):
        return None
    return dialogue.config.refused(event.event_id, event.param, event.code)


def _rate_limits(dialogue: Dialogue, event: wire.RateLimits) -> None:
    dialogue.emit(emitted.RealtimeModelRateLimitsEvent(event.rate_limits))


# The rest.


def _nothing(dialogue: Dialogue, event: wire.ServerEvent) -> None:
    pass


def _other(dialogue: Dialogue, event: wire.Notice | wire.Unknown) -> None:
    dialogue.emit(emitted.RealtimeModelOtherEvent(event.data))
    hosted_tools.notice(dialogue, event)


def _malformed(dialogue: Dialogue, event: wire.Malformed) -> None:
    dialogue.setup.swallowed["malformed"] += 1
    _logger.warning("A message of the server is left out: %s", event.reason)
    dialogue.emit(emitted.RealtimeModelOtherEvent(event))


_HANDLERS: Mapping[type, Callable[[Dialogue, Any], None]] = {
    **TURN_EVENTS,
    **RESPONSE_EVENTS,
    wire.SessionCreated: _session_created,
    wire.SessionUpdated: _session_updated,
    wire.ServerError: _error,
    wire.RateLimits: _rate_limits,
    wire.Cleared: _nothing,
    wire.Notice: _other,
    wire.Unknown: _other,
    wire.Malformed: _malformed,
}
