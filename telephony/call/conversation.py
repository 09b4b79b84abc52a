"""The conversation of a call with the model: the session, the input to the model, and the journal records of the
conversation.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, TypeVar

from realtime_core import (
    RealtimeAgent,
    RealtimeModelConfig,
    RealtimeRunConfig,
    RealtimeRunner,
    RealtimeSession,
    user_code,
)
from realtime_core import events as session_events
from realtime_core.audio import g711
from realtime_core.audio.resample import Upsampler3
from realtime_core.errors import RealtimeCoreError, UserError
from realtime_core.tools import HostedTool, tool_output_text
from realtime_core.user_code import UserCode, error_text

from ..audio.noise_suppression import NoiseSuppressor
from ..journal.cuts import CutCause
from ..journal.header import model_of
from .call import Call
from .call_info import CallInfo
from .call_tools import declare_targets
from .line.player import LinePlayer
from .model_formats import without_formats
from .options import AgentSource, CallOptions
from .recording.cut_causes import CutCauses, cutting
from .recording.digit_masking import pressed
from .recording.recorded_commands import current_tool
from .recording.recorder import CallRecorder, RecordedConnection

__all__ = ["Conversation", "MuteReason", "SessionHandler"]

log = logging.getLogger(__name__)

T = TypeVar("T")
SessionHandler = Callable[[session_events.RealtimeAnyEvent], None]

_MAX_HELD_FRAMES = 500
"""The maximum number of the caller's frames (10 s) that wait until the model is connected. If there are more frames,
the oldest frames are dropped.
"""
_MAX_HELD_DIGITS = 32
_TOOL_S = 120.0
"""The time limit in seconds of tools that have no time limit of their own. A warm transfer takes less time."""


class MuteReason(Enum):
    """The reasons why the model gets silence in place of the caller's audio."""

    HOLD = auto()
    MUTED = auto()
    UNINTERRUPTIBLE = auto()
    """The agent says something that the caller cannot interrupt."""


class Conversation:
    """The conversation of one call with the model.

    `connect` returns the session. The code that calls `connect` must enter the session (`async with`) and then call
    `begin`. The event `idle` is set while the model produces no response. While the set `muted` is not empty, the model
    gets silence in place of the caller's audio.
    """

    session: RealtimeSession

    def __init__(
        self, sid: str, agent: AgentSource, options: CallOptions, recorder: CallRecorder, player: LinePlayer
    ) -> None:
        self.handlers: list[SessionHandler] = []
        """Functions that are called with each event of the session, in the step of the event loop that caused the
        event.
        """
        self.muted: set[MuteReason] = set()
        self.muted_until_ms = 0.0
        """Until this media timestamp (in milliseconds), the model gets silence in place of the caller's audio. An
        infinite value means silence until the value is changed.
        """
        self.live = False
        self.taken_over = False
        """Whether a supervisor speaks in place of the agent."""
        self.waiting_tools: dict[str, str] = {}
        """The tool calls that wait for approval: a mapping from the id of the tool call to the name of the tool."""
        self.picked = False
        """Whether the agent and the model's configuration are known."""
        self.idle = asyncio.Event()
        self.idle.set()
        self._sid = sid
        self._agent = agent
        self._options = options
        self._recorder = recorder
        self._player = player
        self._up = Upsampler3()
        self._suppress = NoiseSuppressor() if options.noise_suppression else None
        self._held: deque[bytes] = deque(maxlen=_MAX_HELD_FRAMES)
        self._held_digits: list[str] = []
        self._responses: set[str] = set()
        self._causes = CutCauses()

    async def connect(self, call: Call) -> RealtimeSession:
        """Selects the agent and creates its session, which is not connected yet. `call` is the run context of the
        session. Returns the session.
        """
        agent = await self._pick_agent(call)
        model_config = await self._model_config(call)
        self.picked = True
        declare_targets(call, agent.tools)
        runner = RealtimeRunner(agent, model=self._options.model, config=self._run_config())
        self.session = await runner.run(context=call, model_config=model_config)
        self._post_audio = self.session.post_audio
        self.session.model.emit_raw = False
        self._recorder.write("model", **model_of(self.session.model))
        self.session.add_handler(self._on_event)
        return self.session

    async def greet(self) -> None:
        """Requests the greeting from the model. Does nothing if the greeting is a clip."""
        if isinstance(self._options.greeting, str):
            await self.session.request_response(instructions=self._options.greeting)

    async def begin(self, *, greets: bool = True) -> None:
        """Requests the greeting, and sends the caller's audio that arrived before the model was connected. With
        `greets=False`, no greeting is requested. The model must be connected.
        """
        if greets:
            await self.greet()
        self.live = True
        while self._held:
            ulaw = self._held.popleft()
            self._post_audio(self._up.push_ulaw(ulaw), ulaw)
        for digit in self._held_digits:
            await self.tell(pressed(digit))

    async def stop_transcription(self) -> None:
        """Stops the transcription of the caller's speech."""
        try:
            if self.live:
                await self.session.update_settings({"input_audio_transcription": None})
        except RealtimeCoreError as error:
            log.warning("Call %s: the transcription could not be stopped: %s", self._sid, error)

    def end(self) -> None:
        """Stops all input to the model."""
        self.live = False

    @property
    def is_uninterruptible(self) -> bool:
        """Whether the caller cannot interrupt the agent, because the caller is muted for the model, or because a
        supervisor speaks in place of the agent.
        """
        return bool(self.muted) or self.taken_over

    # --- the caller ----------------------------------------------------------------------------------------------

    def hear(self, ulaw: bytes, stamp_ms: float = 0.0) -> None:
        """Sends `ulaw`, audio of the caller (mu-law, 8 kHz), to the model. `stamp_ms` is the media timestamp of the
        audio in milliseconds.
        """
        is_muted = self.muted or stamp_ms < self.muted_until_ms
        if self._suppress is not None:
            ulaw = self._suppress(ulaw)
        if is_muted:
            ulaw = g711.SILENCE * len(ulaw)
        if self.live:
            self._post_audio(self._up.push_ulaw(ulaw), ulaw)
        else:
            self._held.append(ulaw)

    async def press(self, digit: str, *, interrupt: bool) -> None:
        """Tells the model that the caller pressed the key `digit`. The model answers. With `interrupt`, an answer in
        progress is interrupted first. A key that arrives before the model is connected is sent later.
        """
        if self.live:
            if interrupt:
                await self.interrupt(CutCause.DIGIT)
            await self.tell(pressed(digit))
        elif len(self._held_digits) < _MAX_HELD_DIGITS:
            self._held_digits.append(digit)

    async def tell(self, text: str) -> None:
        """Sends a text message of the caller to the model. The model answers."""
        try:
            await self.session.send_message(text)
        except RealtimeCoreError as error:
            log.warning("Call %s: a message could not be sent to the model: %s", self._sid, error)

    async def ask(self, instructions: str) -> bool:
        """Requests a response to `instructions` from the model. Returns False if no request can be sent, or if a
        supervisor has taken over the call.
        """
        if not self.live or self.taken_over:
            return False
        try:
            await self.session.request_response(instructions, tool_choice="none")
        except RealtimeCoreError as error:
            log.warning("Call %s: a response could not be requested: %s", self._sid, error)
            return False
        return True

    async def interrupt(self, cause: CutCause) -> None:
        """Stops the speech of the agent immediately. `cause`, the reason for the interruption, is written to the
        journal.
        """
        try:
            if self.live:
                with cutting(cause):
                    await self.session.interrupt()
        except RealtimeCoreError as error:
            log.warning("Call %s: the model could not be interrupted: %s", self._sid, error)
        self._player.stop()  # also clips, which the model does not know

    # --- the model -----------------------------------------------------------------------------------------------

    async def _pick_agent(self, call: Call) -> RealtimeAgent[Any]:
        if isinstance(self._agent, RealtimeAgent):
            return self._agent
        return await self._call_application(self._agent, call, RealtimeAgent, "The function that picks the agent")

    async def _call_application(self, function: Callable[[CallInfo], Any], call: Call, kind: type[T], name: str) -> T:
        """Calls a function of the application with the data of this call, checks that it returns a `kind`, and returns
        the result of the function. Exceptions of the function are raised.
        """
        try:
            value = await user_code.within(user_code.called(function, call.info))
            if not isinstance(value, kind):
                raise UserError(f"{name} must return a {kind.__name__}, not {type(value).__name__}.")
        except Exception:
            self._options.on_failure(UserCode.AGENT)
            raise
        return value

    def _run_config(self) -> RealtimeRunConfig:
        """Returns the run configuration of the user, with a default time limit for tools that have none."""
        given = self._options.run_config
        tools = given.get("tool_execution") or {}
        config: RealtimeRunConfig = {**given, "tool_execution": {"timeout_seconds": _TOOL_S, **tools}}
        if "model_settings" in given:
            config["model_settings"] = without_formats(given["model_settings"])
        return config

    async def _model_config(self, call: Call) -> RealtimeModelConfig:
        config = RealtimeModelConfig(**self._options.model_config)
        if (function := self._options.call_model_config) is not None:
            changes = await self._call_application(function, call, dict, "The function model_config")
            config = RealtimeModelConfig(**{**config, **changes})
        if "initial_model_settings" in config:
            config["initial_model_settings"] = without_formats(config["initial_model_settings"])
        config["player"] = self._player
        config["tap"] = lambda connection: RecordedConnection(connection, self._recorder)
        config["on_refused"] = self._record_refused
        config.setdefault("sources", self._options.sources)
        return config

    def _record_refused(self, error: Exception) -> None:
        status = getattr(error, "status", None)
        shown = {} if status is None else {"status": status}
        self._recorder.write("open", peer="model", type=type(error).__name__, error=str(error), **shown)

    def _on_event(self, event: session_events.RealtimeAnyEvent) -> None:
        cause = self._causes.of(event)
        match event.type:
            case "audio_interrupted":
                self._record_interruption(event, cause or CutCause.CALLER)
            case "handoff":
                self._recorder.write("handoff", **{"from": event.from_agent.name, "to": event.to_agent.name})
            case "tool_start" | "tool_end":
                self.waiting_tools.pop(event.call_id, None)
                self._record_tool(event)
            case "tool_approval_required":
                self.waiting_tools[event.call_id] = event.tool.name
                arguments = event.arguments
                self._recorder.write("tool.approval", call_id=event.call_id, name=event.tool.name, arguments=arguments)
            case "agent_start":
                self._responses.add(event.response_id)
                self.idle.clear()
            case "agent_end":
                self._responses.discard(event.response_id)
                if not self._responses:
                    self.idle.set()
            case "error":
                self._record_error(event)
            case "session_ended":
                self.live = False
                self.idle.set()
        for handler in tuple(self.handlers):
            handler(event)

    def _record_tool(self, event: session_events.RealtimeToolStart | session_events.RealtimeToolEnd) -> None:
        name = event.tool.name
        if event.type == "tool_start":
            if not isinstance(event.tool, HostedTool):
                current_tool.set(event.call_id)  # in the task in which the tool is about to run
            self._recorder.tool_started(event.call_id, name, event.arguments)
        else:
            output, ms = tool_output_text(event.output), round(event.duration_s * 1000, 3)
            more: dict[str, Any] = {"silent": True} if event.silent else {}
            if event.error is not None:
                more["error"] = _named(event.error)
                self._options.on_failure(UserCode.TOOL)
            self._recorder.write("tool.end", call_id=event.call_id, name=name, output=output, ms=ms, **more)

    def _record_error(self, event: session_events.RealtimeError) -> None:
        """Writes an error to the journal: an error that the model reported, or a failure of the application's code,
        which is in the log already.
        """
        if event.source is None:
            log.warning("The model reported an error: %s", error_text(event.error))
            self._recorder.write("error", error=error_text(event.error))
            return
        self._recorder.write("error", error=_named(event.error), source=event.source.value)
        if event.source is not UserCode.TOOL:  # the end of the tool reports these
            self._options.on_failure(event.source)

    def _record_interruption(self, event: session_events.RealtimeAudioInterrupted, cause: CutCause) -> None:
        position, _ = self._player.last_stop
        if cause is CutCause.CALLER and event.items:
            self._player.latency_meter.silenced(self._player.silent_at)
        self._recorder.write(
            "interruption",
            cause=cause.value,
            item_id=event.item_id,
            position=position,
            heard=[[item.item_id, item.content_index, round(item.heard_ms, 3)] for item in event.items],
            truncations=[[cut.item_id, cut.content_index, cut.audio_end_ms] for cut in event.truncations],
        )


def _named(error: BaseException) -> str:
    """Returns the text of an error with the name of the error's type."""
    return f"{type(error).__name__}: {error_text(error)}".removesuffix(": ")
