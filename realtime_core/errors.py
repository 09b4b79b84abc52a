"""The errors of the session engine.

```
RealtimeCoreError
├── UserError                     the using code or its configuration is wrong; the message says what to do
├── UserCodeError                 a user's function raised what it must not (SystemExit, its own cancellation)
├── ModelBehaviorError            the model sent something invalid (a call id used twice, ...)
├── HostedToolFailed              a tool that the server runs (hosted MCP) failed
├── TransportError                the connection to the model failed
│   ├── ConnectFailed             the connection or its handshake failed
│   └── ConnectionLost            an open connection ended too early (carries the `Close`)
├── ServerRejected                the server refused a command (carries code, param and message)
│   └── SessionExpired            the session reached the server's maximum length
├── ScriptError                   `realtime_core.testing`, `realtime_core.local`: the script is invalid or does not fit
└── VirtualTimeError              `realtime_core.testing.virtual_time` cannot continue
    ├── Deadlock                  tasks wait, no timer runs, and nothing is ready
    └── WatchdogExpired           a thread or a busy loop exceeded its limit of real time
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .close import Close

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
    """The base class of the errors of this package."""


class UserError(RealtimeCoreError):
    """The code that uses this package or its configuration is wrong. The message says what to do."""

    @property
    def message(self) -> str:
        """The text of the error."""
        return str(self)


class UserCodeError(RealtimeCoreError):
    """A user's function raised an exception or returned a value that is not allowed. The cause is the original
    exception.
    """


class ModelBehaviorError(RealtimeCoreError):
    """The model sent invalid data."""

    @property
    def message(self) -> str:
        """The text of the error."""
        return str(self)


class HostedToolFailed(RealtimeCoreError):
    """A tool that the model's server runs (hosted MCP) failed. The message comes from the server."""


class TransportError(RealtimeCoreError):
    """The connection to the model failed."""


class ConnectFailed(TransportError):
    """The connection to the model could not be opened. `status` is the HTTP status if the server refused the handshake.
    `close` is set if the connection ended before the session began."""

    status: int | None = None
    close: Close | None = None


class ConnectionLost(TransportError):
    """The connection to the model ended too early. `close` has the details."""

    def __init__(self, close: Close) -> None:
        super().__init__(
            f"The model's connection ended: code {close.code}, {close.reason or 'no reason given'} (by {close.by})."
        )
        self.close = close


class ServerRejected(RealtimeCoreError):
    """The server refused a command. `code`, `param` and `event_id` come from the server."""

    def __init__(self, message: str, *, type: str = "", code: str = "", param: str = "", event_id: str = "") -> None:
        super().__init__(f"{message} ({param})" if param and param not in message else message)
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.event_id = event_id


class SessionExpired(ServerRejected):
    """The session reached the maximum length that the server allows."""


class ScriptError(RealtimeCoreError):
    """A script of the embedded server or of the testing tools is invalid, or does not fit the events."""


class VirtualTimeError(RealtimeCoreError):
    """The simulated clock of the tests (`realtime_core.testing.virtual_time`) cannot continue."""


class Deadlock(VirtualTimeError):
    """In a test with a simulated clock, all tasks wait, no callback is ready and no timer runs. The message lists the
    waiting tasks and the places at which they wait.
    """


class WatchdogExpired(VirtualTimeError):
    """In a test with a simulated clock, a worker thread or a busy event loop took longer than its limit, which is
    measured with the real clock.
    """
