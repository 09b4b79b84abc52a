"""One call: joins Twilio's media stream and the model's session for as long as both want.

A shell: it owns the two connections and their tasks, all children of one TaskGroup, and decides nothing that a pure
part could. Caller audio takes the shortest way: message -> `media_stream.decode` -> gap check -> mu-law -> x3 -> the
model's socket, all in the step in which the frame arrived. Agent audio goes from there to `LinePlayer` likewise.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from realtime_core import (
    RealtimeAgent,
    RealtimeModel,
    RealtimeModelConfig,
    RealtimeRunConfig,
    RealtimeRunner,
    RealtimeSession,
)
from realtime_core import events as session_events
from realtime_core.audio import g711
from realtime_core.audio.resample import Upsampler3
from realtime_core.connection import Close, Connection
from realtime_core.errors import RealtimeCoreError
from realtime_core.sources import SYSTEM, Sources

from ..audio.mixer import Loop
from ..errors import MediaStreamError, StreamRefused
from ..journal.format import SCHEMA, Journal
from ..journal.writer import NullJournal
from ..twilio import media_stream
from .call import TOKEN_PARAMETER, Call, CallInfo, set_current_call
from .clips import apology
from .line_player import LinePlayer
from .playout import Playout
from .record import CallRecord, TappedConnection, pressed

__all__ = ["AgentSource", "Bridge", "CallOptions", "CallOutcome", "run_call"]

log = logging.getLogger(__name__)

AgentSource = RealtimeAgent[Any] | Callable[[CallInfo], "RealtimeAgent[Any] | Awaitable[RealtimeAgent[Any]]"]
"""An agent, or a function that picks one for a call."""

_START_TIMEOUT_S = 5.0
_MAX_GAP_MS = 10_000
_MAX_HELD_FRAMES = 500
"""Ten seconds of the caller wait for the model's connection; then the oldest are dropped."""
_MAX_ERRORS = 100


@dataclass(slots=True)
class CallOptions:
    """How to run a call. Everything has a default."""

    greeting: str | None = None
    """Instructions for the first response; None: the caller speaks first."""
    model: RealtimeModel | Callable[[], RealtimeModel] | None = None
    model_config: RealtimeModelConfig = field(default_factory=RealtimeModelConfig)
    run_config: RealtimeRunConfig = field(default_factory=RealtimeRunConfig)
    journal: Callable[[CallInfo], Journal] = lambda info: NullJournal()
    admit: Callable[[media_stream.Start], CallInfo] | None = None
    """Checks the stream's `start` and says whose call it is; raises `StreamRefused`."""
    ambience: bytes | None = None
    """A loop of mu-law 8 kHz that lies under the agent's voice and between its answers."""
    digits_to_model: bool = True
    """Tell the model which key was pressed, and have it answer."""
    data: Mapping[str, Any] = field(default_factory=dict)
    sources: Sources = SYSTEM
    cpu_clock: Callable[[], float] = lambda: 0.0
    """CPU seconds of this process, for the journal's last record."""
    on_start: Callable[[Call], None] = lambda call: None
    on_end: Callable[[Call], None] = lambda call: None


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended. `call` is None where none began."""

    call: Call | None
    reason: str
    close: Close | None = None
    skipped: int = 0
    """How many messages of the peer could not be understood."""


async def run_call(connection: Connection, agent: AgentSource, options: CallOptions | None = None) -> CallOutcome:
    """Run one call over `connection` (a Media Streams peer) until it is over. Nothing runs on when it returns."""
    return await Bridge(connection, agent, options or CallOptions()).run()


class Bridge:
    """The life of one call. `run` is called once."""

    session: RealtimeSession

    def __init__(self, connection: Connection, agent: AgentSource, options: CallOptions) -> None:
        self._connection = connection
        self._agent = agent
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[media_stream.Start] = self._loop.create_future()
        self._over = asyncio.Event()
        self._reason = ""
        self._close: Close | None = None
        self._skipped = 0
        self._call: Call | None = None
        self._player: LinePlayer | None = None
        self._record: CallRecord | None = None
        self._up = Upsampler3()
        self._passthrough = False
        self._live = False
        self._held: deque[bytes] = deque(maxlen=_MAX_HELD_FRAMES)
        self._held_digits: list[str] = []
        self._expected_ms: int | None = None
        self._helpers: asyncio.TaskGroup | None = None

    async def run(self) -> CallOutcome:
        async with asyncio.TaskGroup() as group:
            self._helpers = group
            reader = group.create_task(self._read())
            try:
                await self._converse()
            except StreamRefused as error:
                log.warning("Stream refused: %s", error)
                self._end(f"refused: {error}")
                self._connection.close(1008, "refused")
            self._connection.close(1000)
            await reader
            self._helpers = None
        return CallOutcome(self._call, self._reason, self._close, self._skipped)

    @property
    def player(self) -> LinePlayer | None:
        """The line's player, once the stream has started."""
        return self._player

    @property
    def underruns(self) -> int:
        """How often playout ran dry in the middle of an answer."""
        return self._player.playout.underruns if self._player is not None else 0

    # --- Twilio's side -------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        self._close = await self._connection.run(self._on_message)
        if self._record is not None:
            close = self._close
            self._record.write("close", peer="twilio", code=close.code, reason=close.reason, by=close.by)
        self._end("hung up" if self._close.by != "network" else "stream lost")
        if not self._started.done():
            self._started.set_exception(StreamRefused("the connection ended before its `start`"))

    def _on_message(self, text: str | bytes) -> None:
        try:
            event = media_stream.decode(text)
        except MediaStreamError as error:
            self._skip(text, error)
            return
        if self._record is not None:
            self._record.message("twilio.in", text)
        if isinstance(event, media_stream.Media):
            self._on_media(event)
        elif isinstance(event, media_stream.Mark):
            if self._player is not None:
                self._player.mark(event.name)
        elif isinstance(event, media_stream.Start):
            self._on_start(text, event)
        elif isinstance(event, media_stream.Dtmf):
            self._on_digit(event.digit)
        elif isinstance(event, media_stream.Stop):
            self._end("hung up")
        elif isinstance(event, media_stream.Unknown):
            self._skip(text, None)

    def _skip(self, text: str | bytes, error: MediaStreamError | None) -> None:
        """A message that cannot be used: counted, logged (with a bound), and the call goes on."""
        self._skipped += 1
        if self._skipped <= _MAX_ERRORS:
            log.warning("Skipped a message of the media stream: %s", error or "an event that is not known")
        if self._record is not None:
            self._record.write("skipped", error=str(error) if error else "unknown event", chars=len(text))

    def _on_start(self, text: str | bytes, start: media_stream.Start) -> None:
        if self._started.done():
            self._skip(text, MediaStreamError("a second `start`"))
        else:
            self._started.set_result(start)

    def _on_media(self, media: media_stream.Media) -> None:
        if self._player is None:
            return  # before `start` was admitted, nobody listens
        self._player.frame(media.timestamp_ms)
        audio = media.payload
        expected = self._expected_ms
        self._expected_ms = media.timestamp_ms + len(audio) // 8
        if expected is not None and expected < media.timestamp_ms:
            # A hole: the far voice activity detection counts samples, so it has to hear the time pass.
            hole_ms = min(media.timestamp_ms - expected, _MAX_GAP_MS)
            audio = g711.SILENCE * (hole_ms * 8) + audio
        if not self._passthrough:
            audio = self._up.push(g711.decode(audio))
        if self._live:
            self.session.post_audio(audio)
        else:
            self._held.append(audio)

    def _on_digit(self, digit: str) -> None:
        if not self._options.digits_to_model:
            return
        if self._live and self._helpers is not None:
            self._helpers.create_task(self._tell_digit(digit))
        elif len(self._held_digits) < 32:
            self._held_digits.append(digit)

    async def _tell_digit(self, digit: str) -> None:
        await self.session.send_message(pressed(digit))

    # --- the conversation ----------------------------------------------------------------------------------------

    async def _converse(self) -> None:
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                start = await self._started
        except TimeoutError:
            raise StreamRefused("no `start` came within 5 s") from None
        _check_format(start)
        admit = self._options.admit or CallInfo.of
        info = admit(start)
        self._record = CallRecord(self._options.journal(info))
        call = self._call = Call(info, self, self._options.data)
        set_current_call(call)
        cpu = self._options.cpu_clock()
        try:
            self._write_header(info)
            self._record.write("twilio.in", message=_without_token(start.raw))
            self._options.on_start(call)
            self._player = LinePlayer(self._connection, info.stream_sid, self._record, playout=self._new_playout())
            await self._talk(call)
        finally:
            self._options.on_end(call)
            if self._player is not None:
                self._player.close()
            self._record.write("end", reason=self._reason, cpu_s=round(self._options.cpu_clock() - cpu, 4))
            self._record.close()

    async def _talk(self, call: Call) -> None:
        assert self._player is not None
        try:
            agent = await self._pick_agent(call.info)
            runner = RealtimeRunner(agent, model=self._options.model, config=self._options.run_config)
            session = self.session = await runner.run(context=call, model_config=self._model_config())
            session.add_handler(self._on_session_event)
            async with session:
                await self._go_live(session)
                await self._over.wait()
        except RealtimeCoreError as error:
            log.error("Call %s: the conversation failed: %s", call.sid, error)
            self._end(f"failed: {error}")
            await self._apologise()

    def _new_playout(self) -> Playout:
        if self._options.ambience is None:
            return Playout()
        return Playout(bed=Loop(self._options.ambience).take, mix=g711.mix)

    async def _pick_agent(self, info: CallInfo) -> RealtimeAgent[Any]:
        if isinstance(self._agent, RealtimeAgent):
            return self._agent
        picked = self._agent(info)
        return picked if isinstance(picked, RealtimeAgent) else await picked

    def _model_config(self) -> RealtimeModelConfig:
        assert self._player is not None
        config = RealtimeModelConfig(**self._options.model_config)
        config["playback_tracker"] = self._player
        config.setdefault("sources", self._options.sources)
        if self._record is not None:
            config["tap"] = self._tap
        return config

    def _tap(self, connection: Connection) -> Connection:
        assert self._record is not None
        return TappedConnection(connection, self._record)

    async def _go_live(self, session: RealtimeSession) -> None:
        """The model is there: it greets, and hears what the caller has said meanwhile."""
        if self._options.greeting is not None:
            await session.request_response(instructions=self._options.greeting)
        self._live = True
        while self._held:
            session.post_audio(self._held.popleft())
        for digit in self._held_digits:
            await self._tell_digit(digit)

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
                self._write("error", error=str(event.error))
            case "session_ended":
                self._on_session_ended(event)

    def _on_audio(
        self,
        event: session_events.RealtimeAudio | session_events.RealtimeAudioEnd | session_events.RealtimeAudioInterrupted,
    ) -> None:
        player = self._player
        assert player is not None
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
            self._write("tool.start", call_id=event.call_id, name=name, arguments=event.arguments)
        else:
            output = event.output if isinstance(event.output, str) else repr(event.output)
            ms = round(event.duration_s * 1000, 3)
            self._write("tool.end", call_id=event.call_id, name=name, output=output, ms=ms)

    def _on_session_ended(self, event: session_events.RealtimeSessionEnded) -> None:
        if not self._over.is_set() and self._helpers is not None:
            log.error("The model's session ended in mid-call: %s", event.exception or "the server closed it")
            self._helpers.create_task(self._give_up(str(event.exception or "the server ended the session")))

    def _record_interruption(self, event: session_events.RealtimeAudioInterrupted) -> None:
        assert self._record is not None and self._player is not None
        position, _ = self._player.last_stop
        self._record.write(
            "interruption",
            item_id=event.item_id,
            position=position,
            heard=[[item.item_id, item.content_index, round(item.heard_ms, 3)] for item in event.items],
            truncations=[[cut.item_id, cut.content_index, cut.audio_end_ms] for cut in event.truncations],
        )

    # --- the end -------------------------------------------------------------------------------------------------

    async def hang_up(self, within_s: float) -> None:
        """Close the stream when everything was heard; what follows `<Connect>` in the TwiML hangs up."""
        if self._player is not None:
            try:
                async with asyncio.timeout(within_s):
                    await self._player.quiet()
            except TimeoutError:
                log.warning("Hung up before everything was heard.")
        self._end("agent hung up")

    async def _give_up(self, reason: str) -> None:
        self._live = False
        await self._apologise()
        self._end(f"failed: {reason}")

    async def _apologise(self) -> None:
        """Whatever breaks, the caller hears something."""
        if self._player is None or self._close is not None:
            return
        self._player.play_clip("clip:apology", apology())
        try:
            async with asyncio.timeout(8):
                await self._player.quiet()
        except TimeoutError:
            log.warning("The line did not confirm that the apology was heard.")

    def _end(self, reason: str) -> None:
        """The call is over; the first reason counts. Idempotent."""
        self._reason = self._reason or reason
        self._live = False
        self._over.set()

    def _write(self, kind: str, **fields: Any) -> None:
        if self._record is not None:
            self._record.write(kind, **fields)

    def _write_header(self, info: CallInfo) -> None:
        assert self._record is not None
        self._record.write(
            "header",
            schema=SCHEMA,
            agent=self._agent.name if isinstance(self._agent, RealtimeAgent) else "",
            call_sid=info.sid,
            stream_sid=info.stream_sid,
            direction=info.direction,
        )


def _check_format(start: media_stream.Start) -> None:
    got = (start.encoding, start.sample_rate, start.channels)
    if got != ("audio/x-mulaw", 8000, 1):
        raise StreamRefused(f"the stream's format is {got}, and only audio/x-mulaw at 8000 Hz, 1 channel, is served")


def _without_token(message: Mapping[str, Any]) -> dict[str, Any]:
    start = dict(message["start"])
    start["customParameters"] = {
        name: value for name, value in (start.get("customParameters") or {}).items() if name != TOKEN_PARAMETER
    }
    return {**message, "start": start}
