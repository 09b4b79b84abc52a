"""One call: joins what Twilio sends and the model's session, for as long as both want.

A shell: it owns the session and the tasks of the call, all children of one TaskGroup, and decides nothing that a pure
part could. Caller audio takes the shortest way: message -> `media_stream.decode` -> gap check -> mu-law -> x3 -> the
model's socket, all in the step in which the frame arrived. Agent audio goes from there to `LinePlayer` likewise.

A call outlives its media stream: streams attach and detach, the session and what is to be said stay.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Mapping
from typing import Any

from realtime_core import RealtimeAgent, RealtimeModelConfig, RealtimeRunner, RealtimeSession
from realtime_core import events as session_events
from realtime_core.audio import g711
from realtime_core.audio.resample import Upsampler3
from realtime_core.connection import Connection
from realtime_core.errors import RealtimeCoreError

from ..audio.mixer import Loop
from ..errors import StreamRefused
from ..journal.format import SCHEMA
from ..journal.header import configuration
from ..twilio import media_stream
from .call import TOKEN_PARAMETER, Call, CallInfo, set_current_call
from .clips import apology
from .line_player import LinePlayer
from .options import AgentSource, CallOptions, CallOutcome
from .playout import Playout
from .record import CallRecord, TappedConnection, pressed
from .stream import MediaStream

__all__ = ["AgentSource", "Bridge", "CallOptions", "CallOutcome", "run_call"]

log = logging.getLogger(__name__)

_MAX_HELD_FRAMES = 500
"""Ten seconds of the caller wait for the model's connection; then the oldest are dropped."""
_MAX_HELD_DIGITS = 32


async def run_call(connection: Connection, agent: AgentSource, options: CallOptions | None = None) -> CallOutcome:
    """Run one call over `connection` (a Media Streams peer) until it is over. Nothing runs on when it returns."""
    options = options or CallOptions()
    stream = MediaStream(connection)
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(stream.run())
        try:
            start = await stream.start()
            info = options.admit(start)
        except StreamRefused as error:
            log.warning("Refused a media stream: %s", error)
            connection.close(1008, "refused")
            return CallOutcome(None, f"refused: {error}", await reader, stream.skipped)
        bridge = Bridge(info, agent, options)
        bridge.attach(stream, start)
        await bridge.run()
        connection.close(1000)
        close = await reader
        return CallOutcome(bridge.call, bridge.reason, close, stream.skipped, bridge.player.playout.underruns)


class Bridge:
    """The life of one call. `run` is called once; streams are attached to it."""

    session: RealtimeSession

    def __init__(self, info: CallInfo, agent: AgentSource, options: CallOptions) -> None:
        self.call = Call(info, self, options.data)
        self.reason = ""
        """Why the call ended."""
        self._agent = agent
        self._options = options
        self._record = CallRecord(options.journal(info))
        self.player = LinePlayer(self._record, playout=_playout(options))
        self._stream: MediaStream | None = None
        self._attached = asyncio.Event()
        self._over = asyncio.Event()
        self._open = False
        self._live = False
        self._up = Upsampler3()
        self._held: deque[bytes] = deque(maxlen=_MAX_HELD_FRAMES)
        self._held_digits: list[str] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._losing: asyncio.TimerHandle | None = None
        self._write_header(info)

    async def run(self) -> None:
        """The whole call; returns when it is over. Raises nothing that a call can bring about."""
        set_current_call(self.call)
        cpu = self._options.cpu_clock()
        self._options.on_start(self.call)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                talk = self._tasks.create_task(self._talk(), name=f"conversation of {self.call.sid}")
                await self._over.wait()
                if not self._open:
                    talk.cancel()  # still connecting, and nobody is there to talk to
        finally:
            self._options.on_end(self.call)
            if self._losing is not None:
                self._losing.cancel()
            self.player.close()
            self._record.write("end", reason=self.reason, cpu_s=round(self._options.cpu_clock() - cpu, 4))
            self._record.close()

    # --- streams: StreamListener ---------------------------------------------------------------------------------

    def attach(self, stream: MediaStream, start: media_stream.Start) -> None:
        """The call's audio comes and goes over this stream from now on."""
        if self._losing is not None:
            self._losing.cancel()
            self._losing = None
        self._stream = stream
        self._record.write("twilio.in", message=_without_token(start.raw))
        self.player.attach(stream.connection, start.stream_sid)
        self._attached.set()
        stream.listen(self, self._record)

    def on_frame(self, timestamp_ms: int, ulaw: bytes) -> None:
        self.player.frame(timestamp_ms)
        audio = self._up.push(g711.decode(ulaw))
        if self._live:
            self.session.post_audio(audio)
        else:
            self._held.append(audio)

    def on_mark(self, name: str) -> None:
        self.player.mark(name)

    def on_digit(self, digit: str) -> None:
        if not self._options.digits_to_model:
            return
        if self._live:
            self._start(self._tell_digit(digit))
        elif len(self._held_digits) < _MAX_HELD_DIGITS:
            self._held_digits.append(digit)

    def on_stream_end(self, stream: MediaStream, *, stopped: bool) -> None:
        if stream is not self._stream:
            return
        self._stream = None
        self._attached.clear()
        self.player.detach()
        if stopped or self._over.is_set() or not self._options.reattach_s:
            self.end("hung up" if stopped else "stream lost")
        else:
            log.warning("Call %s lost its stream; it waits for another.", self.call.sid)
            loop = asyncio.get_running_loop()
            self._losing = loop.call_later(self._options.reattach_s, self.end, "stream lost")

    # --- the conversation ----------------------------------------------------------------------------------------

    async def _talk(self) -> None:
        try:
            agent = await self._pick_agent()
            runner = RealtimeRunner(agent, model=self._options.model, config=self._options.run_config)
            session = self.session = await runner.run(context=self.call, model_config=self._model_config())
            session.model.emit_raw = False
            session.add_handler(self._on_session_event)
            async with session:
                self._open = True
                await self._attached.wait()
                await self._go_live(session)
                await self._over.wait()
        except Exception as error:  # the picker of the agent and its instructions are users' code, too
            log.exception("Call %s: the conversation failed.", self.call.sid)
            await self._give_up(str(error) or type(error).__name__)

    async def _pick_agent(self) -> RealtimeAgent[Any]:
        if isinstance(self._agent, RealtimeAgent):
            return self._agent
        picked = self._agent(self.call.info)
        return picked if isinstance(picked, RealtimeAgent) else await picked

    def _model_config(self) -> RealtimeModelConfig:
        config = RealtimeModelConfig(**self._options.model_config)
        config["playback_tracker"] = self.player
        config["tap"] = lambda connection: TappedConnection(connection, self._record)
        config.setdefault("sources", self._options.sources)
        return config

    async def _go_live(self, session: RealtimeSession) -> None:
        """The model is there: it greets, and hears what the caller has said meanwhile."""
        if self._options.greeting is not None:
            await session.request_response(instructions=self._options.greeting)
        self._live = not self._over.is_set()
        while self._held:
            session.post_audio(self._held.popleft())
        for digit in self._held_digits:
            await self._tell_digit(digit)

    async def _tell_digit(self, digit: str) -> None:
        try:
            await self.session.send_message(pressed(digit))
        except RealtimeCoreError as error:
            log.warning("Call %s: a key was lost: %s", self.call.sid, error)

    def _on_session_event(self, event: session_events.RealtimeSessionEvent) -> None:
        match event.type:
            case "raw_model_event":
                return  # most events: the others say the same in better words
            case "audio" | "audio_end" | "audio_interrupted":
                self._on_audio(event)
            case "tool_start" | "tool_end":
                self._record_tool(event)
            case "error":
                log.warning("The model complained: %s", event.error)
                self._record.write("error", error=str(event.error))
            case "session_ended":
                self._on_session_ended(event)

    def _on_audio(
        self,
        event: session_events.RealtimeAudio | session_events.RealtimeAudioEnd | session_events.RealtimeAudioInterrupted,
    ) -> None:
        player = self.player
        if not self.session.model.drives_player:
            match event.type:
                case "audio":
                    player.play(event.item_id, event.content_index, event.audio)
                case "audio_end":
                    player.end(event.item_id, event.content_index)
                case "audio_interrupted":
                    player.stop()
        if event.type == "audio_interrupted":
            self._record_interruption(event)

    def _record_tool(self, event: session_events.RealtimeToolStart | session_events.RealtimeToolEnd) -> None:
        name = event.tool.name
        if event.type == "tool_start":
            self._record.write("tool.start", call_id=event.call_id, name=name, arguments=event.arguments)
        else:
            output = event.output if isinstance(event.output, str) else repr(event.output)
            ms = round(event.duration_s * 1000, 3)
            self._record.write("tool.end", call_id=event.call_id, name=name, output=output, ms=ms)

    def _on_session_ended(self, event: session_events.RealtimeSessionEnded) -> None:
        if not self._over.is_set():
            why = str(event.exception or "the server ended the session")
            log.error("Call %s: the model's session ended: %s", self.call.sid, why)
            self._live = False
            self._start(self._give_up(why))

    def _record_interruption(self, event: session_events.RealtimeAudioInterrupted) -> None:
        position, _ = self.player.last_stop
        self._record.write(
            "interruption",
            item_id=event.item_id,
            position=position,
            heard=[[item.item_id, item.content_index, round(item.heard_ms, 3)] for item in event.items],
            truncations=[[cut.item_id, cut.content_index, cut.audio_end_ms] for cut in event.truncations],
        )

    # --- the end -------------------------------------------------------------------------------------------------

    async def hang_up(self, within_s: float) -> None:
        """End the call when everything was heard."""
        self._record.write("control", action="hang_up", within_s=within_s)
        await self._heard(within_s)
        self.end("agent hung up")

    def end(self, reason: str) -> None:
        """The call is over; the first reason counts. Idempotent."""
        self.reason = self.reason or reason
        self._live = False
        self._over.set()

    async def _give_up(self, reason: str) -> None:
        """Whatever breaks, the caller hears something."""
        self._live = False
        if self._stream is not None and not self._over.is_set():
            self.player.stop()
            self.player.play_clip("clip:apology", apology())
            await self._heard(8)
        self.end(f"failed: {reason}")

    async def _heard(self, within_s: float) -> None:
        """Wait until everything that was queued has been heard."""
        try:
            async with asyncio.timeout(within_s):
                await self.player.quiet()
        except TimeoutError:
            log.warning("Call %s: the line did not confirm within %g s what was said.", self.call.sid, within_s)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of the call; nothing happens when the call is over."""
        if self._tasks is None or self._over.is_set():
            work.close()
        else:
            self._tasks.create_task(work)

    def _write_header(self, info: CallInfo) -> None:
        options = self._options
        self._record.write(
            "header",
            schema=SCHEMA,
            agent=self._agent.name if isinstance(self._agent, RealtimeAgent) else "",
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
            ),
        )


def _playout(options: CallOptions) -> Playout:
    if options.ambience is None:
        return Playout()
    return Playout(bed=Loop(options.ambience).take, mix=g711.mix)


def _without_token(message: Mapping[str, Any]) -> dict[str, Any]:
    start = dict(message["start"])
    start["customParameters"] = {
        name: value for name, value in (start.get("customParameters") or {}).items() if name != TOKEN_PARAMETER
    }
    return {**message, "start": start}
