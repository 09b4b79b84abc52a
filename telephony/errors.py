"""The errors of the phone.

```
TelephonyError
├── AudioFileError                a file is no WAV, or of a kind that is not read
├── CallerError                   the description of a simulated caller does not fit
├── CallerTimeout                 a simulated caller waited in vain (a TimeoutError, too)
├── DemoFailed                    a process of `telephony demo` did not start, or failed
├── NoCurrentCall                 `current_call()` was used outside of a call
├── RingFailed                    the simulated phone could not ring: the webhook's answer, its TwiML or the stream
├── ServerFailed                  the server could not start
├── SettingsError                 the environment's settings do not fit; carries every problem with its cure
├── StreamRefused                 a media stream was not admitted: no valid `start`, or not ours
├── JournalError                  a journal cannot be read
└── MediaStreamError              a message of Twilio's media stream cannot be used, or comes out of turn
    ├── BinaryFrame               it is binary; the protocol is text
    ├── BadJson                   it is no JSON object
    ├── BadField                  a field is missing or of a wrong type (carries its name)
    └── BadAudio                  a payload is no base64
```
"""

from __future__ import annotations

__all__ = [
    "AudioFileError",
    "BadAudio",
    "BadField",
    "BadJson",
    "BinaryFrame",
    "CallerError",
    "CallerTimeout",
    "DemoFailed",
    "JournalError",
    "MediaStreamError",
    "NoCurrentCall",
    "RingFailed",
    "ServerFailed",
    "SettingsError",
    "StreamRefused",
    "TelephonyError",
]


class TelephonyError(Exception):
    """Every error that this package raises on purpose."""


class DemoFailed(TelephonyError):
    """A process of `telephony demo` did not start, or failed."""


class JournalError(TelephonyError):
    """A journal cannot be read: not there, not a journal, or of a newer schema."""


class NoCurrentCall(TelephonyError):
    """There is no call here."""


class ServerFailed(TelephonyError):
    """The server could not start."""


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


class BadAudio(MediaStreamError):
    """A payload is no base64."""


class AudioFileError(TelephonyError):
    """A file is no WAV file, or of a kind that is not read."""


class CallerError(TelephonyError):
    """The description of a simulated caller does not fit."""


class CallerTimeout(TelephonyError, TimeoutError):
    """A simulated caller waited in vain."""


class RingFailed(TelephonyError):
    """The simulated phone could not ring. The message says what Twilio would have reported."""
