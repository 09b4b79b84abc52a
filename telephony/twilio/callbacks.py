"""The fields of Twilio's requests as values. Pure. A missing field is empty and causes no error.

https://www.twilio.com/docs/voice/twiml#request-parameters (the voice webhook, `<Dial action>`),
https://www.twilio.com/docs/voice/api/call-resource#statuscallback,
https://www.twilio.com/docs/voice/twiml/stream#statuscallback,
https://www.twilio.com/docs/voice/answering-machine-detection
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from .caller_id import Parties
from .details import sip_headers

__all__ = [
    "CallProgress",
    "CallStatus",
    "DialResult",
    "MachineDetection",
    "ProgressBook",
    "StreamStatus",
    "VoiceRequest",
    "is_sid",
]

ENDED = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""The final statuses of a call."""

Form = Mapping[str, str]
_SID = re.compile(r"[A-Za-z0-9]{1,64}")


def is_sid(text: str) -> bool:
    """Returns whether the text has the form of an id of Twilio: letters and digits. Twilio's ids have two letters and
    32 hexadecimal digits (https://www.twilio.com/docs/glossary/what-is-a-sid). Shorter ids are permitted for tests.
    """
    return _SID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class VoiceRequest:
    """A request for TwiML: the voice webhook, or a request to an `action` URL."""

    call_sid: str
    account_sid: str = ""
    caller: str = ""
    """The address of the caller. The address is not verified, and may be empty, `anonymous`, or a `sip:` or `client:`
    address.
    """
    called: str = ""
    status: str = ""
    direction: str = ""
    forwarded_from: str = ""
    caller_name: str = ""
    parent_call_sid: str = ""
    stir_verstat: str = ""
    """The result of the carriers' check of the caller's number, such as `TN-Validation-Passed-A`."""
    sip_headers: Form = field(default_factory=dict)
    """The `SipHeader_` fields of a SIP call, by the name of the header."""

    @classmethod
    def parse(cls, form: Form) -> VoiceRequest:
        return cls(
            call_sid=form.get("CallSid", ""),
            account_sid=form.get("AccountSid", ""),
            caller=form.get("From", "") or form.get("Caller", ""),
            called=form.get("To", "") or form.get("Called", ""),
            status=form.get("CallStatus", ""),
            direction=form.get("Direction", ""),
            forwarded_from=form.get("ForwardedFrom", ""),
            caller_name=form.get("CallerName", ""),
            parent_call_sid=form.get("ParentCallSid", ""),
            stir_verstat=form.get("StirVerstat", ""),
            sip_headers=sip_headers(form),
        )

    def parties(self, own: str | None) -> Parties:
        """Returns the numbers of the two parties of the call. From these numbers, `Parties` chooses the caller id when
        the caller is connected with another number. `own` is TWILIO_PHONE_NUMBER.
        """
        return Parties.of(self.caller, self.called, inbound=not self.direction.startswith("outbound"), own=own)

    @property
    def ended(self) -> bool:
        """Whether the call has ended. TwiML has no effect on an ended call."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class CallStatus:
    """A status of a call that Twilio reported. The reports (callbacks) arrive in any order and more than once (see
    `CallProgress`).
    """

    call_sid: str
    status: str
    """`initiated`, `queued`, `ringing`, `in-progress`, or a final status: `completed`, `busy`, `failed`, `no-answer` or
    `canceled`.
    """
    sequence_number: int = 0
    duration_s: int | None = None
    answered_by: str = ""
    sip_response_code: int | None = None
    timestamp: str = ""
    """The time of the status, in the format of RFC 2822."""
    parent_call_sid: str = ""
    """The CallSid of the call for which this call was dialled, if there is one."""

    @classmethod
    def parse(cls, form: Form) -> CallStatus:
        return cls(
            call_sid=form.get("CallSid", ""),
            status=form.get("CallStatus", ""),
            sequence_number=_int(form.get("SequenceNumber")) or 0,
            duration_s=_int(form.get("CallDuration")),
            answered_by=form.get("AnsweredBy", ""),
            sip_response_code=_int(form.get("SipResponseCode")),
            timestamp=form.get("Timestamp", ""),
            parent_call_sid=form.get("ParentCallSid", ""),
        )

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(slots=True)
class CallProgress:
    """The statuses of one call, without repeats, ordered by the sequence numbers of Twilio."""

    states: list[CallStatus] = field(default_factory=list)

    def add(self, status: CallStatus) -> bool:
        """Adds a status that Twilio reported. Returns False if the status repeats an earlier report."""
        key = (status.sequence_number, status.status)
        if any((known.sequence_number, known.status) == key for known in self.states):
            return False
        self.states.append(status)
        self.states.sort(key=lambda known: (known.sequence_number, known.ended))
        return True

    @property
    def now(self) -> CallStatus | None:
        """The newest status of the call, or None. A final status is not replaced."""
        return next((known for known in self.states if known.ended), self.states[-1] if self.states else None)


class ProgressBook:
    """The statuses of many calls. Only the calls with the most recent reports are stored."""

    def __init__(self, max_calls: int = 1000) -> None:
        self._max_calls = max_calls
        self._calls: OrderedDict[str, CallProgress] = OrderedDict()

    def add(self, status: CallStatus) -> bool:
        """Adds a status that Twilio reported to the statuses of its call. Returns False if the status repeats an
        earlier report.
        """
        progress = self._calls.setdefault(status.call_sid, CallProgress())
        self._calls.move_to_end(status.call_sid)
        if len(self._calls) > self._max_calls:
            self._calls.popitem(last=False)
        return progress.add(status)

    def of(self, call_sid: str) -> CallProgress | None:
        return self._calls.get(call_sid)


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """The status of a media stream: it has started, stopped or failed."""

    call_sid: str
    stream_sid: str
    event: str
    """The kind of the event: `stream-started`, `stream-stopped` or `stream-error`."""
    error: str = ""
    timestamp: str = ""
    """The time of the event, in the format of ISO 8601."""

    @classmethod
    def parse(cls, form: Form) -> StreamStatus:
        return cls(
            call_sid=form.get("CallSid", ""),
            stream_sid=form.get("StreamSid", ""),
            event=form.get("StreamEvent", ""),
            error=form.get("StreamError", "") or form.get("StreamErrorCode", ""),
            timestamp=form.get("Timestamp", ""),
        )

    @property
    def failed(self) -> bool:
        return self.event == "stream-error"


@dataclass(frozen=True, slots=True)
class MachineDetection:
    """The result of answering machine detection for an outgoing call."""

    call_sid: str
    answered_by: str
    """The result: `human`, `machine_start`, `machine_end_beep`, `machine_end_silence`, `machine_end_other`, `fax` or
    `unknown`.
    """
    duration_ms: int | None = None

    @classmethod
    def parse(cls, form: Form) -> MachineDetection:
        return cls(
            call_sid=form.get("CallSid", ""),
            answered_by=form.get("AnsweredBy", "") or "unknown",
            duration_ms=_int(form.get("MachineDetectionDuration")),
        )

    @property
    def is_machine(self) -> bool:
        return self.answered_by.startswith("machine") or self.answered_by == "fax"

    @property
    def may_leave_message(self) -> bool:
        """Whether the machine has ended its greeting, so a message can be left."""
        return self.answered_by.startswith("machine_end")


@dataclass(frozen=True, slots=True)
class DialResult:
    """The result of a `<Dial>` verb. The caller is still connected unless `VoiceRequest.ended` is True."""

    call_sid: str
    status: str
    """The result of the dialled call: `completed`, `answered`, `busy`, `no-answer`, `failed` or `canceled`."""
    dial_call_sid: str = ""
    duration_s: int | None = None

    @classmethod
    def parse(cls, form: Form) -> DialResult:
        return cls(
            call_sid=form.get("CallSid", ""),
            status=form.get("DialCallStatus", ""),
            dial_call_sid=form.get("DialCallSid", ""),
            duration_s=_int(form.get("DialCallDuration")),
        )

    @property
    def connected(self) -> bool:
        """Whether the two parties were connected."""
        return self.status in ("completed", "answered")


def _int(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None
