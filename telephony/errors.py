"""The exceptions of `telephony`. The type shows which side caused the error, and the message says what to do.

`docs/errors.md` lists the exceptions. The page is generated from these docstrings.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AccessRefused",
    "AudioFileError",
    "BadAudio",
    "BadField",
    "BadJson",
    "BinaryFrame",
    "CallElsewhere",
    "CallError",
    "CallRefused",
    "CallerError",
    "CallerTimeout",
    "CampaignError",
    "ConsoleError",
    "DemoFailed",
    "EvalError",
    "ImportStringError",
    "JournalError",
    "LocaleError",
    "MediaStreamError",
    "NoCallerId",
    "NoCurrentCall",
    "NotStarted",
    "NumberError",
    "NumbersFileError",
    "ProjectError",
    "QueueUnavailable",
    "RecordRefused",
    "RecordsUnavailable",
    "ReplayError",
    "RingFailed",
    "SecretPartFailed",
    "ServerFailed",
    "SettingsError",
    "StorageError",
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
    """The base of all errors of this package."""


class CallError(TelephonyError):
    """A live call cannot execute a command. The message contains the reason, in words that the model can pass on to the
    caller.
    """


class ConsoleError(TelephonyError):
    """The console cannot do what a request asks for. `status` is the HTTP status of the response, and the message is
    for the person at the console.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class SecretPartFailed(CallError):
    """An exception was raised in a secret part of a call (a block of `call.secret()`, in which nothing is recorded).
    The text of the exception is dropped, because the text may contain a secret.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(f"A secret part of the call failed ({kind}). Its text is hidden.")


class AccessRefused(ConsoleError):
    """The console refuses a client: the client is unknown, or its token does not permit the action or the phone number.
    Log in, or send another token (`telephony tokens create`).
    """


class CallElsewhere(ConsoleError):
    """A request to the console concerns a call of another process. The client must send the request to that process."""

    def __init__(self, instance: str) -> None:
        super().__init__(307, f"The call belongs to the process {instance}.")
        self.instance = instance


class DemoFailed(TelephonyError):
    """A process of `telephony demo` did not start, or it failed."""


class ProjectError(TelephonyError):
    """A new project cannot be created in this folder."""


class JournalError(TelephonyError):
    """A journal cannot be read: the file is missing, is not a journal, or has a newer schema."""


class StorageError(TelephonyError):
    """Object storage (`TELEPHONY_JOURNAL_STORE`) cannot be used. Check its credentials, its name and the network."""


class CallRefused(TelephonyError):
    """An outgoing call is not allowed because of the number, the hour, or the do-not-call list. The message says how to
    allow the call.
    """

    def __init__(self, message: str = "", *, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary
        """Whether the same call may be allowed later: the hour is wrong, or the number is in a call."""


class CampaignError(TelephonyError):
    """An action on a campaign is not possible: the campaign does not exist or was stopped, or its name is already
    used.
    """


class QueueUnavailable(TelephonyError):
    """The queue of calls that campaigns will make cannot be used, because its database refuses a request or does not
    answer. The campaigns try again until the queue can be used.
    """


class ImportStringError(TelephonyError):
    """An import string such as `examples.receptionist:agent` cannot be loaded. `hint` says what to write. If `is_usage`
    is False, the string is valid, and the module itself cannot be imported.
    """

    def __init__(self, message: str, hint: str = "", *, is_usage: bool = True) -> None:
        super().__init__(message)
        self.hint = hint
        self.is_usage = is_usage


class LocaleError(TelephonyError):
    """A language cannot be used, because one of its texts or audio clips is missing. The message says what to add."""


class NumberError(TelephonyError):
    """The webhook of a number cannot be set: the account does not have the number, the number cannot take voice calls,
    or the number belongs to a SIP trunk.
    """


class NoCallerId(TelephonyError):
    """No caller id is known that Twilio accepts, so no call can be dialled. Set `TWILIO_PHONE_NUMBER`."""


class NoCurrentCall(TelephonyError):
    """`current_call()` was called outside of a call."""


class RecordRefused(TelephonyError):
    """The database refuses one record. The record is logged and dropped. Other records are written. `database` is the
    file or the address of the database, without a password, if it is known.
    """

    database = ""


class RecordsUnavailable(TelephonyError):
    """The database of the call records cannot be used, or a newer release has written the database. Calls continue. Run
    `telephony doctor`. `database` is the file or the address of the database, without a password, if it is known.
    """

    database = ""


class ReplayError(TelephonyError):
    """A call cannot be replayed: arguments contradict each other, or a recording or an expectation is missing."""


class ServerFailed(TelephonyError):
    """The server could not start: the port is in use, or the application failed. The log contains the reason."""


class NotStarted(ServerFailed):
    """The application got a request, but its ASGI lifespan was not run. Run the lifespan (see `docs/endpoints.md`)."""


class StreamRefused(TelephonyError):
    """A media stream was refused, for example because the audio format was wrong, the token was not valid, or no more
    calls are allowed. The error is only logged.
    """


class SettingsError(TelephonyError):
    """The settings are invalid. `problems` has one line for each problem with the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class NumbersFileError(SettingsError):
    """The numbers file (`TELEPHONY_NUMBERS`) is invalid. `problems` has one line for each problem, with its line in the
    file and the remedy. A server that has an earlier configuration keeps this configuration.
    """


class MediaStreamError(TelephonyError):
    """A message of Twilio's media stream is invalid. The message is ignored and counted, and the call continues."""


class BinaryFrame(MediaStreamError):
    """A message of a media stream is binary. The protocol uses text messages."""


class BadJson(MediaStreamError):
    """A message of a media stream is not a JSON object."""


class BadField(MediaStreamError):
    """A field of a media stream message is missing or has a wrong type. `field` is the name of the field."""

    def __init__(self, field: str) -> None:
        super().__init__(f"the field `{field}` is missing or of a wrong type")
        self.field = field


class TooLarge(MediaStreamError):
    """A message of a media stream is longer, or nested deeper, than any message of Twilio."""


class BadAudio(MediaStreamError):
    """The payload of a media message is not valid base64."""


class AudioFileError(TelephonyError):
    """An audio file or clip is missing, is empty, or has an unknown format. The message says how to convert the
    file.
    """


class CallerError(TelephonyError):
    """The description of a simulated caller is invalid."""


class CallerTimeout(TelephonyError, TimeoutError):
    """A simulated caller waited too long for an event, such as speech of the agent."""


class RingFailed(TelephonyError):
    """The simulated phone could not start a call. The message contains the error that Twilio would report."""


class TwimlError(TelephonyError):
    """Twilio would refuse a TwiML document: a parameter, or the whole document, is too long."""


class TwilioError(TelephonyError):
    """A request to Twilio's REST API failed. `advice` says what to do.

    `status` is the HTTP status and `code` is Twilio's error code (https://www.twilio.com/docs/api/errors). `status` and
    `code` are None if there was no response.
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
        details = ", ".join(f"{name} {value}" for name, value in (("HTTP", self.status), ("code", self.code)) if value)
        return f"{self.args[0]}{f' ({details})' if details else ''} {self.advice}"


class TwilioNotConfigured(TwilioError):
    """The settings contain no credentials for Twilio's REST API."""

    advice = "Set TWILIO_ACCOUNT_SID, and TWILIO_AUTH_TOKEN or TWILIO_API_KEY with TWILIO_API_SECRET."


class TwilioAuthError(TwilioError):
    """The credentials for Twilio's REST API are wrong, or do not permit the request."""

    advice = "Check TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN, or TWILIO_API_KEY with TWILIO_API_SECRET."


class TwilioNotFound(TwilioError):
    """The call, number or participant does not exist, or no longer exists."""

    advice = "It has ended, or it belongs to another account."


class TwilioInvalidState(TwilioError):
    """The state of the call does not permit the request. Usually the call has ended."""

    advice = "Only a call that is in progress can be redirected."


class TwilioRejected(TwilioError):
    """Twilio refused the request because of its content, for example because of a number, a permission, or a limit of
    the account.
    """


class TwilioRateLimited(TwilioError):
    """Twilio received too many requests and did not execute this request. The request can be repeated."""

    advice = "Repeat the request later, with growing delays."


class TwilioServerError(TwilioError):
    """Twilio failed. It is not known whether Twilio executed the request."""

    advice = "Check whether the request was executed before you repeat it; https://status.twilio.com lists outages."


class TwilioTimeout(TwilioError, TimeoutError):
    """Twilio did not respond in time. It is not known whether Twilio executed the request."""

    advice = "Check whether the request was executed before you repeat it."


class TwilioUnreachable(TwilioError):
    """Twilio cannot be reached. The request was not sent."""

    advice = "Check the network, the proxy settings and the name server."


class BenchmarkFailed(TelephonyError):
    """A measurement of `telephony bench` could not be made."""


class UndocumentedRequest(TelephonyError):
    """The simulated Twilio received parameters or values that Twilio does not document."""

    def __init__(self, requests: Sequence[str]) -> None:
        self.requests = tuple(requests)
        super().__init__(f"Twilio does not document: {'; '.join(self.requests[:10])}.")


class EvalError(TelephonyError):
    """An eval cannot be made: a file is invalid, a text model does not answer, or a saved run does not exist."""
