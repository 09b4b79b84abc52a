"""The key with which the other party of a call can add their number to the do-not-call list."""

from __future__ import annotations

import logging

from ..call.call import Call
from ..errors import CallError, CallRefused, RecordRefused, RecordsUnavailable
from ..records.opt_outs import OptOutSource
from ..task_owner import TaskOwner
from .do_not_call import opted_out

__all__ = ["KeypadOptOut"]

log = logging.getLogger(__name__)

_GOODBYE = "Say that they are on the list and will not be called again. Apologise, and say goodbye."


class KeypadOptOut(TaskOwner):
    """Adds the other party to the do-not-call list when this party presses the key of TELEPHONY_OPT_OUT_KEY. The object
    is an async context manager, and its tasks end with the context.
    """

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def pressed(self, call: Call, digit: str) -> None:
        """Handles a key that the other party has pressed. The opt-out key adds the number to the do-not-call list, and
        ends the call with a goodbye. Other keys have no effect.
        """
        if digit == self._key:
            self.start_task(self._opt_out(call), name="opt-out by key")

    async def _opt_out(self, call: Call) -> None:
        try:
            if not await opted_out(call, OptOutSource.KEYPAD, "pressed the key"):
                return
        except (OSError, CallRefused, RecordsUnavailable, RecordRefused) as error:
            log.error("Call %s: the number could not be added to the do-not-call list: %s", call.sid, error)
            return
        try:
            await call.hang_up(goodbye=_GOODBYE)
        except CallError as error:
            log.info("Call %s: %s", call.sid, error)
