"""A conversation with an agent over a speech model."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from .acknowledgements import Acknowledgements
from .agent_settings import output_bytes_per_ms
from .config import RealtimeRunConfig, RealtimeSessionModelSettings, RealtimeUserInput
from .current_agent import CurrentAgent
from .done import DONE
from .errors import RealtimeCoreError, UserError
from .event_streams import EventHandler, EventHub, EventStream
from .event_translator import EventTranslator
from .events import (
    RealtimeHistoryAdded,
    RealtimeHistoryUpdated,
    RealtimeRawModelEvent,
    RealtimeSessionEnded,
    RealtimeSessionEvent,
    is_sdk_event,
)
from .history import Added, Items, ToolOutputSent, reduce
from .history_edits import history_edits
from .history_order import listed
from .hooks import Hooks
from .items import RealtimeItem, item_of
from .model import RealtimeModel, RealtimeModelConfig, RealtimeModelListener, player_of
from .model_events import RealtimeModelEvent, RealtimeModelTurnEndedEvent
from .model_inputs import (
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelSendPauseResponses,
    RealtimeModelSendRawMessage,
    RealtimeModelSendResponseCancel,
    RealtimeModelSendResponseCreate,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendUserInput,
)
from .outbox import PostAudio
from .output_checks import InputChecks, OutputChecks
from .playback_tracker import ForeignTracker, RealtimePlaybackTracker
from .run_context import RunContextWrapper
from .session_core import SessionCore
from .tool_approvals import REJECTION_MESSAGE, Decision
from .tool_calls import ToolCalls

if TYPE_CHECKING:
    from .agent import RealtimeAgent
    from .usage import Usage

__all__ = ["REJECTION_MESSAGE", "RealtimeSession", "SessionStatus"]

logger = logging.getLogger(__name__)
_numbers = itertools.count(1)
"""The numbers of the sessions in this process, for the log."""

SessionStatus = Literal["new", "connecting", "connected", "reconnecting", "disconnected", "closing", "closed"]

CLOSE_TIMEOUT_S = 1.0
"""The maximum duration of `close` in seconds. Half of this time is for users' code to end, and the rest is for the
model's connection.
"""


class RealtimeSession(RealtimeModelListener):
    """A conversation: `async with session:` connects, `async for event in session:` yields the events.

    ```python
    async with await RealtimeRunner(agent).run() as session:
        await session.send_message("Hello, agent!")
        async for event in session:
            if event.type == "audio":
                play(event.audio)
    ```

    The session handles each model event in the step of the event loop in which the event arrives. Only users' code
    (tools, guardrails, hooks, dynamic instructions) runs in tasks. These end with the session.
    """

    def __init__(
        self,
        model: RealtimeModel,
        agent: RealtimeAgent[Any],
        context: Any = None,
        model_config: RealtimeModelConfig | None = None,
        run_config: RealtimeRunConfig | None = None,
    ) -> None:
        self._model = model
        self._model_config: RealtimeModelConfig = {**(model_config or {})}
        if isinstance(player := player_of(self._model_config), ForeignTracker):
            self._model_config["playback_tracker"] = player
        given = {key: value for key, value in (run_config or {}).items() if value is not None}
        self._run_config = cast("RealtimeRunConfig", given)
        self._overrides: RealtimeSessionModelSettings = self._model_config.get("initial_model_settings") or {}
        settings: RealtimeSessionModelSettings = (self._run_config.get("model_settings") or {}) | self._overrides
        wrapped = context if isinstance(context, RunContextWrapper) else RunContextWrapper(context)
        self._bytes_per_ms = output_bytes_per_ms(settings)
        self._events = EventHub(self._run_config.get("queues") or {}, self._bytes_per_ms)
        self._core = SessionCore(model, wrapped, self._run_config, self._events.emit, self._task_failed, _label(agent))
        self._acknowledgements = Acknowledgements()
        self._hooks = Hooks(self._core)
        self._agent = CurrentAgent(agent, settings, model, self._core, self._hooks, self._acknowledgements)
        self._checks = OutputChecks(self._core, lambda: self.current_agent)
        self._tools = ToolCalls(self._core, self._hooks, self._agent, self._reduce)
        input_checks = InputChecks(self._core, lambda: self.current_agent)
        player = None if model.capabilities.drives_player else player
        self._translator = EventTranslator(self._core, self._hooks, self._checks, input_checks, self._agent, player)
        self._history: Items = ()
        self._lost: frozenset[str] = frozenset()
        """Items of an earlier server session. The current server session may know only a summary of them."""
        self._stream: EventStream | None = None
        self._status: SessionStatus = "new"
        self._closing: asyncio.Task[None] | None = None
        self._ended = False
        self._failure: Exception | None = None

    # Properties

    @property
    def model(self) -> RealtimeModel:
        """The model, for inputs for which this class has no method: `session.model.send_event(...)`."""
        return self._model

    @property
    def context(self) -> RunContextWrapper[Any]:
        """The context of the session: the user's object from `RealtimeRunner.run(context=...)`, and the token usage."""
        return self._core.context

    @property
    def usage(self) -> Usage:
        """The tokens used so far."""
        return self._core.context.usage

    @property
    def current_agent(self) -> RealtimeAgent[Any]:
        """The agent that the conversation has now: the first agent, or the agent of the last handoff or
        `update_agent`.
        """
        return self._agent.agent

    @property
    def history(self) -> list[RealtimeItem]:
        """The conversation so far, in order."""
        return listed(self._history)

    @property
    def status(self) -> SessionStatus:
        """The state of the session: `new`, `connecting`, `connected`, `reconnecting`, `disconnected`, `closing` or
        `closed`. While the session is open, this is the state of the connection to the model.
        """
        return self._status

    # Opening and closing

    async def __aenter__(self) -> Self:
        """Connects. Returns when the model has accepted the configuration.

        Raises the exceptions of dynamic instructions, `UserError` for tools with the same name, and the exceptions of
        the model (`ConnectFailed`, `ServerRejected`).
        """
        if self._status != "new":
            raise UserError("A RealtimeSession can be entered only once: create another one with RealtimeRunner.run().")
        self._status = "connecting"
        if not self._events.has_handlers:
            self._stream = self._events.open_stream()
        try:
            await self._agent.start(self._overrides)
            self._bytes_per_ms = output_bytes_per_ms(self._agent.active.settings)
            self._report_to_tracker()
            await self._core.tasks.open()
            self._model.add_listener(self)
            await self._model.connect(self._model_options())
        except BaseException:
            self._model.remove_listener(self)
            self._end()
            await self._core.tasks.close(CLOSE_TIMEOUT_S / 2)
            self._status = "closed"
            raise
        if self._status == "connecting":
            self._status = "connected"
        self._core.emit(RealtimeHistoryUpdated(self.history, self._core.info))
        self._hooks.started(self.current_agent)
        return self

    def _model_options(self) -> RealtimeModelConfig:
        """Returns the user's model configuration with the settings of the starting agent and a function that returns
        the history. A model uses the function when it must begin a new server session.
        """
        options: RealtimeModelConfig = {"conversation": lambda: self.history, **self._model_config}
        options["initial_model_settings"] = self._agent.active.settings
        return options

    def _report_to_tracker(self) -> None:
        tracker = player_of(self._model_config)
        if isinstance(tracker, RealtimePlaybackTracker):
            tracker.set_audio_format("g711" if self._bytes_per_ms == 8 else "pcm16")

    async def enter(self) -> Self:
        """Connects, as `async with` does. The session must later be closed with `close()`."""
        return await self.__aenter__()

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the session: cancels users' code, closes the model, and stops the iteration. Takes at most a second.

        Idempotent. Several tasks and tools may call this method at the same time. All calls wait for the same
        closing, and cancelling one call does not stop the closing. If the model fails to close, all calls raise its
        exception, and a later call tries again.
        """
        if self._status == "closed":
            return
        if self._closing is None or (self._closing.done() and _failed(self._closing)):
            self._closing = asyncio.create_task(self._close(), name="realtime session closing")
        await asyncio.wait({self._closing})
        self._closing.result()

    async def _close(self) -> None:
        self._status = "closing"
        deadline = asyncio.get_running_loop().time() + CLOSE_TIMEOUT_S
        self._model.remove_listener(self)
        self._end()
        await self._core.tasks.close(CLOSE_TIMEOUT_S / 2)
        try:
            async with asyncio.timeout_at(deadline):
                await self._model.close()
        except TimeoutError:
            logger.warning("The model's connection did not close within %g s and was dropped.", CLOSE_TIMEOUT_S)
        self._status = "closed"

    def _end(self, error: Exception | None = None) -> None:
        """Stops emitting events. Consumers get the queued events, and then the end or `error`."""
        self._ended = True
        self._acknowledgements.end(error or UserError("The session is over."))
        self._core.outbox.close()
        self._events.end(error)

    def _task_failed(self, error: BaseException) -> None:
        failure = RealtimeCoreError("A task of the session failed; this is a defect of the session engine.")
        failure.__cause__ = error
        self._finish(failure)

    def _finish(self, error: Exception | None) -> None:
        """Handles the end of the model's event stream."""
        if not self._ended:
            self._status = "disconnected"
            self._failure = error
            self._reduce(RealtimeModelTurnEndedEvent(status="failed"))
            self._translator.end()
            self._tools.end()
            self._core.emit(RealtimeSessionEnded(self._core.info, exception=error))
            self._end(error)

    # Events: iteration, further consumers, handlers

    def __aiter__(self) -> AsyncIterator[RealtimeSessionEvent]:
        return self

    async def __anext__(self) -> RealtimeSessionEvent:
        """Returns the next event of the kinds that the OpenAI Agents SDK has. (`events` yields all kinds.)

        Several plain iterations share the events. After a failure of the model, the queued events are delivered first.
        Then the session is closed and the exception is raised.
        """
        if self._stream is None:
            self._stream = self._events.open_stream()
        try:
            while not is_sdk_event(event := await anext(self._stream)):
                pass
            return event
        except (StopAsyncIteration, asyncio.CancelledError):
            raise
        except Exception:
            if self._ended:
                try:
                    await self.close()
                except Exception:  # the consumer gets the session's error, not this one
                    logger.exception("The model failed to close.")
            raise

    def events(self, *types: str) -> EventStream:
        """Returns a stream of the session's events: `async for event in session.events("audio", "dtmf")`. `types` are
        the names of the wanted types of events. Without `types`, the stream has all events.

        The stream begins with the events that still wait for `async for event in session`, so no event since the start
        of the session is lost. Each call creates an independent consumer. The stream must be closed after use, or used
        as a context manager.
        """
        return self._events.open_stream(types, after=self._stream)

    def subscribe(self, *types: str) -> EventStream:
        """Returns a stream of the session's later events: `async for event in session.subscribe("audio")`. `types` are
        the names of the wanted types of events. Without `types`, the stream has all events. Unlike the stream of
        `events`, this stream has no events from before the call of `subscribe`. It must be closed after use, or used as
        a context manager.
        """
        return self._events.open_stream(types)

    def add_handler(self, handler: EventHandler) -> None:
        """Calls `handler(event)` with each event, in order, in the step of the event loop that caused the event. The
        handler must not block.

        If a handler is added before the session is entered, no events are queued for `async for` before it starts, so
        `async for` yields only later events. Without such a handler, all events are queued for `async for` from the
        start.
        """
        self._events.add_handler(handler)

    def remove_handler(self, handler: EventHandler) -> None:
        self._events.remove_handler(handler)

    # Events of the model

    def on_event(self, event: RealtimeModelEvent) -> Coroutine[Any, Any, None]:
        """Receives an event of the model: updates the history, emits events of the session, and starts tools. All of
        this happens before the method returns, so the returned awaitable is already done. Events after the end of the
        session are ignored.
        """
        if self._ended:
            return DONE
        self._core.emit(RealtimeRawModelEvent(event, self._core.info))
        match event.type:
            case "function_call":
                self._reduce(event)
                self._tools.begin(event)
            case "mcp_approval_request":
                self._tools.begin_hosted(event)
            case "mcp_call":
                self._tools.hosted(event)
            case "connection_status":
                self._status = event.status
                if event.status == "reconnecting":
                    self._lost = frozenset(item.item_id for item in self.history)
                self._translator.handle(event)
            case "turn_ended":
                self._reduce(event)
                self._translator.handle(event)
            case "end_of_stream":
                self._finish(None)
            case "exception":
                self._finish(event.exception)
            case _:
                if self._translator.handle(event):
                    self._reduce(event)
        return DONE

    def _reduce(self, event: RealtimeModelEvent | ToolOutputSent) -> None:
        self._history, changes = reduce(self._history, event, bytes_per_ms=self._bytes_per_ms)
        for change in changes:
            if isinstance(change, Added):
                self._core.emit(RealtimeHistoryAdded(change.item, self._core.info))
        if any(not isinstance(change, Added) for change in changes):
            self._core.emit(RealtimeHistoryUpdated(self.history, self._core.info))

    # Inputs of the user

    async def send_message(self, message: RealtimeUserInput, *, respond: bool = True) -> None:
        """Sends text, or a message with text and images. With `respond=False`, the agent does not answer."""
        await self._deliver(RealtimeModelSendUserInput(message, respond=respond))

    async def send_audio(self, audio: bytes, *, commit: bool = False) -> None:
        """Sends the caller's audio in the session's input format. If `commit` is True, the turn of the caller ends with
        this audio, and the agent answers. There is one exception: if the session setting `turn_detection` is None, the
        agent does not answer until the program calls `request_response()` or sends a raw `response.create`.
        """
        await self._deliver(RealtimeModelSendAudio(audio, commit=commit))

    @property
    def post_audio(self) -> PostAudio:
        """A function that sends the caller's audio without awaiting, as `send_audio` does. The function does nothing
        when the session is over.

        `session.post_audio(audio)` sends a piece. A program that sends 50 pieces a second should read this property
        once. A program that has made the audio with `Upsampler3.push_ulaw(ulaw)` may call
        `session.post_audio(audio, ulaw)`. The session then needs less memory.
        """
        return self._core.outbox.post_audio

    async def interrupt(self) -> None:
        """Stops the agent's speech immediately: drops the audio that was not played, and cancels the response if it is
        in progress.
        """
        await self._deliver(RealtimeModelSendInterrupt())

    async def request_response(self, instructions: str | None = None, **options: Any) -> None:
        """Requests a response of the model now. `instructions` replace the agent's instructions for this response. With
        None, the agent's instructions apply. `options` are the fields of the protocol's `response` object: `input`,
        `conversation` (`"none"` means outside of the conversation), `metadata`, `tools`, `output_modalities`, ...
        """
        fields = {} if instructions is None else {"instructions": instructions}
        await self._deliver(RealtimeModelSendResponseCreate({**fields, **options}))

    async def cancel_response(self, response_id: str | None = None) -> None:
        """Cancels the response with the id `response_id`. With None, cancels the response in progress. Audio that was
        already received is still played.
        """
        await self._deliver(RealtimeModelSendResponseCancel(response_id))

    async def pause_responses(self) -> None:
        """Pauses the responses until `resume_responses` is called. The model hears the caller and makes no response.
        Requests for responses wait. This method returns when the server has confirmed the pause. A response that is
        already in progress is not stopped. Call `interrupt` before, to stop it.

        Raises:
            ServerRejected: the server does not stop answering turns by itself. The responses are paused nevertheless:
                each response is cancelled when it begins.
        """
        await self._set_paused(True)

    async def resume_responses(self) -> None:
        """Lets the model respond again: to the waiting requests, and to later turns of the caller. Returns when the
        server has confirmed the change. Raises `ServerRejected` if the server refuses.
        """
        await self._set_paused(False)

    async def _set_paused(self, paused: bool) -> None:
        self._translator.paused = paused
        if not self._model.capabilities.pauses_responses:
            return
        error = await self._acknowledgements.wait(
            lambda answered: self._deliver(RealtimeModelSendPauseResponses(paused, answered))
        )
        if error is not None:
            raise error

    async def update_settings(self, settings: RealtimeSessionModelSettings) -> None:
        """Requests other settings of the model's session. Returns when the request was sent. Accepted settings also
        apply to later agents. If the server refuses the settings, an `error` event names the setting, and nothing
        changes.
        """

        def answered(error: Exception | None) -> None:
            if error is None:
                self._agent.settings = self._agent.settings | settings

        await self._deliver(RealtimeModelSendSessionUpdate(settings, answered=answered))
        if not self._model.capabilities.confirms_settings:
            answered(None)

    async def update_history(
        self, history: Sequence[RealtimeItem] | Callable[[list[RealtimeItem]], Sequence[RealtimeItem]]
    ) -> None:
        """Changes the conversation to `history` by deleting and creating items. `history` can also be a function that
        gets the current history and returns the new history. Items can also be dicts, as `model_dump` returns them.

        A new item with speech is sent as text, because the protocol does not accept audio of the agent.
        `session.history` changes when the server confirms the change. This can be after this method has returned.
        """
        wanted = history(self.history) if callable(history) else history
        if not isinstance(wanted, Iterable):
            raise UserError(f"update_history needs the items of the new history, not {wanted!r}.")
        edits = history_edits(self._history, [item_of(each) for each in wanted], lost=self._lost)
        if edits:
            self._lost = frozenset()
        for message in edits:
            await self._deliver(RealtimeModelSendRawMessage(message))

    def _check_open(self) -> None:
        if self._status == "new":
            raise UserError("The session is not open: use `async with await runner.run() as session`.")
        if self._ended:
            raise UserError("The session has ended.") from self._failure

    async def _deliver(self, event: Any) -> None:
        self._check_open()
        await self._core.deliver(event)

    # Agents

    async def update_agent(self, agent: RealtimeAgent[Any]) -> None:
        """Makes another agent the current agent without a handoff. Returns when the server has accepted its settings.
        If the server refuses the settings, an `error` event names the setting, and the current agent stays. If the
        dynamic instructions of the new agent raise an exception, this method raises that exception, and the current
        agent stays.
        """
        self._check_open()
        await self._agent.change(agent)

    # Approvals

    async def approve_tool_call(self, call_id: str, *, always: bool = False) -> None:
        """Approves a waiting tool call. With `always`, also approves every later call of this tool by the same agent.
        An unknown call id has no effect.
        """
        self._tools.decide(call_id, Decision(approved=True), always=always)

    async def reject_tool_call(
        self, call_id: str, *, always: bool = False, rejection_message: str | None = None
    ) -> None:
        """Rejects a waiting tool call. The model gets `rejection_message`, or a default text if it is None. With
        `always`, also rejects every later call of this tool by the same agent. An unknown call id has no effect.
        """
        self._tools.decide(call_id, Decision(approved=False, message=rejection_message), always=always)


def _label(agent: RealtimeAgent[Any]) -> str:
    return f"session {next(_numbers)} of {agent.name}"


def _failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None
