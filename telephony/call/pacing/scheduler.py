"""Schedules what the agent does without a request: the agent fills silences, prompts a silent caller, and ends calls
that last too long.

The scheduler connects the pure state machines of this package to the event loop, with one timer for all of them.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from realtime_core import events as session_events
from realtime_core.capabilities import ModelCapabilities
from realtime_core.deadline_timer import DeadlineTimer
from realtime_core.deadlines import earliest

from ...locales.locale import waiting_sound
from ..ending import EndReason
from ..lifetime import Lifetime
from ..line.player import LinePlayer
from ..recording.recorder import CallRecorder
from ..wording import Wording
from .limits import CallLength, LengthAction, MachineLimit
from .pending_answer import Fill, PendingAnswer
from .policy import CallPolicy
from .reasons import PauseReason, PendingCause
from .silence_prompts import Goodbye, Prompt, SilencePolicy, SilencePrompts
from .stream_watchdog import StreamWatchdog

if TYPE_CHECKING:
    from realtime_core.model_events import RealtimeModelEvent

__all__ = ["PacedCall", "Scheduler"]

log = logging.getLogger(__name__)


class PacedCall(Protocol):
    """The methods of a call that the scheduler calls when a time limit is reached."""

    async def prompt(self, instructions: str) -> None:
        """Requests a spoken response to `instructions` from the model."""

    async def say_goodbye(self, instructions: str, reason: EndReason) -> None:
        """Lets the model say goodbye as `instructions` say, and then ends the call with `reason`. If the caller speaks
        during the goodbye, the call continues.
        """

    async def give_up(self, reason: str) -> None:
        """Apologises to the caller and ends the call. `reason` says why, and becomes a part of `Call.ended`."""


class Scheduler:
    """Makes the agent of one call act at the right time without a request: fills the silence before a late answer,
    prompts a silent caller, and ends a call that lasts too long. `begin` must be called when the call has a media
    stream, and `go_live` when the model is connected.
    """

    call: PacedCall
    """The call for which this object acts: it prompts the caller or ends the call. Must be set before `begin`."""
    replace_stream: Callable[[], Coroutine[Any, Any, None]]
    """A function that replaces a dead media stream. Must be set before `begin`."""

    def __init__(
        self,
        lifetime: Lifetime,
        recorder: CallRecorder,
        player: LinePlayer,
        policy: CallPolicy,
        wording: Wording,
        *,
        greets: bool,
    ) -> None:
        self._lifetime = lifetime
        self._recorder = recorder
        self._player = player
        self._policy = policy
        self._wording = wording
        self._greets = greets
        self._loop = asyncio.get_running_loop()
        self._silence = SilencePrompts(policy.silence or SilencePolicy(after_s=math.inf))
        line_s = math.inf if policy.answer_line_s is None else policy.answer_line_s
        self._answer = PendingAnswer(line_s=line_s, limit_s=policy.answer_limit_s)
        self._length = CallLength(policy.max_call_s or math.inf, policy.warning_s)
        self._machine = MachineLimit(policy.machine_s or math.inf)
        self._watchdog = StreamWatchdog(policy.stalled_s or math.inf)
        self.frame = self._watchdog.frame
        """A method that must be called for each frame of the caller's audio, with the time of its arrival in seconds on
        the loop's clock.
        """
        self._machines = (self._silence, self._answer, self._length, self._machine, self._watchdog)
        self._timer = DeadlineTimer(self._on_time)
        self._failures = 0
        self._spoke = False
        self._cut_off = False
        self._hanging_up = False
        self._full_duplex = False
        """Whether the model decides by itself when it speaks, so that a turn of the caller requests no answer."""
        self._closed = False
        player.on_sound = self._on_sound
        player.on_sent = self._on_sent

    # --- the caller's side ---------------------------------------------------------------------------------------

    def begin(self, *, again: bool = False) -> None:
        """Starts the time limits of the call, because a media stream was attached. If `again` is True, the stream
        replaces a lost stream: the caller has heard nothing for a time, and the model has not heard the caller.
        """
        now = self._loop.time()
        self._length.begin(now)
        self._watchdog.begin(now)
        self._answer.resume(PauseReason.AWAY, now)
        self._silence.resume(PauseReason.AWAY, now)
        if again and not self._player.sounding and not self._answer.fill_now(now):
            self._player.play_clip("clip:repeat", self._wording.clip("repeat"))
        self._set()

    def away(self) -> None:
        """Pauses the time limits, because the call has no media stream."""
        self._watchdog.end()
        self._answer.pause(PauseReason.AWAY)
        self._silence.pause(PauseReason.AWAY)
        self._set()

    def connecting(self) -> None:
        """Starts the wait of the caller for the model: the call has a media stream, and the model is not connected yet.
        In a long wait the caller hears a sentence and a waiting sound. After a time limit the call ends with an
        apology.
        """
        self._add(PendingCause.MODEL)

    def go_live(self, capabilities: ModelCapabilities) -> None:
        """Starts to measure the caller's silence, and ends the caller's wait for the model, because the model is
        connected. `capabilities` are those of the model.
        """
        self._full_duplex = capabilities.full_duplex
        self._silence.begin(self._loop.time())
        if self._greets:
            self._add(PendingCause.GREETING)
        self._remove(PendingCause.MODEL)

    def caller_acted(self) -> None:
        """Restarts the time until the next prompt for a silent caller, because the caller has pressed a key."""
        self._silence.caller_acted(self._loop.time())

    def machine_found(self) -> None:
        """Ends the call after `CallPolicy.machine_s` seconds, because the other party is a machine."""
        self._machine.found(self._loop.time())
        self._set()

    # --- pauses --------------------------------------------------------------------------------------------------

    def pause(self, reason: PauseReason, *, fill: bool = False) -> None:
        """Stops the prompts for a silent caller until `resume` is called with the same reason. If `fill` is True, a
        caller who waits for an answer of the agent still hears a sentence and the waiting sound.
        """
        self._hanging_up = self._hanging_up or reason is PauseReason.HANGING_UP
        self._silence.pause(reason)
        if not fill:
            self._answer.pause(reason)
        self._set()

    def resume(self, reason: PauseReason) -> None:
        """Ends the pause that `pause` began with the same reason. The silence prompts continue when no other reason for
        a pause is left.
        """
        now = self._loop.time()
        self._hanging_up = self._hanging_up and reason is not PauseReason.HANGING_UP
        self._silence.resume(reason, now)
        self._answer.resume(reason, now)
        self._set()

    def expect_answer(self) -> None:
        """Starts the wait of the caller for an answer, because a response was requested from the model. If the wait is
        long, the caller hears a filler sentence.
        """
        self._add(PendingCause.TURN)

    def close(self) -> None:
        """Stops all time limits permanently, because the call has ended."""
        self._closed = True
        self._timer.cancel()

    # --- the model's side ----------------------------------------------------------------------------------------

    def on_event(self, event: session_events.RealtimeAnyEvent) -> None:
        match event.type:
            case "audio":
                self._on_audio()
            case "raw_model_event":
                self._on_model_event(event.data)
            case "speech_started":
                self._on_speech()
            case "speech_stopped":
                self.resume(PauseReason.CALLER)
            case "agent_start":
                self._spoke = False
                self._add(PendingCause.RESPONSE, event.response_id)
                self._remove(PendingCause.GREETING)
                self._remove(PendingCause.TURN)
            case "agent_end":
                self._cut_off = event.status == "failed" and self._spoke
                self._remove(PendingCause.RESPONSE, event.response_id)
            case "tool_start":
                self._add(PendingCause.TOOL, event.call_id)
            case "tool_end":
                if not event.silent:
                    self._add(PendingCause.TURN)
                self._remove(PendingCause.TOOL, event.call_id)
            case "handoff":
                self._add(PendingCause.TURN)
            case "response_failed":
                self._on_failure(retrying=event.retrying)
            case "connection_status":
                self._on_connection(event.status)

    def _on_audio(self) -> None:
        self._failures = 0
        self._spoke = True
        if self._answer.model_spoke(self._loop.time()):
            self._player.sound(None)

    def _on_speech(self) -> None:
        self._silence.caller_acted(self._loop.time())
        if not self._full_duplex:
            self._remove(PendingCause.TURN)
        self.pause(PauseReason.CALLER)

    def _on_model_event(self, event: RealtimeModelEvent) -> None:
        if event.type == "input_audio_committed":
            # The caller still hears the agent. The committed audio was noise, and the model does not answer the noise.
            if not self._full_duplex and not self._player.playout.busy:
                self._add(PendingCause.TURN)
        elif event.type == "input_audio_transcription_completed":
            self._machine.heard(event.transcript, self._loop.time())
            self._set()

    def _on_failure(self, *, retrying: bool) -> None:
        if retrying:
            self._add(PendingCause.TURN)
            return
        self._failures += 1
        if self._failures > self._policy.max_failures:
            self._lifetime.start(self.call.give_up("the model's responses fail"))
        elif not self._hanging_up:  # after a goodbye the caller need not repeat anything
            self._player.play_clip("clip:repeat", self._wording.clip("repeat"))

    def _on_connection(self, status: str) -> None:
        if status == "reconnecting":
            self._add(PendingCause.MODEL)
        elif status == "connected":
            self._remove(PendingCause.MODEL)
            if self._cut_off:
                self._cut_off = False
                self._lifetime.start(self.call.prompt(self._wording.locale.instructions["resume"]))

    # --- time ----------------------------------------------------------------------------------------------------

    def _add(self, cause: PendingCause, key: str = "") -> None:
        self._answer.add(cause, self._loop.time(), key)
        self._set()

    def _remove(self, cause: PendingCause, key: str = "") -> None:
        if self._answer.remove(cause, self._loop.time(), key):
            self._player.sound(None)
        self._set()

    def _on_sound(self, until: float) -> None:
        self._answer.heard_until(until)
        self._silence.heard_until(until)
        self._set()

    def _on_sent(self, buffered_bytes: int) -> None:
        if buffered_bytes and self._watchdog.sent(buffered_bytes):
            self._replace_stream()

    def _set(self) -> None:
        """Sets the timer of the pacing to the next deadline of its state machines."""
        if self._answer.pending:
            self._silence.pause(PauseReason.ANSWER)
        else:
            self._silence.resume(PauseReason.ANSWER, self._loop.time())
        if not self._closed:
            self._timer.set(earliest(*(each.deadline for each in self._machines)))

    def _on_time(self, now: float) -> None:
        if (fill := self._answer.on_time(now, mid_sentence=self._player.mid_sentence)) is not None:
            self._fill(fill)
        match self._silence.on_time(now):
            case Prompt(instructions):
                self._note("silence")
                self._lifetime.start(self.call.prompt(self._wording.instructions(instructions)))
            case Goodbye(instructions):
                self._note("silence to the end")
                self._lifetime.start(self.call.say_goodbye(self._wording.instructions(instructions), EndReason.SILENCE))
        match self._length.on_time(now):
            case LengthAction.WARN:
                self._note("nearly maximum length")
                self._lifetime.start(self.call.prompt(self._wording.instructions(self._policy.warning)))
            case LengthAction.END:
                self._note("maximum length")
                self._lifetime.start(self.call.say_goodbye(self._farewell, EndReason.MAXIMUM_LENGTH))
        if self._machine.on_time(now):
            self._note("a machine")
            self._lifetime.start(self.call.say_goodbye(self._farewell, EndReason.MACHINE))
        if self._watchdog.on_time(now):
            self._replace_stream()
        self._set()

    @property
    def _farewell(self) -> str:
        return self._wording.instructions(self._policy.farewell)

    def _fill(self, fill: Fill) -> None:
        self._note(f"pending answer: {fill.name.lower().replace('_', ' ')}")
        match fill:
            case Fill.LINE:
                self._player.play_clip("clip:one moment", self._wording.clip("one_moment"))
            case Fill.SOUND:
                self._player.sound(waiting_sound())
            case Fill.GIVE_UP:
                self._lifetime.start(self.call.give_up("no answer came"))

    def _note(self, timer: str) -> None:
        self._recorder.write("timer", name=timer)

    def _replace_stream(self) -> None:
        self._note("stalled")
        log.warning("The media stream is stalled.")
        self._lifetime.start(self.replace_stream())
