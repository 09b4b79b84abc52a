"""Makes one call of an eval between a simulated caller and a model. The call goes through the same code as a real call.

With the embedded model the call runs in virtual time (the clock jumps to the next event, so nothing waits). With the
real model the call runs in real time and costs money.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from random import Random
from typing import Any

from realtime_core import FunctionTool, RealtimeModelConfig
from realtime_core.connection.memory import memory_pair
from realtime_core.local import LocalRealtimeServer
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time

from ..audio.files import Clip, load_ulaw
from ..call.call_tools import CallTool
from ..call.options import AgentSource, CallOptions
from ..call.session import run_call
from ..call.simulation import Simulation
from ..demo.stubs import stubbed
from ..errors import CallerTimeout
from ..journal.memory import MemoryJournal
from ..journal.reader import read_journal
from ..journal.writer import JournalWriter
from ..outcomes.call_agent import agent_for_call
from ..outcomes.result_form import ResultForm
from ..replay.call import HeardCall
from ..replay.options import options_of, replay_opening
from ..replay.perturbation import Perturbation
from ..replay.perturbed import perturbed
from ..replay.recorded_tools import RecordedTools, agent_for_replay
from ..replay.recording import Recording
from ..replay.replaying import read
from ..simulator import Caller, Handset, Line, MediaPeer, clips
from ..simulator import callers as scripted
from .acoustics import Acoustics
from .caller_actions import CallerActionKind
from .callers import CallerLog, PersonaCaller, RecordedCaller
from .cases import Case, CaseKind
from .evidence import Evidence, evidence_of
from .heard_words import HeardWords
from .persona import LineProfile, Persona, load_persona
from .players import Player
from .speech import Voice
from .stand_in_model import StandInModel

__all__ = ["EMBEDDED", "LIVE", "Plan", "make_call"]

EMBEDDED, LIVE = "embedded", "live"
GREETING = "Greet the caller and ask how you can help."


@dataclass(frozen=True)
class Plan:
    """The settings for the calls of one side of an eval: of the new agent, or of the baseline (the agent to compare
    with).

    `model` is `embedded` (the stand-in model), `live` (the real model), or a script for the embedded model (a local
    model that is not an AI). `configure` changes the options of each call. `result` is the type of the result object
    that the agent fills in. With `run_tools`, the agent's own tools run. `player` returns the object that chooses the
    words of a persona (a simulated caller), and `voice` speaks these words. `cost` returns the cost of a call in US
    dollars, or None if the cost is unknown.
    """

    agent: AgentSource
    model: str = EMBEDDED
    configure: Callable[[CallOptions], None] | None = None
    result: Any = None
    run_tools: bool = False
    player: Callable[[Persona], Player] | None = None
    voice: Voice | None = None
    journal: Path | None = None
    """The path to which the journal of the call is written."""
    cost: Callable[[HeardCall], float | None] = lambda call: None


def make_call(case: Case, plan: Plan, *, caller_seed: int, model_seed: int) -> Evidence:
    """Makes one simulated call for an eval, and returns the data by which the call is judged (`Evidence`). `case`
    describes the caller, and `plan` has the agent and the settings. The behaviour of the caller and of the line depends
    only on `caller_seed`. If the new agent and the old agent are called with the same `caller_seed`, both get the same
    caller and line. `model_seed` is the random seed of the embedded model (a local model that is not an AI).
    """

    async def run() -> Evidence:
        return await _Call(case, plan, Sources(caller_seed), Sources(model_seed)).run()

    return asyncio.run(run()) if plan.model == LIVE else virtual_time.run(run, seed=model_seed)


class _Call:
    def __init__(self, case: Case, plan: Plan, sources: Sources, model_sources: Sources) -> None:
        self._case = case
        self._plan = plan
        self._sources = sources
        self._model_sources = model_sources
        self._caller_log = CallerLog()
        self._words = HeardWords()
        self._journal = _ObservedJournal(self._words) if case.kind is CaseKind.PERSONA else MemoryJournal()
        self._form = ResultForm(plan.result) if plan.result is not None else None

    async def run(self) -> Evidence:
        persona = load_persona(self._case.path) if self._case.kind is CaseKind.PERSONA else None
        recorded = _recorded(self._case.path) if self._case.kind is CaseKind.RECORDED else None
        profile = persona.line if persona is not None else LineProfile(round_trip_ms=0, jitter_ms=0)
        here, there = memory_pair()
        peer = self._peer(here, profile)
        async with AsyncExitStack() as stack:
            options = await self._options(stack, None if recorded is None else recorded.recording)
            faults = Perturbation(seed=self._seed("faults"), loss=profile.loss)
            agent = self._agent(None if recorded is None else recorded.recording)
            error = ""
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(run_call(perturbed(there, faults), agent, options))
                    await peer.run(self._caller(persona, recorded))
            except* CallerTimeout as errors:
                error = str(errors.exceptions[0])
        if self._plan.journal is not None:
            _write(self._journal, self._plan.journal)
        heard = HeardCall(self._journal.records, self._case.name, phone_audio=peer.heard)
        facts = dict(persona.facts) if persona is not None else {}
        tools = [] if recorded is None else [(tool.name, tool.arguments) for tool in recorded.call.tools]
        evidence = evidence_of(
            heard, self._caller_log.acts, result=self._result(), facts=facts, recorded_tools=tools,
            cost_usd=self._plan.cost(heard),
        )  # fmt: skip
        # A scripted caller that hears no answer hangs up. The missing answer is a fact about the call, and not an error
        # of the eval.
        return evidence if not error or evidence.lines else Evidence(error=error)

    def _seed(self, name: str) -> int:
        return self._sources.fork(name).random.getrandbits(32)

    def _peer(self, connection: Any, profile: LineProfile) -> MediaPeer:
        line = Line(
            round_trip_s=profile.round_trip_ms / 1000, jitter_s=profile.jitter_ms / 1000, seed=self._seed("line")
        )
        acoustics = Acoustics(profile, self._seed("noise"))
        peers: list[MediaPeer] = []
        handset = _Handset(
            acoustics,
            self._caller_log if self._case.kind is CaseKind.SCRIPTED else None,
            now=lambda: peers[0].now,
            on_press=lambda key: peers[0].press(key),
            on_hang_up=lambda: peers[0].hang_up(),
        )
        peers.append(MediaPeer(connection, line=line, sources=self._sources.fork("phone"), phone=handset))
        return peers[0]

    async def _options(self, stack: AsyncExitStack, recording: Recording | None) -> CallOptions:
        config = await self._model_config(stack)
        if recording is None:
            options = CallOptions(greeting=GREETING, journal=lambda info: self._journal, simulation=Simulation())
        else:
            options = options_of(recording, self._journal, self._seed("session"))
            options.addresses = None  # a second stream is never opened here
            replay_opening(recording, options)
            if settings := options.model_config.get("initial_model_settings"):
                config["initial_model_settings"] = settings
        options.model_config = config
        options.sources = self._sources.fork("session")
        if self._plan.configure is not None:
            self._plan.configure(options)
        return options

    async def _model_config(self, stack: AsyncExitStack) -> RealtimeModelConfig:
        model = self._plan.model
        if model == LIVE:
            return RealtimeModelConfig()
        server = LocalRealtimeServer(
            None if model == EMBEDDED else model,
            in_memory=True,
            sources=self._model_sources.fork("model"),
            director=self._stand_in if model == EMBEDDED else None,
        )
        return RealtimeModelConfig(**(await stack.enter_async_context(server)).model_config)

    def _stand_in(self) -> StandInModel:
        return StandInModel(self._caller_log.take, Random(self._model_sources.fork("stand-in").random.getrandbits(64)))

    def _agent(self, recording: Recording | None) -> AgentSource:
        plan = self._plan
        if recording is not None:
            tools = RecordedTools(recording.tools, recording.clips)
            agent = agent_for_replay(recording, plan.agent, tools, run_tools=plan.run_tools)
        else:
            agent = plan.agent if plan.run_tools else stubbed(plan.agent, keeps=_is_call_control)
        return agent if self._form is None else agent_for_call(agent, {}, [self._form.tool()])

    def _caller(self, persona: Persona | None, recorded: _Recorded | None) -> Caller:
        if recorded is not None:
            return RecordedCaller(recorded.call.recorded, recorded.call.audio, self._caller_log)
        if persona is None:
            return scripted.load(self._case.path)
        assert self._plan.player is not None and self._plan.voice is not None
        random = Random(self._seed("caller"))
        player = self._plan.player(persona)
        return PersonaCaller(persona, player, self._plan.voice, self._caller_log, self._words.new_words, random)

    def _result(self) -> Any:
        if self._form is None:
            return None
        self._form.validate()
        return self._form.type.plain(self._form.output)


class _Handset(Handset):
    """A phone handset with the acoustic surroundings of its caller. The words of the clips of the package are passed to
    `caller_log`.
    """

    def __init__(self, acoustics: Acoustics, caller_log: CallerLog | None, **options: Any) -> None:
        super().__init__(**options)
        self._acoustics = acoustics
        self._caller_log = caller_log

    def say(self, clip: str | Clip) -> asyncio.Future[None]:
        if self._caller_log is not None:
            text = clips.WORDS.get(clip, "") if isinstance(clip, str) else _words().get(load_ulaw(clip), "")
            kind = CallerActionKind.INTERRUPTS if self.hears_voice else CallerActionKind.SAYS
            self._caller_log.note(self, kind, text)
            self._caller_log.said(text)
        return super().say(clip)

    def speak(self) -> bytes:
        return self._acoustics.microphone(super().speak())

    def hear(self, frame: bytes) -> None:
        self._acoustics.loudspeaker(frame)
        super().hear(frame)


@cache
def _words() -> dict[bytes, str]:
    return {clips.load(name): text for name, text in clips.WORDS.items()}


class _ObservedJournal(MemoryJournal):
    """A journal in memory that also passes its records to `HeardWords`, which finds the words that the caller has
    heard.
    """

    def __init__(self, words: HeardWords) -> None:
        super().__init__()
        self._words = words

    def write(self, kind: str, t: float, /, **fields: Any) -> None:
        super().write(kind, t, **fields)
        self._words.record(kind, t, fields)

    def write_raw(self, kind: str, t: float, json_text: str, has_words: bool = True, /) -> None:
        super().write_raw(kind, t, json_text, has_words)
        self._words.raw(kind, t, json_text)


@dataclass(frozen=True)
class _Recorded:
    recording: Recording
    call: HeardCall


@lru_cache(maxsize=8)
def _recorded(path: Path) -> _Recorded:
    """Returns the recording in a file. The file is read once for all calls of the case, because reading takes as long
    as a call.
    """
    recording = read(path)
    call = HeardCall(lambda: read_journal(path), recording.name)
    return _Recorded(recording, call)


def _is_call_control(tool: FunctionTool) -> bool:
    """Returns whether a tool only acts on the call, such as `hang_up`. In a simulation such a tool has no outside
    effect.
    """
    return isinstance(tool, CallTool)


def _write(journal: MemoryJournal, path: Path) -> None:
    writer = JournalWriter(path)
    for record in journal.records():
        writer.write(record.kind, record.t, **record.data)
    writer.close()
    writer.finish()
