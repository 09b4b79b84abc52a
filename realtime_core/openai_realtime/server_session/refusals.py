"""Decides what an error of the server means for the session: which client event the server refused, what is sent in its
place, and whether the user gets an error event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ...errors import ServerRejected
from ...model_events import RealtimeModelErrorEvent, RealtimeModelEvent
from ...responses import COLLISION
from ..server_errors import COMMIT_EMPTY, KNOWN_CODES, Fault, classify, code_of
from ..server_events import ServerError
from ..settings_ledger import Refusal
from .caller_turns import CallerTurns
from .items import ConversationItems
from .known_facts import KnownFacts
from .ports import Log
from .requests import ResponseRequests
from .response_events import ResponseEvents
from .steps import Steps
from .updates import SessionUpdates

__all__ = ["Refusals"]


class Refusals:
    """Handles the error events of the server. Finds the client event that the server refuses, and reports the error if
    the user must know about it.
    """

    def __init__(
        self,
        updates: SessionUpdates,
        items: ConversationItems,
        turns: CallerTurns,
        requests: ResponseRequests,
        responses: ResponseEvents,
        known: KnownFacts,
        ignored_errors: Counter[str],
        emit: Callable[[RealtimeModelEvent], None],
        steps: Steps,
        log: Log,
    ) -> None:
        self._updates = updates
        self._items = items
        self._turns = turns
        self._requests = requests
        self._responses = responses
        self._known = known
        self._ignored_errors = ignored_errors
        self._emit = emit
        self._steps = steps
        self._log = log

    def handle(self, event: ServerError, error: ServerRejected) -> None:
        """Reacts to an error event that arrives after the session was configured. Finds the client event that the
        server refused, and undoes or replaces it. Emits an error event to the user, unless the error is harmless.
        `error` is the exception for the same event.
        """
        fault = classify(event)
        if (refusal := self._refused_update(event)) is not None:
            self._updates.refused(refusal, error)
            return
        if self._items.edit_refused(event.event_id, code_of(event) or event.code):
            return
        self._items.creation_refused(event.event_id)
        is_known = bool(event.event_id) and not self._known.add(error.message, ServerError, event.event_id)
        if self._refuses_commit(event):
            self._emit(RealtimeModelErrorEvent(error))  # the user has ended the turn and waits for an answer
        elif fault in (Fault.BENIGN, Fault.OURS):
            self._ignored_errors[code_of(event) or fault.value] += 1
            self._log.debug("The server's %s error was expected: %s", event.code, event.message)
        elif fault is not Fault.EXPIRED and not is_known:
            self._emit(RealtimeModelErrorEvent(error))
        reason = code_of(event) or event.type
        if reason == COLLISION:
            self._responses.announce()
        self._requests.perform(self._requests.responses.refused(self._steps.now, event.event_id, reason, error))

    def _refuses_commit(self, event: ServerError) -> bool:
        """Returns whether the error refuses the end of a turn that the user has requested."""
        commits = self._turns.commits
        if event.event_id in commits:
            commits.remove(event.event_id)
            return True
        if commits and not event.event_id and code_of(event) == COMMIT_EMPTY:
            commits.popleft()
            return True
        return False

    def _refused_update(self, event: ServerError) -> Refusal | None:
        """Returns the `session.update` that the error refuses, or None. An error without an event id refuses an update
        if the error names a setting, or if the server has nothing else to refuse.
        """
        is_update = bool(event.event_id) or classify(event) is Fault.CONFIGURATION
        if not is_update and (event.param or code_of(event) in KNOWN_CODES or self._may_refuse_another()):
            return None
        return self._updates.config.refused(event.event_id, event.param, event.code)

    def _may_refuse_another(self) -> bool:
        """Returns whether a client event other than a `session.update` waits for an answer of the server."""
        return bool(self._items.unconfirmed or self._turns.commits) or self._requests.may_be_refused
