"""One call: joins what Twilio sends and the model's session, for as long as both want.

A shell: it owns the tasks of the call, all children of one TaskGroup, and puts its parts together: `Conversation` (the
model), `LinePlayer` (what the caller hears), `CallerLeg` (where the caller is), `Scheduler` (what the agent does of its
own accord), `Controls` and `Transfers` (what it is told to do). Caller audio takes the shortest way: message ->
`media_stream.decode` -> gap check -> mu-law -> x3 -> the model's socket, all in the step in which the frame arrived.
Agent audio goes from there to `LinePlayer` likewise.

A call outlives its media stream: streams attach and detach, the session and what is to be said stay.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Literal

from realtime_core import RealtimeAgent, user_code
from realtime_core import events as session_events
from realtime_core.connection import Connection
from realtime_core.errors import ConnectFailed, ConnectionLost, ServerRejected
from realtime_core.user_code import UserCode, error_text

from ..journal.format import SCHEMA
from ..journal.header import configuration
from ..logs import Repeats
from ..twilio import media_stream
from ..twilio.caller_id import Destination, Parties
from .call import Call, set_current_call
from .call_info import TOKEN_PARAMETER, CallInfo
from .clips import apology
from .controls import Controls
from .conversation import Conversation
from .leg.caller_leg import CallerLeg
from .leg.fallback import fallback_for
from .leg.next_twiml import StreamEnd, end_of_call
from .leg.reattach import Reattach
from .line.player import LinePlayer
from .line.stream import MediaStream, Outcome, serve
from .options import AgentSource, CallOptions, CallOutcome
from .pacing.scheduler import Scheduler
from .recording.recorded_commands import OURS, current_tool
from .recording.recorder import CallRecorder, RecordedControl
from .transfers import Transfers

__all__ = ["AgentSource", "CallOptions", "CallOutcome", "CallSession", "run_call"]

log = logging.getLogger(__name__)

LetGo = Literal["hang up", "close"]


async def run_call(connection: Connection, agent: AgentSource, options: CallOptions | None = None) -> CallOutcome:
    """Run one call over `connection` (a Media Streams peer) until it is over. Nothing runs on when it returns."""
    options = options or CallOptions()

    async def take(stream: MediaStream, start: media_stream.Start, info: CallInfo) -> Outcome:
        bridge = CallSession(info, agent, options)
        bridge.attach(stream, start)
        await bridge.run()
        return bridge.outcome

    return await serve(connection, options.admit, take, options.on_refused, Repeats(log))


class CallSession:
    """The life of one call. `run` is called once; streams are attached to it."""

    def __init__(self, info: CallInfo, agent: AgentSource, options: CallOptions) -> None:
        self.reason = ""
        """Why the call ended."""
        self._agent_name = agent.name if isinstance(agent, RealtimeAgent) else ""
        self.record = CallRecorder(options.journal(info))
        self.call = Call(info, self, options.data)
        if options.control is not None:
            options = replace(options, control=RecordedControl(options.control, self.record, info.sid))
        self.options = options
        self._write_header(info)
        self.player = LinePlayer(self.record, ambience=options.ambience)
        self.leg = CallerLeg(info.sid, options, self._report)
        self.conversation = Conversation(self.call, agent, options, self.record, self.player)
        greets = isinstance(options.greeting, str)
        self.conduct = Scheduler(self, self.player, options.policy, greets=greets)
        self.controls = Controls(self)
        self.transfers = Transfers(self)
        self.recovery = Reattach(self)
        told = [functools.partial(self._tell, "on_event", each) for each in options.on_event]
        self.conversation.handlers += [self.conduct.on_event, self._on_event, *told]
        self._failed: set[str] = set()
        self._over = asyncio.Event()
        self._open = False
        self._answered = False
        self._let_go: LetGo = "hang up"
        self._tasks: asyncio.TaskGroup | None = None
        self._started: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """The whole call; returns when it is over. Raises nothing that a call can bring about."""
        set_current_call(self.call)
        cpu = self.options.cpu_clock()
        self._tell("on_start", self.options.on_start, self.call)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                talk = self._tasks.create_task(self._talk(), name=f"conversation of {self.call.sid}")
                if self.options.beside is not None:
                    self.start(self._beside(self.options.beside(self.call)))
                await self._over.wait()
                if not self._open:
                    talk.cancel()  # still connecting, or nobody has come to talk to
                for task in tuple(self._started):
                    task.cancel()
                await self._release()
                await self.transfers.close()
        finally:
            self._tell("on_end", self.options.on_end, self.call)
            self.recovery.close()
            self.conduct.close()
            self.player.close()
            self.leg.let_go()
            self.record.write("end", reason=self.reason, cpu_s=round(self.options.cpu_clock() - cpu, 4))
            self.record.close()

    async def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        current_tool.set(OURS)
        await work

    def _tell(self, name: str, callback: Callable[..., object], *args: Any) -> None:
        """Call one of the options' callbacks. Of each only the first failure is logged: frames come all the time."""
        try:
            user_code.call_now(callback, *args)
        except Exception as error:  # noqa: BLE001 - a user's code
            self.options.on_failure(UserCode.CALLBACK)
            if name not in self._failed:
                self._failed.add(name)
                user_code.log_failure(f"Call {self.call.sid}: the callback {name}", error)

    @property
    def over(self) -> bool:
        return self._over.is_set()

    # --- streams: StreamListener ---------------------------------------------------------------------------------

    def attach(self, stream: MediaStream, start: media_stream.Start, info: CallInfo | None = None) -> None:
        """The call's audio comes and goes over this stream from now on; one that was there before is closed. `info` is
        what the stream knows of the call, if the call began without one."""
        self.recovery.attached()
        first, replaces = not self._answered, self.leg.is_lost
        if first and info is not None:
            self.call.info = self.call.info.with_stream(info)
        if (before := self.leg.attach(stream)) is not None:
            self.player.detach()
            before.connection.close(1000, "another stream took its place")
        self.record.write("twilio.in", message=_without_token(start.raw))
        self.player.attach(stream.connection, start.stream_sid)
        self.conduct.begin(again=replaces)
        if first:
            self._answer()
        stream.listen(self, self.record)

    def _answer(self) -> None:
        """The first stream is there."""
        self._answered = True
        if isinstance(self.options.greeting, bytes):
            self.player.play_clip("clip:greeting", self.options.greeting)
        if not self.conversation.live:
            self.conduct.connecting()

    def on_frame(self, timestamp_ms: int, ulaw: bytes) -> None:
        self.conduct.frame()
        if self.options.on_frame is not None:
            self._tell("on_frame", self.options.on_frame, ulaw)
        self.player.frame(timestamp_ms)
        self.conversation.hear(ulaw)

    def on_mark(self, name: str) -> None:
        self.player.mark(name)

    def on_digit(self, digit: str) -> None:
        self.conduct.caller_acted()
        self._tell("on_digit", self.options.on_digit, self.call, digit)
        if self.controls.take_digit(digit) or not self.options.digits_to_model:
            return
        self.conduct.expect_answer()
        interrupt = self.options.policy.digits_interrupt and not self.conversation.deaf
        self.start(self.conversation.press(digit, interrupt=interrupt))

    def on_stream_end(self, stream: MediaStream, *, stopped: bool) -> None:
        if stream is not self.leg.stream:
            return
        self.leg.detach()
        self.player.detach()
        self.conduct.away()
        if self.over or self.leg.away is not None:
            return
        if stopped or not self.options.reattach_s:
            self.end("hung up" if stopped else "stream lost")
        else:
            self.recovery.lost()

    @property
    def had_stream(self) -> bool:
        return self._answered

    @property
    def refused(self) -> bool:
        """Was the call's first stream not let in?"""
        return self.reason.startswith("refused")

    def stream_end(self) -> StreamEnd:
        """Why the stream is over, for whoever answers Twilio's question what comes next."""
        self.recovery.asked()
        if self.leg.away is not None:
            return replace(self.leg.away, offered=self.leg.offered)
        if not self.over:
            return StreamEnd("lost", self.leg.reattached, offered=self.leg.offered)
        return self._end_of_call()

    def _end_of_call(self) -> StreamEnd:
        return end_of_call(self.reason, reattached=self.leg.reattached, fallback=self.fallback())

    def fallback(self) -> Destination | None:
        """Who takes the call where we cannot go on."""
        return fallback_for(self.parties, self.options.fallback)

    @property
    def parties(self) -> Parties:
        return self.call.info.parties(self.options.own_number)

    def _report(self, end: StreamEnd | None) -> None:
        self.options.on_stream(self.call, end)

    # --- the conversation ----------------------------------------------------------------------------------------

    async def _talk(self) -> None:
        try:
            async with await self.conversation.connect():
                await self.leg.attached.wait()
                self._open = True
                self.conduct.go_live()
                await self.conversation.begin()
                await self._over.wait()
                self.conversation.end()
        except Exception as error:  # the choice of the agent and its instructions are users' code, too
            log.exception("Call %s: the conversation failed.", self.call.sid)
            if self.conversation.picked and not isinstance(error, (ConnectFailed, ConnectionLost, ServerRejected)):
                self.options.on_failure(UserCode.INSTRUCTIONS)
            await self.give_up(error_text(error) or type(error).__name__)

    def _on_event(self, event: session_events.RealtimeAnyEvent) -> None:
        if event.type == "session_ended" and not self.over:
            why = error_text(event.exception or "the server ended the session")
            log.error("Call %s: the model's session ended: %s", self.call.sid, why)
            self.start(self.give_up(why))

    # --- what the conduct asks for: PacedCall ----------------------------------------------------------------

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of the call; nothing happens when the call is over."""
        if self._tasks is None or self.over:
            work.close()
            return
        task = self._tasks.create_task(work)
        self._started.add(task)
        task.add_done_callback(self._started.discard)

    def note(self, timer: str) -> None:
        self.record.write("timer", name=timer)

    def told(self, what: str, **fields: Any) -> None:
        """Somebody outside of the call says something about it: Twilio by a webhook, or the process that it runs in."""
        self.record.write("callback", what=what, **fields)

    async def prompt(self, instructions: str) -> None:
        if await self.conversation.ask(instructions):
            self.conduct.expect_answer()

    async def say_goodbye(self, instructions: str, reason: str) -> None:
        await self.controls.hang_up(goodbye=instructions, reason=reason)

    async def say_farewell(self) -> None:
        """The process stops: say goodbye whatever the caller says, and hang up."""
        self.told("farewell")
        if self.leg.stream is None:
            self.end("the process stops")
        else:
            await self.controls.hang_up(goodbye=self.options.policy.farewell, reason="drained", anyway=True)

    async def give_up(self, reason: str) -> None:
        """Whatever breaks, the caller hears something."""
        self.conversation.end()
        self.conduct.rest("giving up")
        if self.leg.stream is not None and not self.over:
            self.player.sound(None)
            self.player.stop()
            self.player.play_clip("clip:apology", apology())
            await self.controls.heard(8, to_come=False)
        if self.fallback() is not None:
            self._let_go = "close"
        self.end(f"failed: {reason}")

    async def replace_stream(self) -> None:
        await self.recovery.stalled()

    # --- the end -------------------------------------------------------------------------------------------------

    def end(self, reason: str, *, let_go: LetGo | None = None) -> None:
        """The call is over; the first reason counts. Idempotent. `let_go="close"`: the caller goes on elsewhere."""
        if self.over:
            return
        self.reason = reason
        self._let_go = let_go or self._let_go
        if self._answered:
            self._report(self._end_of_call())
        self.conversation.end()
        self._over.set()

    async def _release(self) -> None:
        """Let the caller go, unless the caller has gone."""
        if self.leg.stream is None:
            return
        if self._let_go == "hang up":
            await self.leg.hang_up()
        else:
            self.leg.let_go()

    def outcome(self, close: Any = None, skipped: int = 0) -> CallOutcome:
        return CallOutcome(self.call, self.reason, close, skipped, self.player.playout.underruns)

    def _write_header(self, info: CallInfo) -> None:
        options = self.options
        self.record.write(
            "header",
            schema=SCHEMA,
            agent=self._agent_name,
            call_sid=info.sid,
            stream_sid=info.stream_sid,
            direction=info.direction,
            started_at=options.sources.now().isoformat(timespec="milliseconds"),
            config=configuration(
                greeting=options.greeting,
                model_config=options.model_config,
                run_config=options.run_config,
                ambience=options.ambience,
                digits_to_model=options.digits_to_model,
                reattach_s=options.reattach_s,
                policy=options.policy,
                has_control=options.control is not None,
                placed=options.placed,
                has_way_back=options.way_back is not None,
                has_fallback=options.fallback is not None,
                has_own_number=options.own_number is not None,
            ),
        )
        for clip in (options.greeting, options.ambience):
            if isinstance(clip, bytes):
                self.record.clip(clip)


def _without_token(message: Mapping[str, Any]) -> dict[str, Any]:
    start = dict(message["start"])
    start["customParameters"] = {
        name: value for name, value in (start.get("customParameters") or {}).items() if name != TOKEN_PARAMETER
    }
    return {**message, "start": start}
