"""Fetches what Twilio charges for a call, and writes it to the record of the call.

Twilio computes the price some time after the end of a call (`price` in
https://www.twilio.com/docs/voice/api/call-resource). A price that Twilio does not report within an hour, or that this
process does not fetch because it ends, stays unknown.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from ..errors import TwilioError
from ..twilio.rest import TwilioRest
from .call_records import CallRecords

__all__ = ["TwilioPrices"]

log = logging.getLogger(__name__)

PAUSES_S = (60.0, 600.0, 3000.0)
"""The pauses in seconds before the first, second and third request for the price of a call."""
_MAX_WAITING = 10_000
_TICK_S = 5.0


class TwilioPrices:
    """Requests the prices of ended calls from Twilio, and writes the prices to `records`. `on_price` is called with
    each price and its currency.

    The requests are made one after the other. The longest-waiting calls are left out when more than 10,000 wait.
    """

    def __init__(self, records: CallRecords, on_price: Callable[[float, str], None]) -> None:
        self._records = records
        self._on_price = on_price
        self._waiting: OrderedDict[str, tuple[float, int, str, TwilioRest]] = OrderedDict()

    def ended(self, key: str, sid: str, rest: TwilioRest) -> None:
        """Requests the price of a call that has ended, after a pause. `key` is the id of the call record, `sid` is the
        CallSid, and `rest` is the client for the Twilio account of the call.
        """
        self._wait(key, 0, sid, rest)
        if len(self._waiting) > _MAX_WAITING:
            self._waiting.popitem(last=False)

    async def run(self) -> None:
        """Requests the prices of ended calls from Twilio, when the requests are due. Runs until the task is
        cancelled.
        """
        while True:
            await asyncio.sleep(_TICK_S)
            now = asyncio.get_running_loop().time()
            for key in [key for key, (due, *_) in self._waiting.items() if due <= now]:
                _, attempt, sid, rest = self._waiting.pop(key)
                if not await self._fetch(key, sid, rest) and attempt + 1 < len(PAUSES_S):
                    self._wait(key, attempt + 1, sid, rest)

    def _wait(self, key: str, attempt: int, sid: str, rest: TwilioRest) -> None:
        due = asyncio.get_running_loop().time() + PAUSES_S[attempt]
        self._waiting[key] = (due, attempt, sid, rest)

    async def _fetch(self, key: str, sid: str, rest: TwilioRest) -> bool:
        """Returns whether the price is known now."""
        try:
            call = await rest.call(sid)
        except TwilioError as error:
            log.info("The price of call %s is not known: %s", sid, error)
            return False
        if call.cost is None:
            return False
        self._records.priced(key, call.cost, call.currency)
        self._on_price(call.cost, call.currency)
        return True
