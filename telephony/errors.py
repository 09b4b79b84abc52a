"""The errors of the phone.

```
TelephonyError
├── AudioFileError                audio is empty, no audio, or of a kind that is not read
├── CallError                     a live call cannot do what it was told to
├── CallRefused                   an outgoing call must not be made: the number, the hour, a wish not to be called
├── CallerError                   the description of a simulated caller does not fit
├── CallerTimeout                 a simulated caller waited in vain (a TimeoutError, too)
├── DemoFailed                    a process of `telephony demo` did not start, or failed
├── NumberError                   a number cannot be pointed at us: not ours, no voice, or a trunk has it
├── NoCallerId                    nobody can be called for a caller: no number is known that Twilio takes as caller id
├── NoCurrentCall                 `current_call()` was used outside of a call
├── RecordRefused                 the database of the records refuses one record
├── RecordsUnavailable            the database of the records cannot be used now, or is of a newer release
├── RingFailed                    the simulated phone could not ring: the webhook's answer, its TwiML or the stream
├── ServerFailed                  the server could not start
│   └── NotStarted                the application serves requests, and its ASGI lifespan was not run
├── SettingsError                 the environment's settings do not fit; carries every problem with its cure
├── StreamRefused                 a media stream was not admitted: no valid `start`, or not ours
├── JournalError                  a journal cannot be read
├── ReplayError                   a call cannot be replayed like this
├── UndocumentedRequest           the simulated Twilio was asked for what the real one's documentation does not have
├── TwimlError                    a document that Twilio would refuse was asked for
├── TwilioError                   Twilio's REST API did not do what it was asked (carries status, code, and what to do)
│   ├── TwilioNotConfigured       there are no credentials to ask with
│   ├── TwilioAuthError           the credentials do not fit, or are not allowed this
│   ├── TwilioNotFound            there is no such call, number or participant (any more)
│   ├── TwilioInvalidState        the call is not in a state for this; most often it is over
│   ├── TwilioRejected            another no: a number, a permission, a limit of the account
│   ├── TwilioRateLimited         too many requests; nothing was done, and it may be asked again
│   ├── TwilioServerError         Twilio failed; whether it was done is not known
│   ├── TwilioTimeout             no answer in time; whether it was done is not known (a TimeoutError, too)
│   └── TwilioUnreachable         no connection; nothing was done
└── MediaStreamError              a message of Twilio's media stream cannot be used, or comes out of turn
    ├── BinaryFrame               it is binary; the protocol is text
    ├── BadJson                   it is no JSON object
    ├── BadField                  a field is missing or of a wrong type (carries its name)
    ├── TooLarge                  it is longer, or nested deeper, than any that Twilio sends
    └── BadAudio                  a payload is no base64
```
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AudioFileError",
    "BadAudio",
    "BadField",
    "BadJson",
    "BinaryFrame",
    "CallError",
    "CallRefused",
    "CallerError",
    "CallerTimeout",
    "DemoFailed",
    "JournalError",
    "MediaStreamError",
    "NoCallerId",
    "NoCurrentCall",
    "NotStarted",
    "NumberError",
    "RecordRefused",
    "RecordsUnavailable",
    "ReplayError",
    "RingFailed",
    "ServerFailed",
    "SettingsError",
    "StreamRefused",
    "TelephonyError",
    "TooLarge",
    "TwilioAuthError",
    "TwilioError",
    "TwilioInvalidState",
    "TwilioNotConfigured",
    "TwilioNotFound",
    "TwilioRateLimited",
    "TwilioRejected",
    "TwilioServerError",
    "TwilioTimeout",
    "TwilioUnreachable",
    "TwimlError",
    "UndocumentedRequest",
]


class TelephonyError(Exception):
    """Every error that this package raises on purpose."""


class CallError(TelephonyError):
    """A live call cannot do what it was told to. The message says why; a model can speak about it."""


class DemoFailed(TelephonyError):
    """A process of `telephony demo` did not start, or failed."""


class JournalError(TelephonyError):
    """A journal cannot be read: not there, not a journal, or of a newer schema."""


class CallRefused(TelephonyError):
    """An outgoing call must not be made. The message says why, and what would allow it."""


class NumberError(TelephonyError):
    """A number cannot be pointed at us, or we cannot be reached for it. Says what to do."""


class NoCallerId(TelephonyError):
    """Nobody can be called for a caller: no number is known that Twilio takes as caller id."""


class NoCurrentCall(TelephonyError):
    """There is no call here."""


class RecordRefused(TelephonyError):
    """The database of the records refuses one record, and takes others. The message is the database's own."""


class RecordsUnavailable(TelephonyError):
    """The database of the records cannot be used now. The message is the database's own."""


class ReplayError(TelephonyError):
    """A call cannot be replayed like this: arguments that do not go together, a recording or an expectation missing."""


class ServerFailed(TelephonyError):
    """The server could not start."""


class NotStarted(ServerFailed):
    """The application serves requests, and its ASGI lifespan was not run."""


class StreamRefused(TelephonyError):
    """A media stream was not admitted."""


class SettingsError(TelephonyError):
    """The settings do not fit. `problems` has a line for each, with its cure."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class MediaStreamError(TelephonyError):
    """A message of Twilio's media stream cannot be used."""


class BinaryFrame(MediaStreamError):
    """A binary message came; the protocol is text."""


class BadJson(MediaStreamError):
    """A message is no JSON object."""


class BadField(MediaStreamError):
    """A field is missing or of a wrong type."""

    def __init__(self, field: str) -> None:
        super().__init__(f"the field `{field}` is missing or of a wrong type")
        self.field = field


class TooLarge(MediaStreamError):
    """A message is longer, or nested deeper, than any that Twilio sends."""


class BadAudio(MediaStreamError):
    """A payload is no base64."""


class AudioFileError(TelephonyError):
    """Audio is empty, no audio, or of a kind that is not read. The message says how to convert it."""


class CallerError(TelephonyError):
    """The description of a simulated caller does not fit."""


class CallerTimeout(TelephonyError, TimeoutError):
    """A simulated caller waited in vain."""


class RingFailed(TelephonyError):
    """The simulated phone could not ring. The message says what Twilio would have reported."""


class TwimlError(TelephonyError):
    """A document that Twilio would refuse: a parameter, or the whole, is longer than it takes."""


class TwilioError(TelephonyError):
    """Twilio's REST API did not do what it was asked.

    `status` is the HTTP status and `code` Twilio's own (https://www.twilio.com/docs/api/errors), where there was an
    answer; `advice` says what to do.
    """

    advice = "See https://www.twilio.com/docs/api/errors."

    def __init__(
        self, message: str, *, status: int | None = None, code: int | None = None, advice: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        if advice is not None:
            self.advice = advice

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in (("HTTP", self.status), ("code", self.code)) if value)
        return f"{self.args[0]}{f' ({told})' if told else ''} {self.advice}"


class TwilioNotConfigured(TwilioError):
    """There are no credentials to ask with."""

    advice = "Set TWILIO_ACCOUNT_SID, and TWILIO_AUTH_TOKEN or TWILIO_API_KEY with TWILIO_API_SECRET."


class TwilioAuthError(TwilioError):
    """The credentials do not fit, or are not allowed this."""

    advice = "Check TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN, or TWILIO_API_KEY with TWILIO_API_SECRET."


class TwilioNotFound(TwilioError):
    """There is no such call, number or participant (any more)."""

    advice = "It is over, or belongs to another account."


class TwilioInvalidState(TwilioError):
    """The call is not in a state for this; most often it is over."""

    advice = "Only a call that is in progress can be redirected."


class TwilioRejected(TwilioError):
    """Twilio understood, and said no."""


class TwilioRateLimited(TwilioError):
    """Too many requests. Nothing was done."""

    advice = "Ask again, later and later."


class TwilioServerError(TwilioError):
    """Twilio failed. Whether it was done is not known."""

    advice = "Look whether it was done before asking again; https://status.twilio.com tells of outages."


class TwilioTimeout(TwilioError, TimeoutError):
    """No answer came in time. Whether it was done is not known."""

    advice = "Look whether it was done before asking again."


class TwilioUnreachable(TwilioError):
    """No connection to Twilio. Nothing was done."""

    advice = "Check the network, the proxy settings and the name server."


class UndocumentedRequest(TelephonyError):
    """The simulated Twilio was sent parameters, or values, that the real one's documentation does not have."""

    def __init__(self, requests: Sequence[str]) -> None:
        self.requests = tuple(requests)
        super().__init__(f"Twilio's documentation does not have: {'; '.join(self.requests[:10])}.")
