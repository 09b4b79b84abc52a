"""Checks the names and values of parameters of REST requests against Twilio's documentation. Pure.

https://www.twilio.com/docs/voice/api. The names are those of the official client, which is generated from Twilio's
description of its API (https://github.com/twilio/twilio-oai). A test compares the names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

__all__ = [
    "API", "CALLER_ID_LIST",
    "CALL_CREATE", "CALL_LIST", "CALL_UPDATE", "CONFERENCE_LIST", "CONFERENCE_UPDATE", "NUMBER_LIST", "NUMBER_UPDATE",
    "PARTICIPANT_CREATE", "PARTICIPANT_LIST", "PARTICIPANT_UPDATE", "RECORDING_CREATE", "RECORDING_LIST",
    "RECORDING_UPDATE", "REGION", "Form", "is_url", "undocumented",
]  # fmt: skip

API = "/2010-04-01/Accounts"
Form = Mapping[str, Sequence[str]]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PAGE = _names("PageSize Page PageToken")
_PLACED = _names("""
    To From StatusCallback StatusCallbackMethod StatusCallbackEvent Timeout TimeLimit Record RecordingChannels
    RecordingTrack RecordingStatusCallback RecordingStatusCallbackMethod RecordingStatusCallbackEvent
    RecordingConfigurationId Trim CallerId CallReason CallToken MachineDetection MachineDetectionTimeout
    MachineDetectionSpeechThreshold MachineDetectionSpeechEndThreshold MachineDetectionSilenceTimeout SipAuthUsername
    SipAuthPassword Byoc ClientNotificationUrl Passports
""")
CALL_CREATE = _PLACED | _names("""
    Url Twiml ApplicationSid Method FallbackUrl FallbackMethod SendDigits AsyncAmd AsyncAmdStatusCallback
    AsyncAmdStatusCallbackMethod
""")
CALL_UPDATE = _names("""
    Url Twiml Method Status FallbackUrl FallbackMethod StatusCallback StatusCallbackMethod TimeLimit
""")
REGION = _names("VoiceRegion FriendlyName")
CALL_LIST = _PAGE | _names("""
    To From Status ParentCallSid StartTime StartTime< StartTime> EndTime EndTime< EndTime>
""")
CONFERENCE_UPDATE = _names("Status AnnounceUrl AnnounceMethod")
CONFERENCE_LIST = _PAGE | _names("""
    FriendlyName Status DateCreated DateCreated< DateCreated> DateUpdated DateUpdated< DateUpdated>
""")
PARTICIPANT_CREATE = _PLACED | _names("""
    Label EarlyMedia Muted Beep StartConferenceOnEnter EndConferenceOnExit WaitUrl WaitMethod MaxParticipants Coaching
    CallSidToCoach JitterBufferSize Region ConferenceRecord ConferenceTrim ConferenceStatusCallback
    ConferenceStatusCallbackMethod ConferenceStatusCallbackEvent ConferenceRecordingStatusCallback
    ConferenceRecordingStatusCallbackMethod ConferenceRecordingStatusCallbackEvent AmdStatusCallback
    AmdStatusCallbackMethod CallerDisplayName EmergencyAddress EmergencyCallerLocation EmergencyCallerPosition
    EmergencyCity EmergencyCountry EmergencyName EmergencyState EmergencyZipCode
""")
PARTICIPANT_UPDATE = _names("""
    Muted Hold HoldUrl HoldMethod AnnounceUrl AnnounceMethod WaitUrl WaitMethod BeepOnExit EndConferenceOnExit Coaching
    CallSidToCoach
""")
PARTICIPANT_LIST = _PAGE | _names("Muted Hold Coaching")
NUMBER_UPDATE = _names("""
    AccountSid ApiVersion FriendlyName SmsApplicationSid SmsFallbackMethod SmsFallbackUrl SmsMethod SmsUrl
    StatusCallback StatusCallbackMethod VoiceApplicationSid VoiceCallerIdLookup VoiceFallbackMethod VoiceFallbackUrl
    VoiceMethod VoiceUrl EmergencyStatus EmergencyAddressSid TrunkSid VoiceReceiveMode IdentitySid AddressSid BundleSid
""")
CALLER_ID_LIST = _PAGE | _names("PhoneNumber FriendlyName")
NUMBER_LIST = _PAGE | _names("Beta FriendlyName PhoneNumber Origin")
RECORDING_CREATE = _names("""
    RecordingStatusCallback RecordingStatusCallbackMethod RecordingStatusCallbackEvent RecordingChannels RecordingTrack
    RecordingConfigurationId Trim
""")
RECORDING_UPDATE = _names("Status PauseBehavior")
RECORDING_LIST = _PAGE | _names("DateCreated DateCreated< DateCreated> CallSid ConferenceSid IncludeSoftDeleted")

_FLAG = _names("true false")
_ROOM_EVENTS = _names("start end join leave mute hold modify speaker announcement")
_VALUES: dict[str, frozenset[str]] = {
    **dict.fromkeys(_names("""
        AsyncAmd Coaching EarlyMedia EndConferenceOnExit Hold Muted Record StartConferenceOnEnter VoiceCallerIdLookup
    """), _FLAG),
    "Beep": _names("true false onEnter onExit"),
    "BeepOnExit": _FLAG,
    "ConferenceRecord": _names("true false record-from-start do-not-record"),
    "ConferenceStatusCallbackEvent": _ROOM_EVENTS,
    "ConferenceTrim": _names("trim-silence do-not-trim"),
    "JitterBufferSize": _names("off small medium large"),
    "MachineDetection": _names("Enable DetectMessageEnd"),
    "PauseBehavior": _names("skip silence"),
    "RecordingChannels": _names("mono dual"),
    "RecordingStatusCallbackEvent": _names("in-progress completed absent failed"),
    "RecordingTrack": _names("inbound outbound both"),
    "StatusCallbackEvent": _names("initiated ringing answered completed"),
    "Trim": _names("trim-silence do-not-trim"),
}  # fmt: skip
_RANGES: dict[str, tuple[int, int]] = {
    "MachineDetectionSilenceTimeout": (2000, 10_000),
    "MachineDetectionSpeechEndThreshold": (500, 5000),
    "MachineDetectionSpeechThreshold": (1000, 6000),
    "MachineDetectionTimeout": (3, 59),
    "MaxParticipants": (2, 250),
    "PageSize": (1, 1000),
    "TimeLimit": (1, 86_400),
    "Timeout": (1, 600),
}
_LENGTHS = {"CallReason": 50, "Label": 128, "Twiml": 4000}
_SENT_AS_LISTS = _names("StatusCallbackEvent ConferenceStatusCallbackEvent RecordingStatusCallbackEvent")
_SPACED = {"ConferenceStatusCallbackEvent", "RecordingStatusCallbackEvent"}
"""The parameters that may have several values in one text, separated by blanks."""
_NUMBER = re.compile(r"\d{1,9}")


def undocumented(form: Form, known: Collection[str]) -> list[str]:
    """Returns the parameters of a request that Twilio's documentation does not allow. `known` has the documented names.
    Twilio ignores many of these parameters, but a request should not contain them.
    """
    found = []
    for name, values in form.items():
        if name not in known:
            found.append(f"{name} is not known")
        elif len(values) > 1 and name not in _SENT_AS_LISTS:
            found.append(f"{name} comes {len(values)} times")
        else:
            found += [f"{name}={value[:80]!r} is not allowed" for value in values if not _is_allowed(name, value)]
    return sorted(found)


def _is_allowed(name: str, value: str) -> bool:
    if allowed := _VALUES.get(name):
        return (set(value.split()) if name in _SPACED else {value}) <= allowed
    if bounds := _RANGES.get(name):
        return bool(_NUMBER.fullmatch(value)) and bounds[0] <= int(value) <= bounds[1]
    if name.endswith("Method"):
        return value in ("GET", "POST")
    if name.endswith(("Url", "Callback")):
        return not value or is_url(value)  # an empty text removes the URL
    return len(value) <= _LENGTHS.get(name, 2**20)


def is_url(value: str) -> bool:
    """Returns whether Twilio accepts this text as a URL: `http` or `https`, and a host name without an underscore."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "_" not in (parts.hostname or "")
