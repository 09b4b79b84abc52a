"""The data of a call that is known before the call begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from ..twilio.caller_id import Parties
from ..twilio.details import pack, unpack
from ..twilio.media_stream import Start

__all__ = ["OUTBOUND", "TOKEN_PARAMETER", "Admit", "CallInfo"]

OUTBOUND = "outbound-api"
"""The direction (`CallInfo.direction`) of a call that this application placed."""

TOKEN_PARAMETER = "token"  # noqa: S105 (its name, not its value)
"""The name of the parameter of a media stream that contains the stream token. The stream token is a signed text. The
token proves that the stream belongs to a call for which Twilio sent a signed webhook. Applications do not see this
parameter.
"""
_SIP, _QUERY = "sip:", "query:"


@dataclass(frozen=True, slots=True)
class CallInfo:
    """The data of a call that is known before the call begins. Phone numbers are in E.164. A number that Twilio does
    not know is empty.

    A caller can forge the caller id, so the caller id does not prove who is calling.
    """

    sid: str
    caller: str = ""
    called: str = ""
    direction: str = "inbound"
    account_sid: str = ""
    stream_sid: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The values of `<Parameter>` in the stream's TwiML, without the parameters that this package adds."""
    forwarded_from: str = ""
    """The number that forwarded the call, if the carrier reports this number (Twilio's `ForwardedFrom`)."""
    caller_name: str = ""
    """The name of the caller, if caller-name lookup is switched on for the called number (Twilio's `CallerName`)."""
    stir_verstat: str = ""
    """The result of the carriers' check of the caller's number (Twilio's `StirVerstat`), such as
    `TN-Validation-Passed-A`.
    """
    sip_headers: Mapping[str, str] = field(default_factory=dict)
    """The SIP headers of a SIP call. The keys are the names of the headers, such as `X-Account` for Twilio's field
    `SipHeader_X-Account`.
    """
    query: Mapping[str, str] = field(default_factory=dict)
    """The query parameters of the webhook URL. For example, `?campaign=spring` becomes `{"campaign": "spring"}`. If a
    parameter has several values, the last value is used.
    """

    route: str = ""
    """The step that the call has reached in the list of steps of the called number (its ladder, see `numbers.ladder`),
    as in `RoutedCall.token`. A step is, for example, to ring a person before the agent answers. The text is empty if
    the number has no such list.
    """

    @classmethod
    def of(cls, start: Start) -> CallInfo:
        """Reads the data of the call from the `start` message of a media stream. The message contains the parameters
        that this package has added to the TwiML of the stream.
        """
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
        """Returns the stream parameters from which `CallInfo.of` can create this object again. The parameters have at
        most `room` characters of XML. The second value of the result has the names of the data that do not fit into
        `room`.
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
        """Returns this data, which comes from the webhook, combined with `streams`, the data from the first media
        stream of the call. A value from the webhook has priority, because data that did not fit is missing in the
        stream parameters.
        """
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
        """Returns the numbers of the two parties of the call. These numbers are used to select a caller id for a
        further call, such as a transfer of the caller. `own` is the number TWILIO_PHONE_NUMBER, or None.
        """
        return Parties.of(self.caller, self.called, inbound=self.direction == "inbound", own=own)


Admit = Callable[[Start], CallInfo | Awaitable[CallInfo]]
"""A function that checks the `start` message of a media stream and returns the data of the stream's call."""


def _under(prefix: str, details: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in details.items() if name.startswith(prefix)}
