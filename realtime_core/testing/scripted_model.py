"""A model that follows a script, for tests of agents, of tools and of code that uses a session.

```python
from realtime_core import RealtimeAgent, RealtimeRunner, function_tool
from realtime_core.model_events import RealtimeModelToolCallEvent
from realtime_core.model_inputs import RealtimeModelSendToolOutput, RealtimeModelSendUserInput
from realtime_core.testing import RealtimeStep, ScriptedRealtimeModel

@function_tool
def opening_hours(day: str) -> str:
    return f"On {day} from noon to eleven."

async def test_the_tool_answers():
    call = RealtimeModelToolCallEvent(name="opening_hours", call_id="call_1", arguments='{"day": "Friday"}')
    model = ScriptedRealtimeModel(
        [
            RealtimeStep(expect=RealtimeModelSendUserInput("When are you open?"), emit=[call]),
            RealtimeStep(expect=RealtimeModelSendToolOutput(call, "On Friday from noon to eleven.")),
        ]
    )
    agent = RealtimeAgent(name="Desk", tools=[opening_hours])
    async with await RealtimeRunner(agent, model=model).run() as session:
        await session.send_message("When are you open?")
        async for event in session:
            if event.type == "tool_end":
                break
    model.assert_complete()
```
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Required, TypedDict, cast
from urllib.parse import urlsplit, urlunsplit

from ..config import RealtimeSessionModelSettings
from ..done import DONE, Done, is_done, withdraw
from ..errors import ScriptError
from ..model import RealtimeModel, RealtimeModelConfig, RealtimeModelListener
from ..model_events import RealtimeModelEvent
from ..model_inputs import RealtimeModelSendEvent, as_sent
from ..playback import Player

__all__ = [
    "RealtimeConnectCall",
    "RealtimeScriptError",
    "RealtimeSendMatcher",
    "RealtimeStep",
    "ScriptedRealtimeModel",
    "UnconsumedRealtimeSteps",
    "UnexpectedRealtimeSend",
]

RealtimeSendMatcher = RealtimeModelSendEvent | type[Any] | Callable[[Any], bool]
"""What a step of the script expects from the session: an equal input, an input of a class, or an input for which a
function returns True.
"""


class RealtimeConnectCall(TypedDict, total=False):
    """The arguments of a call of `connect`. The values of the API key and of the headers are left out, because test
    reports are often stored.
    """

    api_key_provided: Required[bool]
    headers_provided: Required[bool]
    url: str
    initial_model_settings: RealtimeSessionModelSettings
    player: Player
    playback_tracker: Player
    call_id: str


class RealtimeScriptError(ScriptError, AssertionError):
    """Raised when a session does not follow the script of a `ScriptedRealtimeModel`."""


class UnexpectedRealtimeSend(RealtimeScriptError):
    """Raised when the session sends the input `actual`, and the script expected `expected`. `expected` is None if the
    script had ended.
    """

    def __init__(
        self, message: str, *, actual: RealtimeModelSendEvent, expected: RealtimeSendMatcher | None = None
    ) -> None:
        super().__init__(message)
        self.actual = actual
        self.expected = expected


class UnconsumedRealtimeSteps(RealtimeScriptError):
    """Raised when the session has not sent all inputs of the script."""

    def __init__(self, message: str, *, remaining_steps: int) -> None:
        super().__init__(message)
        self.remaining_steps = remaining_steps


@dataclass(frozen=True, slots=True)
class RealtimeStep:
    """A step of the script: when the session sends the input `expect`, the model emits `emit` or fails with `error`.

    Raises `ValueError` for a step with both `emit` and `error`.
    """

    expect: RealtimeSendMatcher
    emit: Sequence[RealtimeModelEvent] = ()
    error: Exception | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "emit", tuple(self.emit))
        if self.emit and self.error is not None:
            raise ValueError("A RealtimeStep takes `emit` or `error`, not both.")


class ScriptedRealtimeModel(RealtimeModel):
    """A model without a server, which expects inputs in order and emits events as answers.

    - `connect_events` are emitted at the end of `connect`.
    - `connect_error` is raised by `connect`, and `close_error` is raised by the first `close`.
    - `strict`: an unexpected input raises `UnexpectedRealtimeSend` in the sender, and again in `assert_complete`. If
      False, unexpected inputs are only recorded.
    - `immediate`: inputs are handled in the step in which they are sent, as by the real model. The events of a step
      then arrive in a later step of the event loop, as over a network. If False, `send_event` must be awaited. In both
      cases, awaiting `send_event` returns after the listeners have handled the events. A listener that sends an input
      does not wait: it gets the events of that input after it has returned.
    """

    def __init__(
        self,
        steps: Iterable[RealtimeStep] = (),
        *,
        connect_events: Iterable[RealtimeModelEvent] = (),
        connect_error: Exception | None = None,
        close_error: Exception | None = None,
        strict: bool = True,
        immediate: bool = True,
    ) -> None:
        self._connect_events = tuple(connect_events)
        if self._connect_events and connect_error is not None:
            raise ValueError("A ScriptedRealtimeModel takes connect_events or connect_error, not both.")
        self._steps = deque(steps)
        self._connect_error = connect_error
        self._close_error = close_error
        self._strict = strict
        self._immediate = immediate
        self._listeners: list[RealtimeModelListener] = []
        self._sent: list[RealtimeModelSendEvent] = []
        self._connect_calls: list[RealtimeConnectCall] = []
        self._mismatch: UnexpectedRealtimeSend | None = None
        self._queued: deque[Sequence[RealtimeModelEvent]] = deque()
        self._emitting: asyncio.Task[None] | None = None
        self.connected = False
        self.closed = False
        self.close_calls = 0

    @property
    def listeners(self) -> tuple[RealtimeModelListener, ...]:
        return tuple(self._listeners)

    @property
    def connect_calls(self) -> tuple[RealtimeConnectCall, ...]:
        """The arguments of the calls of `connect`, in order."""
        return tuple(self._connect_calls)

    @property
    def sent_events(self) -> tuple[RealtimeModelSendEvent, ...]:
        """All received inputs, in order, as they were when they were sent."""
        return tuple(self._sent)

    @property
    def remaining_steps(self) -> int:
        return len(self._steps)

    async def connect(self, options: RealtimeModelConfig) -> None:
        if self.connected:
            raise RealtimeScriptError("The model is already connected. Use one model for each session.")
        self._connect_calls.append(_shown(options))
        if self._connect_error is not None:
            raise self._connect_error
        self.connected, self.closed = True, False
        try:
            await self.emit(*self._connect_events)
        except BaseException:
            self.connected = False
            raise

    def add_listener(self, listener: RealtimeModelListener) -> None:
        if listener not in self._listeners:
            self._listeners.append(listener)

    def remove_listener(self, listener: RealtimeModelListener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def send_event(self, event: RealtimeModelSendEvent) -> Coroutine[Any, Any, None]:
        if not self._immediate:
            return self._send_slowly(event)
        events = self._take(event)
        if not events:
            return DONE
        emitting = self._emit_later(events)
        return DONE if emitting is asyncio.current_task() else Done(asyncio.shield(emitting))

    async def _send_slowly(self, event: RealtimeModelSendEvent) -> None:
        await self.emit(*self._take(event))

    async def send_event_if(self, event: RealtimeModelSendEvent, send_if: Callable[[], bool]) -> bool:
        if not send_if():
            return False
        await self.send_event(event)
        return True

    def _take(self, event: RealtimeModelSendEvent) -> Sequence[RealtimeModelEvent]:
        """Compares the input with the script. Returns the model's events."""
        self._sent.append(as_sent(event))
        if not self._steps or not _fits(self._steps[0].expect, event):
            if self._strict:
                expected = self._steps[0].expect if self._steps else None
                error = UnexpectedRealtimeSend(
                    f"The session sent {event!r}; the script expected {expected or 'nothing more'!r}.",
                    actual=event,
                    expected=expected,
                )
                self._mismatch = self._mismatch or error
                raise error
            return ()
        step = self._steps.popleft()
        if step.error is not None:
            raise step.error
        return step.emit

    def _emit_later(self, events: Sequence[RealtimeModelEvent]) -> asyncio.Task[None]:
        """Queues the events. Returns the task that emits all queued events."""
        self._queued.append(events)
        if self._emitting is None or self._emitting.done():
            self._emitting = asyncio.get_running_loop().create_task(self._emit_queued(), name="scripted model")
        return self._emitting

    async def _emit_queued(self) -> None:
        while self._queued:
            await self.emit(*self._queued.popleft())

    def emit_now(self, *events: RealtimeModelEvent) -> None:
        """Emits events in this step of the event loop. Listeners that only have async methods do not get these
        events.
        """
        for event in events:
            for listener in self.listeners:
                withdraw(listener.on_event(event))

    async def emit(self, *events: RealtimeModelEvent) -> None:
        """Emits events to all listeners, in order."""
        for event in events:
            for listener in self.listeners:
                if not is_done(handling := listener.on_event(event)):
                    await handling

    async def close(self) -> None:
        self.close_calls += 1
        self.connected, self.closed = False, True
        error, self._close_error = self._close_error, None
        if error is not None:
            raise error

    def assert_complete(self) -> None:
        """Raises the first mismatch: `UnexpectedRealtimeSend` for the first unexpected input, or
        `UnconsumedRealtimeSteps` if steps of the script are left.
        """
        if self._mismatch is not None:
            raise self._mismatch
        if self._steps:
            raise UnconsumedRealtimeSteps(
                f"{len(self._steps)} steps were not reached; the next expects {self._steps[0].expect!r}.",
                remaining_steps=len(self._steps),
            )


def _shown(options: RealtimeModelConfig) -> RealtimeConnectCall:
    call: RealtimeConnectCall = {"api_key_provided": "api_key" in options, "headers_provided": "headers" in options}
    if "url" in options:
        scheme, netloc, path, _, _ = urlsplit(options["url"])
        call["url"] = urlunsplit((scheme, netloc.rpartition("@")[2], path, "", ""))
    if "initial_model_settings" in options:
        settings = options["initial_model_settings"]
        objects = {key: value for key, value in settings.items() if key in ("tools", "handoffs")}
        plain = copy.deepcopy({key: value for key, value in settings.items() if key not in objects})
        call["initial_model_settings"] = cast("RealtimeSessionModelSettings", {**plain, **objects})
    if "player" in options:
        call["player"] = options["player"]
    if "playback_tracker" in options:
        call["playback_tracker"] = options["playback_tracker"]
    if "call_id" in options:
        call["call_id"] = options["call_id"]
    return call


def _fits(expectation: RealtimeSendMatcher, event: RealtimeModelSendEvent) -> bool:
    if isinstance(expectation, type):
        return isinstance(event, expectation)
    if callable(expectation):
        return bool(expectation(event))
    return event == expectation
