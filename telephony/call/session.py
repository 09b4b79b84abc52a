"""One call: creates and connects the parts of the call, and runs them until the call ends.

    media stream -> CallStreams -> Conversation -> model
    model -> LinePlayer -> media stream

`CallerLeg` has the media stream of the caller. `Reattach` replaces a lost media stream. `Scheduler` paces the call.
`Controls` and `Transfers` execute the commands of `Call`. `Lifetime` has the tasks and the end of the call. Each part
gets the parts that it uses. No part knows the call session.

A frame of the caller goes from the WebSocket to the model's connection in the step of the event loop in which the frame
arrived: decode, check for gaps, convert from mu-law, upsample by 3, send. Audio of the agent takes the reverse path.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from realtime_core import RealtimeAgent, user_code
from realtime_core import events as session_events
from realtime_core.connection import Close, Connection
from realtime_core.errors import ConnectFailed, ConnectionLost, ServerRejected
from realtime_core.user_code import UserCode, error_text

from ..journal.format import SCHEMA
from ..journal.header import configuration, digest_of
from ..logs import Repeats
from ..twilio import media_stream, twiml
from .accept import Outcome, accept_stream
from .call import Call, set_current_call
from .call_info import CallInfo
from .call_parts import CallParts
from .callbacks import Callbacks
from .consent import Consent, consent_of
from .consent_procedure import ConsentProcedure
from .controls import Controls
from .conversation import Conversation
from .ending import Release
from .guard import Guard
from .leg.caller_leg import CallerLeg
from .leg.fallback import after_fallback, fallback_for
from .leg.next_twiml import StreamEnd
from .leg.reattach import Reattach
from .lifetime import Lifetime
from .line.player import LinePlayer
from .line.stream import MediaStream
from .options import AgentSource, CallOptions, CallOutcome
from .pacing.scheduler import Scheduler
from .recording.recorded_commands import OURS, RecordedCommands, current_tool
from .recording.recorder import CallRecorder, RecordedControl
from .screening import Screening
from .secret import SecretParts
from .streams import CallStreams
from .supervision import Supervision
from .transfers import Transfers
from .wording import Wording

__all__ = ["AgentSource", "CallOptions", "CallOutcome", "CallSession", "run_call"]

log = logging.getLogger(__name__)


async def run_call(connection: Connection, agent: AgentSource, options: CallOptions | None = None) -> CallOutcome:
    """Runs one call over `connection` (the connection to Twilio Media Streams) to its end, with `agent` and `options`
    (None: the defaults). All tasks of the call have then ended. Returns how the call ended.
    """
    options = options or CallOptions()

    async def take(stream: MediaStream, start: media_stream.Start, info: CallInfo) -> Outcome:
        session = CallSession(info, agent, options)
        session.streams.attach(stream, start)
        await session.run()
        return session.outcome

    return await accept_stream(connection, options.admit, take, options.on_refused, Repeats(log))


class CallSession:
    """One phone call. `streams.attach` attaches its media streams. `run` must be called once."""

    def __init__(self, info: CallInfo, agent: AgentSource, options: CallOptions) -> None:
        self.recorder = recorder = CallRecorder(options.journal(info), on_record=options.on_record)
        if options.control is not None:
            options = replace(options, control=RecordedControl(options.control, recorder, info.sid))
        self.options = options
        consent = _consent(options, info)
        _write_header(recorder, info, agent, options, consent)
        self.lifetime = lifetime = Lifetime(self._on_end)
        self.player = player = LinePlayer(recorder, ambience=options.ambience)
        self.leg = leg = CallerLeg(
            info,
            self._report,
            control=options.control,
            own_number=options.own_number,
            fallback_twiml=options.fallback_twiml or functools.partial(_to_fallback, options),
        )
        self.conversation = conversation = Conversation(info.sid, agent, options, recorder, player)
        greets = isinstance(options.greeting, str)
        self.wording = wording = Wording(options.locale)
        self.pacing = pacing = Scheduler(lifetime, recorder, player, options.policy, wording, greets=greets)
        self.controls = controls = Controls(
            lifetime=lifetime,
            recorder=recorder,
            leg=leg,
            player=player,
            conversation=conversation,
            pacing=pacing,
            wording=wording,
            addresses=options.addresses,
        )
        self.reattach = reattach = Reattach(
            lifetime=lifetime,
            leg=leg,
            player=player,
            pacing=pacing,
            within_s=options.reattach_s,
            addresses=options.addresses,
            apology=options.apology,
            followed=options.followed,
        )
        self.transfers = transfers = Transfers(
            lifetime=lifetime,
            recorder=recorder,
            leg=leg,
            reattach=reattach,
            conversation=conversation,
            pacing=pacing,
            controls=controls,
            wording=wording,
            control=options.control,
            addresses=options.addresses,
            sources=options.sources,
        )
        self.consent_procedure = consent_procedure = ConsentProcedure(
            consent,
            options.locale.tag,
            lifetime=lifetime,
            recorder=recorder,
            leg=leg,
            player=player,
            conversation=conversation,
            pacing=pacing,
            controls=controls,
            transfers=transfers,
            control=options.control,
            sources=options.sources,
            on_change=lambda evidence: self.callbacks.call("on_consent", options.on_consent, self.call, evidence),
        )
        commands = RecordedCommands(recorder)
        supervision = Supervision(
            commands=commands,
            lifetime=lifetime,
            recorder=recorder,
            leg=leg,
            player=player,
            conversation=conversation,
            pacing=pacing,
            controls=controls,
            transfers=transfers,
            transcribes=options.transcribes_supervisors,
        )
        self.guard = None
        if options.screening is not None:
            self.guard = Guard(
                options.screening,
                options.locale.tag,
                lifetime=lifetime,
                recorder=recorder,
                leg=leg,
                conversation=conversation,
                controls=controls,
                transfers=transfers,
            )
        secrets = SecretParts(info, recorder, player, options.control)
        parts = CallParts(
            lifetime,
            recorder,
            leg,
            player,
            pacing,
            conversation,
            controls,
            transfers,
            commands,
            supervision,
            secrets,
            wording,
            options.control,
            options.sources,
            consent_procedure.refuse,
        )
        self.call = Call(parts, options.data, options.simulation, options.opt_outs)
        self.callbacks = callbacks = Callbacks(info.sid, options.on_failure)
        self.streams = CallStreams(
            self.call,
            options,
            callbacks=callbacks,
            lifetime=lifetime,
            recorder=recorder,
            leg=leg,
            reattach=reattach,
            player=player,
            conversation=conversation,
            pacing=pacing,
            controls=controls,
            consent_procedure=consent_procedure,
            guard=self.guard,
        )
        pacing.call, pacing.replace_stream = controls, reattach.stalled
        player.latency_meter.on_latency = functools.partial(callbacks.call, "on_latency", options.on_latency)
        on_event = [functools.partial(callbacks.call, "on_event", each) for each in options.on_event]
        conversation.handlers += [pacing.on_event, self._on_event, *on_event]
        self._open = False
        """Whether the conversation has begun, and so ends by itself."""

    async def run(self) -> None:
        """Runs the call to its end. A failure during the call, such as a lost connection, ends the call and raises no
        exception.
        """
        options, lifetime = self.options, self.lifetime
        set_current_call(self.call)
        cpu = options.cpu_clock()
        self.callbacks.call("on_start", options.on_start, self.call)
        try:
            async with lifetime.tasks() as tasks:
                conversation = tasks.create_task(self._converse(), name=f"conversation of {self.call.sid}")
                lifetime.start(_ours(self._consent))
                if self.guard is not None:
                    lifetime.start(_ours(self.guard.run))
                if options.beside is not None:
                    lifetime.start(_ours(functools.partial(options.beside, self.call)))
                await lifetime.wait()
                if not self._open:
                    conversation.cancel()
                lifetime.cancel()
                await self._release()
                await self.transfers.close()
        finally:
            self.callbacks.call("on_end", options.on_end, self.call)
            self.reattach.close()
            self.pacing.close()
            self.player.close()
            self.leg.let_go()
            self.recorder.write("end", reason=lifetime.reason, cpu_s=round(options.cpu_clock() - cpu, 4))
            self.recorder.close()

    async def _consent(self) -> None:
        """Applies the consent policy. The greeting begins after the notice."""
        await self.leg.attached.wait()
        if self.consent_procedure.has_notice:
            self.lifetime.start(self._greet_later())
        await self.consent_procedure.run()

    async def _greet_later(self) -> None:
        await self.consent_procedure.settled.wait()
        self.streams.greet()

    async def _converse(self) -> None:
        conversation = self.conversation
        try:
            async with await conversation.connect(self.call):
                await self.leg.attached.wait()
                self._open = True
                self.pacing.go_live(conversation.session.model.capabilities)
                await conversation.begin(greets=not self.consent_procedure.has_notice)
                self.consent_procedure.began.set()
                if self.consent_procedure.has_notice:
                    await self.consent_procedure.settled.wait()
                    await conversation.greet()
                await self.lifetime.wait()
                conversation.end()
        except Exception as error:  # users' code picks the agent and makes its instructions
            log.exception("Call %s: the conversation failed.", self.call.sid)
            if conversation.picked and not isinstance(error, (ConnectFailed, ConnectionLost, ServerRejected)):
                self.options.on_failure(UserCode.INSTRUCTIONS)
            await self.controls.give_up(error_text(error) or type(error).__name__)

    def _on_event(self, event: session_events.RealtimeAnyEvent) -> None:
        meter = self.player.latency_meter
        if event.type == "speech_started":
            meter.speech_started()
        elif event.type == "speech_stopped":
            meter.speech_stopped()
        elif event.type == "session_ended" and not self.lifetime.over:
            why = error_text(event.exception or "the server ended the session")
            log.error("Call %s: the model's session ended: %s", self.call.sid, why)
            self.lifetime.start(self.controls.give_up(why))

    def _on_end(self) -> None:
        if self.leg.had_stream and self.lifetime.ending is not None:
            self._report(self.leg.end_of_call(self.lifetime.ending))
        self.conversation.end()

    def _report(self, end: StreamEnd | None) -> None:
        self.options.on_stream(self.call, end)

    async def _release(self) -> None:
        if self.leg.stream is None:
            return
        if self.lifetime.release is Release.HANG_UP:
            await self.leg.hang_up()
        else:
            self.leg.let_go()

    def stream_end(self) -> StreamEnd:
        """Returns why the last media stream of the call ended. Must be called only to answer Twilio's request for the
        next TwiML, because after this call the REST API is not used to redirect the call to a new stream.
        """
        self.reattach.twiml_requested()
        return self.leg.stream_end(self.lifetime.ending if self.lifetime.over else None)

    def outcome(self, close: Close | None = None, skipped: int = 0) -> CallOutcome:
        """Returns how the call ended. `close` says how the connection of the call's media stream ended (None if the
        call had no media stream), and `skipped` is the number of unreadable messages.
        """
        return CallOutcome(self.call, self.lifetime.reason, close, skipped, self.player.playout.underruns)


def _to_fallback(options: CallOptions, info: CallInfo, apologises: bool) -> str | None:
    """Returns the TwiML that dials the fallback number."""
    destination = fallback_for(info.parties(options.own_number), options.fallback)
    action = None if options.addresses is None else after_fallback(options.addresses.after_dial)
    if apologises:
        return twiml.apologise(options.apology, destination, action=action)
    return None if destination is None else twiml.dial(destination, action=action)


async def _ours(work: Callable[[], Awaitable[None]]) -> None:
    """Runs internal work during a call. `work` is a function and not a coroutine, because a task that is cancelled
    before its first step runs no code.
    """
    current_tool.set(OURS)
    await work()


def _consent(options: CallOptions, info: CallInfo) -> Consent | None:
    """Returns the consent policy of the call. If the application's function fails, nothing of the call is recorded,
    because it is not known whether the caller must be asked.
    """
    try:
        return consent_of(options.consent, info)
    except Exception as error:  # noqa: BLE001 - a user's code
        options.on_failure(UserCode.CALLBACK)
        user_code.log_failure(f"Call {info.sid} is not recorded: its consent policy", error)
        return Consent(records=False)


def _write_header(
    recorder: CallRecorder, info: CallInfo, agent: AgentSource, options: CallOptions, consent: Consent | None
) -> None:
    lines = [] if consent is None else consent.lines(options.locale.tag)
    recorder.write(
        "header",
        schema=SCHEMA,
        agent=agent.name if isinstance(agent, RealtimeAgent) else "",
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
            has_way_back=options.addresses is not None,
            has_fallback=options.fallback is not None or options.fallback_twiml is not None,
            has_own_number=options.own_number is not None,
            **({"noise_suppression": True} if options.noise_suppression else {}),
            **({"added_tools": list(options.added_tools)} if options.added_tools else {}),
            **({} if options.screening is None else {"screening": _screened(options.screening)}),
            **({} if consent is None else {"consent": _described(consent, options.locale.tag, lines)}),
            **({"language": options.locale.tag} if options.locale.tag != "en" else {}),
        ),
    )
    line = (
        None if options.screening is None or options.screening.emergency is None else options.screening.emergency.line
    )
    for clip in (options.greeting, options.ambience, line, *(clip for _, clip in lines)):
        if isinstance(clip, bytes):
            recorder.clip(clip)


def _screened(screening: Screening) -> dict[str, Any]:
    """Returns the screening rules for the header of the journal."""
    emergency = screening.emergency
    if emergency is None:
        return {"silent_s": screening.silent_s}
    line = {"clip": digest_of(emergency.line)} if isinstance(emergency.line, bytes) else emergency.line
    phrases, transfers = list(emergency.phrases), bool(emergency.transfer_to)
    return {
        "silent_s": screening.silent_s,
        "emergency": {"line": line, "phrases": phrases, "transfers": transfers},
    }


def _described(consent: Consent, language: str, lines: list[tuple[str, bytes | None]]) -> dict[str, Any]:
    """Returns the consent policy for the header of the journal. A replay can apply this description."""
    kept = ("policy", "asks", "answer_s", "accept_key", "refuse_key", "on_refusal", "records_at_twilio",
            "requires_recording", "without_recording", "discloses_ai")  # fmt: skip
    heard = [{"text": text, "clip": None if clip is None else digest_of(clip)} for text, clip in lines]
    return {**{name: getattr(consent, name) for name in kept}, "language": language, "lines": heard}
