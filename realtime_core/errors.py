"""The errors of the session engine.

```
RealtimeCoreError
├── UserError                     the caller's code or configuration is at fault; the message says what to do
├── UserCodeError                 a function of the user ended as no function may end (SystemExit, its own cancellation)
├── ModelBehaviorError            the model sent something that cannot be followed (a call id used twice, ...)
├── HostedToolFailed              a tool that the server runs (hosted MCP) has failed
├── TransportError              the network or the server is at fault
│   ├── ConnectFailed             could not connect, or the handshake was refused
│   └── ConnectionLost            an open connection ended before its time (carries the `Close`)
├── ServerRejected                the server understood and said no (carries code, param and message)
│   └── SessionExpired            the session reached the server's maximum length
├── ScriptError                   `realtime_core.testing`, `realtime_core.local`: the script does not fit
└── VirtualTimeError              `realtime_core.testing.virtual_time` cannot go on
    ├── Deadlock                  nothing is ready, no timer runs, and somebody waits
    └── WatchdogExpired           a thread, or a loop that never sleeps, used up its real time
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import Close

__all__ = [
    "ConnectFailed",
    "ConnectionLost",
    "Deadlock",
    "HostedToolFailed",
    "ModelBehaviorError",
    "RealtimeCoreError",
    "ScriptError",
    "ServerRejected",
    "SessionExpired",
    "TransportError",
    "UserCodeError",
    "UserError",
    "VirtualTimeError",
    "WatchdogExpired",
]


class RealtimeCoreError(Exception):
    """Every error that this package raises on purpose."""


class UserError(RealtimeCoreError):
    """The using code or its configuration is at fault."""

    @property
    def message(self) -> str:
        """The text of the error."""
        return str(self)


class UserCodeError(RealtimeCoreError):
    """A function of the user did what no function may do here; the cause is what it raised."""


class ModelBehaviorError(RealtimeCoreError):
    """The model did something that cannot be followed."""

    @property
    def message(self) -> str:
        """The text of the error."""
        return str(self)


class HostedToolFailed(RealtimeCoreError):
    """A tool that the model's server calls by itself (hosted MCP) has failed; the server's text says how."""


class TransportError(RealtimeCoreError):
    """The connection to the model is at fault."""


class ConnectFailed(TransportError):
    """The model could not be reached, or refused the handshake (then `status` is the HTTP status it answered), or ended
    the connection before the session began (then `close` says how)."""

    status: int | None = None
    close: Close | None = None


class ConnectionLost(TransportError):
    """The connection to the model ended before its time."""

    def __init__(self, close: Close) -> None:
        super().__init__(
            f"The model's connection ended: code {close.code}, {close.reason or 'no reason given'} (by {close.by})."
        )
        self.close = close


class ServerRejected(RealtimeCoreError):
    """The server understood a command and refused it. `code`, `param` and `event_id` are the server's own."""

    def __init__(self, message: str, *, type: str = "", code: str = "", param: str = "", event_id: str = "") -> None:
        super().__init__(f"{message} ({param})" if param and param not in message else message)
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.event_id = event_id


class SessionExpired(ServerRejected):
    """The session reached the server's maximum length."""


class ScriptError(RealtimeCoreError):
    """A script of the embedded server or of the testing tools does not fit what happened, or cannot be read."""


class VirtualTimeError(RealtimeCoreError):
    """Virtual time cannot go on."""


class Deadlock(VirtualTimeError):
    """Nothing is ready, no timer runs, and somebody waits; the message names who and where."""


class WatchdogExpired(VirtualTimeError):
    """A worker thread did not end, or the loop never came to rest, within the real time that was allowed."""
