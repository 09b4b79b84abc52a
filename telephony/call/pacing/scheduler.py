"""What the agent does of its own accord: fills silences, prompts, ends calls that last too long. A shell around the
pure state machines, with one timer for all of them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from realtime_core import events as session_events

from .. import clips
from ..line.player import LinePlayer
from .limits import CallLength, LengthAction, MachineLimit
from .pending_answer import Fill, PendingAnswer
from .policy import CallPolicy
from .silence_prompts import Goodbye, Prompt, SilencePolicy, SilencePrompts
from .stream_watchdog import StreamWatchdog

if TYPE_CHECKING:
    from realtime_core.model_events import RealtimeModelEvent

__all__ = ["PacedCall", "Scheduler"]

log = logging.getLogger(__name__)

_RESUME = (
    "The line was interrupted in the middle of your last answer. Go on where you stopped; say in two words that you "
    "are back."
)


class PacedCall(Protocol):
    """What a call can be told to do."""

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of the call."""

    def note(self, timer: str) -> None:
        """A time-out was up."""

    async def prompt(self, instructions: str) -> None:
        """Have the model say something."""

    async def say_goodbye(self, instructions: str, reason: str) -> None:
        """Have the model say goodbye, then end the call, unless the caller speaks meanwhile."""

    async def give_up(self, reason: str) -> None:
        """Apologise, and end the call."""

    async def replace_stream(self) -> None:
        """The stream is dead: let go of it, and have Twilio open another one."""


class Scheduler:
    """One call's conduct. `begin`: a stream is there; `go_live`: the model, too."""

    def __init__(self, call: PacedCall, player: LinePlayer, policy: CallPolicy, *, greets: bool) -> None:
        self._call = call
        self._player = player
        self._policy = policy
        self._greets = greets
        self._loop = asyncio.get_running_loop()
        self._silence = SilencePrompts(policy.silence or SilencePolicy(after_s=math.inf))
        line_s = math.inf if policy.answer_line_s is None else policy.answer_line_s
        self._owed = PendingAnswer(line_s=line_s, limit_s=policy.answer_limit_s)
        self._length = CallLength(policy.max_call_s or math.inf, policy.warning_s)
        self._machine = MachineLimit(policy.machine_s or math.inf)
        self._stream = StreamWatchdog(policy.stalled_s or math.inf)
        self._machines = (self._silence, self._owed, self._length, self._machine, self._stream)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        """When it is due: uvloop's handles do not tell it of a timer that is due at once."""
        self._failures = 0
        self._spoke = False
        self._cut_off = False
        self._hanging_up = False
        self._closed = False
        player.on_sound = self._on_sound
        player.on_sent = self._on_sent

    # --- the caller's side ---------------------------------------------------------------------------------------

    def begin(self, *, again: bool = False) -> None:
        """A stream was attached. The first one begins the call. `again`: it takes the place of one that was lost, so
        the caller has heard nothing for a while, and what the caller said meanwhile was not heard."""
        now = self._loop.time()
        self._length.begin(now)
        self._stream.begin(now)
        self._owed.resume("away", now)
        self._silence.resume("away", now)
        if again and not self._player.sounding and not self._owed.hurry(now):
            self._player.play_clip("clip:repeat", clips.repeat())
        self._set()

    def away(self) -> None:
        """There is no stream: nobody can hear anything."""
        self._stream.end()
        self._owed.pause("away")
        self._silence.rest("away")
        self._set()

    def connecting(self) -> None:
        """The caller is there, the model is not."""
        self._owe("model")

    def go_live(self) -> None:
        """The model is there, too."""
        self._silence.begin(self._loop.time())
        if self._greets:
            self._owe("greeting")
        self._pay("model")

    def frame(self) -> None:
        self._stream.frame(self._loop.time())

    def caller_acted(self) -> None:
        """The caller has pressed a key."""
        self._silence.caller_acted(self._loop.time())

    def machine_found(self) -> None:
        self._machine.found(self._loop.time())
        self._set()

    # --- pauses --------------------------------------------------------------------------------------------------

    def rest(self, why: str, *, fill: bool = False) -> None:
        """Nothing is prompted until `resume`; and no silence in which an answer is owed is filled, unless `fill`."""
        self._hanging_up = self._hanging_up or why == "hanging up"
        self._silence.rest(why)
        if not fill:
            self._owed.pause(why)
        self._set()

    def resume(self, why: str) -> None:
        now = self._loop.time()
        self._hanging_up = self._hanging_up and why != "hanging up"
        self._silence.resume(why, now)
        self._owed.resume(why, now)
        self._set()

    def expect_answer(self) -> None:
        """The model was asked to speak."""
        self._owe("turn")

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

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
                self.resume("caller")
            case "agent_start":
                self._spoke = False
                self._owe(f"response {event.response_id}")
                self._pay("greeting")
                self._pay("turn")
            case "agent_end":
                self._cut_off = event.status == "failed" and self._spoke
                self._pay(f"response {event.response_id}")
            case "tool_start":
                self._owe(f"tool {event.call_id}")
            case "tool_end":
                if not event.silent:
                    self._owe("turn")
                self._pay(f"tool {event.call_id}")
            case "handoff":
                self._owe("turn")
            case "response_failed":
                self._on_failure(retrying=event.retrying)
            case "connection_status":
                self._on_connection(event.status)

    def _on_audio(self) -> None:
        self._failures = 0
        self._spoke = True
        if self._owed.model_spoke(self._loop.time()):
            self._player.sound(None)

    def _on_speech(self) -> None:
        self._silence.caller_acted(self._loop.time())
        self._pay("turn")
        self.rest("caller")

    def _on_model_event(self, event: RealtimeModelEvent) -> None:
        if event.type == "input_audio_committed":
            # While the agent goes on being heard, what was committed was a noise, and nobody answers it.
            if not self._player.playout.busy:
                self._owe("turn")
        elif event.type == "input_audio_transcription_completed":
            self._machine.heard(event.transcript, self._loop.time())
            self._set()

    def _on_failure(self, *, retrying: bool) -> None:
        if retrying:
            self._owe("turn")
            return
        self._failures += 1
        if self._failures > self._policy.max_failures:
            self._call.start(self._call.give_up("the model's responses fail"))
        elif not self._hanging_up:  # nobody is asked to say it again after a goodbye
            self._player.play_clip("clip:repeat", clips.repeat())

    def _on_connection(self, status: str) -> None:
        if status == "reconnecting":
            self._owe("model")
        elif status == "connected":
            self._pay("model")
            if self._cut_off:
                self._cut_off = False
                self._call.start(self._call.prompt(_RESUME))

    # --- time ----------------------------------------------------------------------------------------------------

    def _owe(self, why: str) -> None:
        self._owed.owe(why, self._loop.time())
        self._set()

    def _pay(self, why: str) -> None:
        if self._owed.pay(why, self._loop.time()):
            self._player.sound(None)
        self._set()

    def _on_sound(self, until: float) -> None:
        self._owed.heard_until(until)
        self._silence.heard_until(until)
        self._set()

    def _on_sent(self, buffered_bytes: int) -> None:
        if buffered_bytes and self._stream.sent(buffered_bytes):
            self._replace_stream()

    def _set(self) -> None:
        """Set the timer to the next deadline."""
        if self._owed.owed:
            self._silence.rest("answer")
        else:
            self._silence.resume("answer", self._loop.time())
        at = min((each.deadline for each in self._machines if each.deadline is not None), default=math.inf)
        if self._timer is not None and self._timer_at != at:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and at < math.inf and not self._closed:
            self._timer, self._timer_at = self._loop.call_at(at, self._on_time), at

    def _on_time(self) -> None:
        self._timer = None
        now = self._loop.time()
        if (fill := self._owed.on_time(now, mid_sentence=self._player.mid_sentence)) is not None:
            self._fill(fill)
        match self._silence.on_time(now):
            case Prompt(instructions):
                self._call.note("silence")
                self._call.start(self._call.prompt(instructions))
            case Goodbye(instructions):
                self._call.note("silence to the end")
                self._call.start(self._call.say_goodbye(instructions, "silence"))
        match self._length.on_time(now):
            case LengthAction.WARN:
                self._call.note("nearly maximum length")
                self._call.start(self._call.prompt(self._policy.warning))
            case LengthAction.END:
                self._call.note("maximum length")
                self._call.start(self._call.say_goodbye(self._policy.farewell, "maximum length"))
        if self._machine.on_time(now):
            self._call.note("a machine")
            self._call.start(self._call.say_goodbye(self._policy.farewell, "a machine"))
        if self._stream.on_time(now):
            self._replace_stream()
        self._set()

    def _fill(self, fill: Fill) -> None:
        self._call.note(f"answer owed: {fill.name.lower().replace('_', ' ')}")
        match fill:
            case Fill.LINE:
                self._player.play_clip("clip:one moment", clips.one_moment())
            case Fill.SOUND:
                self._player.sound(clips.waiting())
            case Fill.GIVE_UP:
                self._call.start(self._call.give_up("no answer came"))

    def _replace_stream(self) -> None:
        self._call.note("stalled")
        log.warning("The media stream is stalled.")
        self._call.start(self._call.replace_stream())
