"""The caller id of placed calls and of dialled legs. Pure.

Twilio accepts the calling number, the called number, or a number of the account as a caller id. Twilio refuses any
other `callerId` of a `<Dial>` (13214, https://www.twilio.com/docs/api/errors/13214), and any other `From` of a request
(21210, 21212, 21213). Without a `callerId`, a `<Dial>` shows the calling address, which may not be a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import NoCallerId

__all__ = ["Destination", "Parties", "is_number", "is_withheld"]

_E164 = re.compile(r"\+[1-9][0-9]{7,14}")
_WITHHELD = frozenset(["+266696687", "+86282452253", "+7378742833", "+2562533", "+8656696"])
"""Twilio's numbers for an unknown caller. The digits spell anonymous, unavailable, restricted, blocked and unknown on
the keys of a phone.
"""

_NAMELESS = frozenset(["", "anonymous", "blocked", "private", "restricted", "unavailable", "unknown", "withheld"])


def is_withheld(address: str) -> bool:
    """Returns whether this address means that the caller hides their number."""
    scheme, colon, rest = address.strip().lower().partition(":")
    name = rest.partition("@")[0] if colon and scheme in ("sip", "sips") else scheme + colon + rest
    return name.removeprefix("+") in _NAMELESS or f"+{name.removeprefix('+')}" in _WITHHELD


def is_number(address: str) -> bool:
    """Returns whether Twilio accepts this address as a caller id. Withheld numbers, `sip:` addresses and `client:`
    addresses are not accepted.
    """
    return _E164.fullmatch(address) is not None and address not in _WITHHELD


@dataclass(frozen=True, slots=True)
class Destination:
    """The destination of a `<Dial>` verb: what to dial, and the caller id."""

    to: str
    """A number, or a `sip:` address."""
    caller_id: str | None = None
    """The number that the called party sees. With None, Twilio shows the caller's own number."""


@dataclass(frozen=True, slots=True)
class Parties:
    """The addresses of the two parties of a call, and the application's own number. The class selects the caller id for
    a `<Dial>`.
    """

    other_party: str
    """The number or address of the person or device on the other side of the call: the caller of an incoming call, or
    the called party of an outgoing call.
    """
    this_party: str
    """The number or address of this application in this call."""
    own: str | None = None
    """The application's phone number from the settings (TWILIO_PHONE_NUMBER), or None."""

    @classmethod
    def of(cls, caller: str, called: str, *, inbound: bool, own: str | None) -> Parties:
        return cls(caller, called, own) if inbound else cls(called, caller, own)

    @property
    def number(self) -> str | None:
        """A number of the application that Twilio accepts as `From` and as `callerId`, or None if no such number is
        known.
        """
        # The address that a client or a SIP device called may not be a number of the account.
        found = (self.own, self.this_party) if _is_device(self.other_party) else (self.this_party, self.own)
        return next((address for address in found if address and is_number(address)), None)

    def reach(self, to: str) -> Destination:
        """Returns the destination for a `<Dial>` that connects the other party to `to`, with a caller id that Twilio
        accepts.

        Raises:
            NoCallerId: Twilio would refuse the `<Dial>`.
        """
        if is_number(self.other_party):
            return Destination(to)
        if (number := self.number) is not None:
            return Destination(to, number)
        if not self.other_party and not self.this_party:
            return Destination(to)  # we know nothing of the call, but Twilio knows the caller
        if to.startswith(("sip:", "sips:")) and not self.other_party.startswith("client:"):
            return Destination(to)  # a SIP address may be shown to a SIP address
        raise NoCallerId(
            "there is no caller id: Twilio does not accept the caller's address, and the application has no number. "
            "Set TWILIO_PHONE_NUMBER"
        )


def _is_device(address: str) -> bool:
    return address.startswith(("sip:", "sips:", "client:"))
