"""The fallback number: a phone number that takes calls that the agent cannot continue."""

from __future__ import annotations

import logging

from ...errors import NoCallerId
from ...twilio.caller_id import Destination, Parties

__all__ = ["AFTER_FALLBACK", "after_fallback", "fallback_for"]

log = logging.getLogger(__name__)


AFTER_FALLBACK = "fallback"
"""The query parameter that marks the `action` URL of a `<Dial>` to the fallback number."""


def after_fallback(after_dial: str) -> str:
    """Returns the URL that Twilio requests after the call to the fallback number has ended. `after_dial` is the URL for
    other `<Dial>` verbs. If the fallback number did not answer, the response is a spoken apology.
    """
    return f"{after_dial}?{AFTER_FALLBACK}=1"


def fallback_for(parties: Parties, number: str | None) -> Destination | None:
    """Returns `number` (the setting TELEPHONY_FALLBACK_NUMBER) as the destination of a `<Dial>` for the caller of
    `parties`. Returns None if the setting is empty, or if Twilio would refuse the destination.
    """
    if number is None:
        return None
    try:
        return parties.reach(number)
    except NoCallerId as error:
        log.error("The fallback number is not called: %s.", error)
        return None
