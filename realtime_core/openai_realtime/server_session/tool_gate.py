"""Delays the model's answers to the caller's turns while a tool runs."""

from __future__ import annotations

from dataclasses import dataclass

from ..session_config import ServerWait
from .requests import ResponseRequests
from .steps import Steps
from .updates import SessionUpdates

__all__ = ["CallerSpeech", "ToolGate"]

_HOLD_LIMIT_S = 20.0
"""The maximum time in seconds for which answers wait for a tool."""


@dataclass(slots=True)
class CallerSpeech:
    """The state of the caller's speech. `is_active` is True while the caller speaks. `item_id` and `start_ms`
    (milliseconds of the input audio) show where the last speech began.
    """

    is_active: bool = False
    item_id: str = ""
    start_ms: int = 0


class ToolGate:
    """Delays answers to the caller's turns while a tool runs, because the model would invent the tool's result."""

    def __init__(
        self,
        speech: CallerSpeech,
        requests: ResponseRequests,
        updates: SessionUpdates,
        steps: Steps,
        *,
        enabled: bool,
    ) -> None:
        self._speech = speech
        self._requests = requests
        self._updates = updates
        self._steps = steps
        self._enabled = enabled
        self._calls: set[str] = set()
        """Tool calls without an output, by call id."""
        self._hosted_calls: set[str] = set()
        """Calls of hosted tools that are not over, by item id."""
        self._foreign_calls: set[str] = set()
        """Tool calls of an earlier session, which the server does not know."""
        self._held_until: float | None = None

    @property
    def is_closed(self) -> bool:
        """Whether answers to the caller's turns are being delayed, because a tool runs and the caller has spoken."""
        return self._held_until is not None

    @property
    def tool_runs(self) -> bool:
        """Whether a tool call is in progress: a call without an output, or a call of a hosted tool."""
        return bool(self._calls or self._hosted_calls)

    def is_foreign(self, call_id: str) -> bool:
        """Returns whether the current server session does not know the tool call with this id, because the model made
        the tool call in an earlier server session.
        """
        return call_id in self._foreign_calls

    def make_known(self, call_id: str) -> None:
        """Marks a tool call of an earlier server session as known to the current server session, because the
        conversation was sent again. The output of the call is then sent in the usual form, and not as a note.
        """
        self._foreign_calls.discard(call_id)

    def call_began(self, call_id: str) -> None:
        self._calls.add(call_id)
        if self._speech.is_active:
            self.close()

    def hosted_call_began(self, item_id: str) -> None:
        self._hosted_calls.add(item_id)
        if self._speech.is_active:
            self.close()

    def close(self) -> None:
        """Stops the model's answers to the caller until the running tools have returned, or for at most 20 seconds.
        Does nothing if no tool runs. Called when the caller speaks.
        """
        if not self._enabled or not self.tool_runs or self.is_closed:
            return
        self._held_until = self._steps.now + _HOLD_LIMIT_S
        self._requests.responses.hold(self._held_until)
        self._updates.config.let_server_wait(ServerWait.TOOL, waits=True)
        self._updates.send()

    def call_over(self, call_id: str) -> None:
        """Removes a tool call that has ended. If it was the last one, the model may answer again: one response answers
        the results of the tools and what the caller has said in the meantime. `call_id` is the id of the tool call, or
        the id of its item for a hosted tool.
        """
        self._calls.discard(call_id)
        self._foreign_calls.discard(call_id)
        self._hosted_calls.discard(call_id)
        if not self.is_closed or self.tool_runs:
            return
        self._held_until = None
        self._updates.config.let_server_wait(ServerWait.TOOL, waits=False)
        self._updates.send()
        self._requests.perform(self._requests.responses.release(self._steps.now))

    def succeed(self, lost: ToolGate, *, knows_calls: bool) -> None:
        """Takes over the tool calls in progress and the delay of answers from `lost`, the gate of a session whose
        connection was lost. `knows_calls` is True if the new server knows the tool calls.
        """
        self._calls |= lost._calls
        if not knows_calls:
            self._foreign_calls |= lost._calls
        self._held_until = lost._held_until
        if self._held_until is not None:
            self._requests.responses.hold(self._held_until)
