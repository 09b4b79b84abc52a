"""The fallback number, which takes calls that cannot continue."""

from __future__ import annotations

import logging

from ...errors import NoCallerId
from ...twilio.caller_id import Destination, Parties

__all__ = ["AFTER_FALLBACK", "after_fallback", "fallback_for"]

log = logging.getLogger(__name__)


AFTER_FALLBACK = "fallback"
"""The query parameter of the address after a `<Dial>` to the fallback number."""


def after_fallback(after_dial: str) -> str:
    """Returns the address that Twilio requests when the fallback number was dialled. If it did not answer, the caller
    is told.
    """
    return f"{after_dial}?{AFTER_FALLBACK}=1"


def fallback_for(parties: Parties, number: str | None) -> Destination | None:
    """Returns the destination of TELEPHONY_FALLBACK_NUMBER for this caller; None if it is not set, or if Twilio would
    refuse it.
    """
    if number is None:
        return None
    try:
        return parties.reach(number)
    except NoCallerId as error:
        log.error("The fallback number is not called: %s.", error)
        return None
