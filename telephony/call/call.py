"""One phone call, as users' code sees it: the run context of its session."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import NoCurrentCall

if TYPE_CHECKING:
    from realtime_core import RealtimeSession

    from ..twilio.media_stream import Start
    from .bridge import Bridge

__all__ = ["Call", "CallInfo", "current_call"]

TOKEN_PARAMETER = "token"  # noqa: S105 (its name, not its value)
"""The stream parameter that carries our token; nobody else gets to see it."""

_current: ContextVar[Call] = ContextVar("telephony_call")


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What is known of a call before anybody speaks. Numbers are E.164 where Twilio knows them, else empty.

    A caller id can be forged: it says who the caller claims to be.
    """

    sid: str
    caller: str = ""
    called: str = ""
    direction: str = "inbound"
    account_sid: str = ""
    stream_sid: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The `<Parameter>`s of the stream, without our own."""

    @classmethod
    def of(cls, start: Start) -> CallInfo:
        """What a stream's `start` says; caller and called are the parameters that our TwiML put there."""
        parameters = {name: value for name, value in start.parameters.items() if name != TOKEN_PARAMETER}
        return cls(
            sid=start.call_sid,
            caller=parameters.pop("caller", ""),
            called=parameters.pop("called", ""),
            account_sid=start.account_sid,
            stream_sid=start.stream_sid,
            parameters=parameters,
        )


class Call:
    """A live call. Tools get it as `ctx.context`; elsewhere `current_call()` returns it."""

    def __init__(self, info: CallInfo, bridge: Bridge, data: Mapping[str, Any] | None = None) -> None:
        self.info = info
        self.data: dict[str, Any] = dict(data or {})
        """Whatever the application wants to keep with the call."""
        self._bridge = bridge

    @property
    def sid(self) -> str:
        """Twilio's `CallSid`."""
        return self.info.sid

    @property
    def caller(self) -> str:
        return self.info.caller

    @property
    def called(self) -> str:
        return self.info.called

    @property
    def session(self) -> RealtimeSession:
        """The conversation with the model."""
        return self._bridge.session

    async def hang_up(self, *, within_s: float = 10.0) -> None:
        """End the call once everything that was said has been heard, after `within_s` seconds at the latest."""
        await self._bridge.hang_up(within_s)

    def __repr__(self) -> str:
        return f"<Call {self.sid}>"


def current_call() -> Call:
    """The call in which the running code was started.

    Raises:
        NoCurrentCall: it was started outside of a call.
    """
    try:
        return _current.get()
    except LookupError:
        raise NoCurrentCall("There is no current call here: use it in tools, hooks and handlers of a call.") from None


def set_current_call(call: Call) -> None:
    """For the bridge: everything that is started from here on belongs to this call."""
    _current.set(call)
