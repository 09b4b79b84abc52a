"""The errors of the phone.

```
TelephonyError
├── NoCurrentCall                 `current_call()` was used outside of a call
├── ServerFailed                  the server could not start
├── SettingsError                 the environment's settings do not fit; carries every problem with its cure
├── StreamRefused                 a media stream was not admitted: no valid `start`, or not ours
└── JournalError                  a journal cannot be read
```
"""

from __future__ import annotations

__all__ = ["JournalError", "NoCurrentCall", "ServerFailed", "SettingsError", "StreamRefused", "TelephonyError"]


class TelephonyError(Exception):
    """Every error that this package raises on purpose."""


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
