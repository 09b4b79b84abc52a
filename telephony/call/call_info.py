"""The data of a call that is known before it begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from ..twilio.caller_id import Parties
from ..twilio.details import pack, unpack
from ..twilio.media_stream import Start

__all__ = ["OUTBOUND", "TOKEN_PARAMETER", "Admit", "CallInfo"]

OUTBOUND = "outbound-api"
"""The direction of a call that this side placed."""

TOKEN_PARAMETER = "token"  # noqa: S105 (its name, not its value)
"""The stream parameter that carries our token. Applications do not see it."""
_SIP, _QUERY = "sip:", "query:"


@dataclass(frozen=True, slots=True)
class CallInfo:
    """The data of a call that is known before it begins. Numbers are in E.164 if Twilio knows them, else empty.

    A caller id can be forged. It is only what the caller claims to be.
    """

    sid: str
    caller: str = ""
    called: str = ""
    direction: str = "inbound"
    account_sid: str = ""
    stream_sid: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The `<Parameter>`s of the stream, without our own."""
    forwarded_from: str = ""
    """The number that forwarded the call, if the carrier reports it (Twilio's `ForwardedFrom`)."""
    caller_name: str = ""
    """The caller's name, if caller-name lookup is on for our number (`CallerName`)."""
    stir_verstat: str = ""
    """The attestation of the caller's number by the carriers (`StirVerstat`), such as `TN-Validation-Passed-A`."""
    sip_headers: Mapping[str, str] = field(default_factory=dict)
    """The headers of a SIP call by name, such as `X-Account` (`SipHeader_X-Account`)."""
    query: Mapping[str, str] = field(default_factory=dict)
    """The query of the webhook's own URL: `?campaign=spring` becomes `{"campaign": "spring"}`. If a name has several
    values, the last one counts."""

    route: str = ""
    """The place of the call in the ladder of its number (`numbers.ladder`). An empty value means that there is none."""

    @classmethod
    def of(cls, start: Start) -> CallInfo:
        """Reads the data from the `start` of a stream, with the parameters that our TwiML added."""
        details, parameters = unpack(start.parameters)
        parameters.pop(TOKEN_PARAMETER, None)
        return cls(
            sid=start.call_sid,
            caller=parameters.pop("caller", ""),
            called=parameters.pop("called", ""),
            account_sid=start.account_sid,
            stream_sid=start.stream_sid,
            parameters=parameters,
            forwarded_from=details.get("forwarded_from", ""),
            caller_name=details.get("caller_name", ""),
            stir_verstat=details.get("stir_verstat", ""),
            route=details.get("route", ""),
            sip_headers=_under(_SIP, details),
            query=_under(_QUERY, details),
        )

    def stream_parameters(self, room: int) -> tuple[dict[str, str], list[str]]:
        """Returns the stream parameters from which `of` makes this object again, in at most `room` characters of XML.
        Also returns the names of the details that do not fit.
        """
        single = {
            "forwarded_from": self.forwarded_from,
            "caller_name": self.caller_name,
            "stir_verstat": self.stir_verstat,
            "route": self.route,
        }
        details = {name: value for name, value in single.items() if value}
        details |= {_SIP + name: value for name, value in self.sip_headers.items()}
        details |= {_QUERY + name: value for name, value in self.query.items()}
        packed, left_out = pack(details, room)
        return {**self.parameters, "caller": self.caller, "called": self.called, **packed}, left_out

    def with_stream(self, streams: CallInfo) -> CallInfo:
        """Combines this data, which comes from the webhook, with `streams`, the data of the call's first media stream.
        The details of the webhook have priority, because details that did not fit into the parameters of the stream are
        missing there."""
        return replace(
            streams,
            direction=self.direction,
            forwarded_from=self.forwarded_from or streams.forwarded_from,
            caller_name=self.caller_name or streams.caller_name,
            stir_verstat=self.stir_verstat or streams.stir_verstat,
            route=self.route or streams.route,
            sip_headers={**streams.sip_headers, **self.sip_headers},
            query={**streams.query, **self.query},
        )

    def parties(self, own: str | None) -> Parties:
        """Returns the two parties of the call, for a caller id. `own` is TWILIO_PHONE_NUMBER."""
        return Parties.of(self.caller, self.called, inbound=self.direction == "inbound", own=own)


Admit = Callable[[Start], CallInfo | Awaitable[CallInfo]]
"""Checks a stream's `start` and returns the call of the stream."""


def _under(prefix: str, details: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in details.items() if name.startswith(prefix)}
