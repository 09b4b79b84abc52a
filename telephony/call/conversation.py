"""The model's side of a call: the session, what goes up to it, and what the journal keeps of it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
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

from ..journal.cuts import CutCause
from ..journal.header import model_of
from ..tools import declare_targets
from .call import Call, CallInfo
from .line.player import LinePlayer
from .options import AgentSource, CallOptions
from .recording.cut_causes import CutCauses, cutting
from .recording.digit_masking import pressed
from .recording.recorded_commands import current_tool
from .recording.recorder import CallRecorder, RecordedConnection

__all__ = ["Conversation", "SessionHandler"]

log = logging.getLogger(__name__)

T = TypeVar("T")
SessionHandler = Callable[[session_events.RealtimeAnyEvent], None]

_MAX_HELD_FRAMES = 500
"""Ten seconds of the caller wait for the model's connection; then the oldest are dropped."""
_MAX_HELD_DIGITS = 32
_TOOL_S = 120.0
"""For tools that name no time-out: longer than a warm transfer takes, and than anybody waits."""


class Conversation:
    """`connect` makes the session, which is then entered as a context; `begin` lets the two talk.

    `idle` is set while no response is being made. While anything is in `deaf`, the model hears silence.
    """

    session: RealtimeSession

    def __init__(
        self, call: Call, agent: AgentSource, options: CallOptions, record: CallRecorder, player: LinePlayer
    ) -> None:
        self.handlers: list[SessionHandler] = []
        """Told of each event of the session, in the step that caused it."""
        self.deaf: set[str] = set()
        self.live = False
        self.picked = False
        """There is an agent for this call, and a way to its model."""
        self.idle = asyncio.Event()
        self.idle.set()
        self._call = call
        self._agent = agent
        self._options = options
        self._record = record
        self._player = player
        self._up = Upsampler3()
        self._held: deque[bytes] = deque(maxlen=_MAX_HELD_FRAMES)
        self._held_digits: list[str] = []
        self._responses: set[str] = set()
        self._causes = CutCauses()

    async def connect(self) -> RealtimeSession:
        """Pick the agent and make its session; it is not connected yet."""
        agent = await self._pick_agent()
        model_config = await self._model_config()
        self.picked = True
        declare_targets(self._call, agent.tools)
        runner = RealtimeRunner(agent, model=self._options.model, config=self._run_config())
        self.session = await runner.run(context=self._call, model_config=model_config)
        self.session.model.emit_raw = False
        self._record.write("model", **model_of(self.session.model))
        self.session.add_handler(self._on_event)
        return self.session

    async def begin(self) -> None:
        """The model is there: it greets, and hears what the caller has said meanwhile."""
        if isinstance(self._options.greeting, str):
            await self.session.request_response(instructions=self._options.greeting)
        self.live = True
        while self._held:
            self.session.post_audio(self._held.popleft())
        for digit in self._held_digits:
            await self.tell(pressed(digit))

    def end(self) -> None:
        """Nothing goes up any more."""
        self.live = False

    # --- the caller ----------------------------------------------------------------------------------------------

    def hear(self, ulaw: bytes) -> None:
        """The caller's audio, mu-law."""
        audio = self._up.push(g711.decode(g711.SILENCE * len(ulaw) if self.deaf else ulaw))
        if self.live:
            self.session.post_audio(audio)
        else:
            self._held.append(audio)

    async def press(self, digit: str, *, interrupt: bool) -> None:
        """Tell the model of a key, and have it answer."""
        if self.live:
            if interrupt:
                await self.interrupt(CutCause.DIGIT)
            await self.tell(pressed(digit))
        elif len(self._held_digits) < _MAX_HELD_DIGITS:
            self._held_digits.append(digit)

    async def tell(self, text: str) -> None:
        """Say something to the model in the caller's name, and have it answer."""
        try:
            await self.session.send_message(text)
        except RealtimeCoreError as error:
            log.warning("Call %s: the model could not be told something: %s", self._call.sid, error)

    async def ask(self, instructions: str) -> bool:
        """Have the model say something now. False: it cannot."""
        if not self.live:
            return False
        try:
            await self.session.request_response(instructions, tool_choice="none")
        except RealtimeCoreError as error:
            log.warning("Call %s: the model could not be asked to speak: %s", self._call.sid, error)
            return False
        return True

    async def interrupt(self, cause: CutCause) -> None:
        """Silence the agent, at once."""
        try:
            if self.live:
                with cutting(cause):
                    await self.session.interrupt()
        except RealtimeCoreError as error:
            log.warning("Call %s: the model could not be interrupted: %s", self._call.sid, error)
        self._player.stop()  # clips are none of the model's business

    # --- the model -----------------------------------------------------------------------------------------------

    async def _pick_agent(self) -> RealtimeAgent[Any]:
        if isinstance(self._agent, RealtimeAgent):
            return self._agent
        return await self._asked(self._agent, RealtimeAgent, "The function that picks the agent")

    async def _asked(self, function: Callable[[CallInfo], Any], kind: type[T], name: str) -> T:
        """What the application's function returns for this call. Raises what it raises."""
        try:
            value = await user_code.within(user_code.called(function, self._call.info))
            if not isinstance(value, kind):
                raise UserError(f"{name} must return a {kind.__name__}, not {type(value).__name__}.")
        except Exception:
            self._options.on_failure(UserCode.AGENT)
            raise
        return value

    def _run_config(self) -> RealtimeRunConfig:
        """The given one; and no tool hangs for ever, as nobody on the phone would wait so long."""
        given = self._options.run_config
        tools = given.get("tool_execution") or {}
        return {**given, "tool_execution": {"timeout_seconds": _TOOL_S, **tools}}

    async def _model_config(self) -> RealtimeModelConfig:
        config = RealtimeModelConfig(**self._options.model_config)
        if (function := self._options.call_model_config) is not None:
            changes = await self._asked(function, dict, "The function model_config")
            config = RealtimeModelConfig(**{**config, **changes})
        config["playback_tracker"] = self._player
        config["tap"] = lambda connection: RecordedConnection(connection, self._record)
        config["on_refused"] = self._record_refused
        config.setdefault("sources", self._options.sources)
        return config

    def _record_refused(self, error: Exception) -> None:
        status = getattr(error, "status", None)
        told = {} if status is None else {"status": status}
        self._record.write("open", peer="model", type=type(error).__name__, error=str(error), **told)

    def _on_event(self, event: session_events.RealtimeAnyEvent) -> None:
        cause = self._causes.of(event)
        match event.type:
            case "audio" | "audio_end" | "audio_interrupted":
                self._on_audio(event)
                if event.type == "audio_interrupted":
                    self._record_interruption(event, cause or CutCause.CALLER)
            case "handoff":
                self._record.write("handoff", **{"from": event.from_agent.name, "to": event.to_agent.name})
            case "tool_start" | "tool_end":
                self._record_tool(event)
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

    def _on_audio(
        self,
        event: session_events.RealtimeAudio | session_events.RealtimeAudioEnd | session_events.RealtimeAudioInterrupted,
    ) -> None:
        if not self.session.model.capabilities.drives_player:
            match event.type:
                case "audio":
                    self._player.play(event.item_id, event.content_index, event.audio)
                case "audio_end":
                    self._player.end(event.item_id, event.content_index)
                case "audio_interrupted":
                    self._player.stop()

    def _record_tool(self, event: session_events.RealtimeToolStart | session_events.RealtimeToolEnd) -> None:
        name = event.tool.name
        if event.type == "tool_start":
            if not isinstance(event.tool, HostedTool):
                current_tool.set(event.call_id)  # in the task in which the tool is about to run
            self._record.tool_started(event.call_id, name, event.arguments)
        else:
            output, ms = tool_output_text(event.output), round(event.duration_s * 1000, 3)
            more: dict[str, Any] = {"silent": True} if event.silent else {}
            if event.error is not None:
                more["error"] = _named(event.error)
                self._options.on_failure(UserCode.TOOL)
            self._record.write("tool.end", call_id=event.call_id, name=name, output=output, ms=ms, **more)

    def _record_error(self, event: session_events.RealtimeError) -> None:
        """The model complained, or the application's own code failed, which is logged already."""
        if event.source is None:
            log.warning("The model complained: %s", error_text(event.error))
            self._record.write("error", error=error_text(event.error))
            return
        self._record.write("error", error=_named(event.error), source=event.source.value)
        if event.source is not UserCode.TOOL:  # which the end of the tool tells
            self._options.on_failure(event.source)

    def _record_interruption(self, event: session_events.RealtimeAudioInterrupted, cause: CutCause) -> None:
        position, _ = self._player.last_stop
        self._record.write(
            "interruption",
            cause=cause.value,
            item_id=event.item_id,
            position=position,
            heard=[[item.item_id, item.content_index, round(item.heard_ms, 3)] for item in event.items],
            truncations=[[cut.item_id, cut.content_index, cut.audio_end_ms] for cut in event.truncations],
        )


def _named(error: BaseException) -> str:
    """An error with the name of its type."""
    return f"{type(error).__name__}: {error_text(error)}".removesuffix(": ")
