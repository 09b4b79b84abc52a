"""Makes all calls of an eval in parallel processes, and asks the judge about the calls."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from realtime_core.usage import Usage

from ..cost import PriceList
from ..errors import EvalError, TelephonyError
from ..journal.disk import settle
from ..journal.format import object_at
from ..replay.call import HeardCall
from .call import LIVE, Plan, make_call
from .cases import Case
from .checks import check
from .comparison import CallResult
from .criteria import Criteria, Family
from .evidence import Evidence
from .judge import Judge, decide
from .persona import Persona
from .players import Player, StandInPlayer, TextPlayer
from .speech import Voice, voice_of
from .text_model_usage import TextModelUsage
from .texts import HttpChat

__all__ = ["LIVE_AT_ONCE", "ChatSettings", "ComparedAgent", "VoiceSettings", "judge_calls", "make_calls"]

LIVE_AT_ONCE = 4
JUDGES_AT_ONCE = 8


@dataclass(frozen=True)
class ChatSettings:
    """The URL, the key and the name of the text model, which plays the personas (simulated callers) and judges the
    calls. If `url` is None, programs with fixed rules do this in place of the text model.
    """

    url: str | None = None
    model: str = ""
    key: str | None = None

    def chat(self) -> HttpChat | None:
        return None if self.url is None else HttpChat(self.url, self.model, self.key)


@dataclass(frozen=True)
class VoiceSettings:
    """The settings of the voice with which the personas (the simulated callers of an eval) speak. The fields are the
    arguments of `speech.voice_of`.
    """

    name: str = "auto"
    url: str | None = None
    model: str = ""
    voice: str = ""
    key: str | None = None


@dataclass(frozen=True)
class ComparedAgent:
    """One of the two agents of an eval. `name` is `new`, or `baseline` (the agent to compare with). `agent`,
    `configure` and `result` are import strings (`module:name`). `configure` is a function that changes the
    `CallOptions` of each call, and `result` is the type of the result of a call. `folder` is the folder of the modules,
    such as a git work tree. None means the current folder.
    """

    name: str
    agent: str
    configure: str | None = None
    result: str | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class _Job:
    side: ComparedAgent
    case: Case
    nth: int
    seed: int
    model: str
    run_tools: bool
    chat: ChatSettings
    voice: VoiceSettings
    journals: Path | None


def make_calls(
    sides: Sequence[ComparedAgent],
    cases: Sequence[Case],
    *,
    repeat: int,
    model: str,
    seed: int = 0,
    run_tools: bool = False,
    chat: ChatSettings | None = None,
    voice: VoiceSettings | None = None,
    journals: Path | None = None,
    workers: int | None = None,
    on_call: Callable[[ComparedAgent, CallResult], None] = lambda side, call: None,
) -> dict[str, list[CallResult]]:
    """Makes `repeat` calls of each case for each side (the new agent, and the baseline with which it is compared).
    Returns the calls by the name of the side, in order. A call that cannot be made has an `error` in its evidence.
    `on_call` is called after each call, in any order.

    `model` is `embedded`, `live`, or the path of a script. `seed` is the random seed of callers, lines and the embedded
    model. With `run_tools`, the tools of the agents run. `chat` is the text model that plays the personas, and `voice`
    is their voice. `journals` is the folder for the journals of the calls. `workers` is the number of simultaneous
    calls.
    """
    _plan.cache_clear()  # an agent of the same name may be another one since the last run
    workers = workers or (LIVE_AT_ONCE if model == LIVE else os.cpu_count() or 1)
    found: dict[str, list[CallResult]] = {side.name: [] for side in sides}
    # The processes of a side in another folder run in this folder, so no path is relative.
    cases = [replace(case, path=case.path.resolve()) for case in cases]
    journals = None if journals is None else journals.resolve()
    jobs = [
        _Job(side, case, nth, seed, model, run_tools, chat or ChatSettings(), voice or VoiceSettings(), journals)
        for case in cases
        for nth in range(1, repeat + 1)
        for side in sides
    ]
    for job, result in _done(jobs, workers):
        found[job.side.name].append(result)
        on_call(job.side, result)
    order = {case.name: n for n, case in enumerate(cases)}
    for results in found.values():
        results.sort(key=lambda result: (order[result.case], result.nth))
    return found


def _done(jobs: Sequence[_Job], workers: int) -> Iterator[tuple[_Job, CallResult]]:
    """Yields the jobs with their results, in the order in which they end. Sides in different folders use different
    processes, because a process loads each module once.
    """
    folders = {job.side.folder for job in jobs}
    if workers <= 1 and folders == {None}:
        for job in jobs:
            yield job, _run(job)
        return
    with ExitStack() as stack:
        each = max(1, workers // len(folders))
        pools = {folder: stack.enter_context(_pool(folder, each)) for folder in folders}
        waiting: dict[Future[CallResult], _Job] = {pools[job.side.folder].submit(_run, job): job for job in jobs}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def _pool(folder: Path | None, workers: int) -> ProcessPoolExecutor:
    """Returns processes for the calls of a side. A side in another folder needs new processes, because a copy of this
    process has the modules of this folder.
    """
    if folder is None:
        return ProcessPoolExecutor(workers)
    return ProcessPoolExecutor(workers, get_context("spawn"), _enter, (folder, Path.cwd()))


def _enter(folder: Path, instead_of: Path) -> None:
    """Makes this process import the modules of `folder`, and no modules of `instead_of`."""
    os.chdir(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if Path(path).resolve() != instead_of)]


def _run(job: _Job) -> CallResult:
    name = f"{job.case.name}-{job.nth}-{job.side.name}"
    journal = None if job.journals is None else job.journals / name / "journal.jsonl"
    caller_seed = Random(f"{job.seed}:{job.case.name}:{job.nth}").getrandbits(48)
    # The two agents of a pair get the same caller. The models of the two agents have different seeds, so the models may
    # answer differently.
    model_seed = Random(f"{caller_seed}:{job.side.name}").getrandbits(48)
    start = time.process_time()
    talks = _chat(job.chat)
    before = TextModelUsage() if talks is None else talks.spent
    try:
        plan = replace(_plan(job.side, job.model, job.run_tools, job.chat, job.voice), journal=journal)
        evidence = make_call(job.case, plan, caller_seed=caller_seed, model_seed=model_seed)
        if journal is not None:
            settle()
    except TelephonyError as error:
        evidence = _unmade(error)
    except ExceptionGroup as errors:
        leaves = list(_leaves(errors))
        evidence = _unmade(next((each for each in leaves if isinstance(each, EvalError)), leaves[0]))
    return CallResult(
        job.case.name, job.nth, evidence, {}, caller_seed,
        cpu_s=round(time.process_time() - start, 3),
        journal="" if journal is None else str(journal),
        texts=TextModelUsage() if talks is None else talks.spent - before,
    )  # fmt: skip


def _unmade(error: BaseException) -> Evidence:
    """Returns the evidence of a call that could not be made. An `EvalError` comes from the caller, for example because
    a text model does not answer. Such an error says nothing about the agent.
    """
    said = str(error) if isinstance(error, TelephonyError) else f"{type(error).__name__}: {error}"
    return Evidence(error=" ".join(said.split()), is_callers_error=isinstance(error, EvalError))


def _leaves(errors: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


@lru_cache(maxsize=8)
def _plan(side: ComparedAgent, model: str, run_tools: bool, chat: ChatSettings, voice: VoiceSettings) -> Plan:
    from ..import_strings import load_agent, load_object

    prices = PriceList()
    talks = _chat(chat)

    def player(persona: Persona) -> Player:
        return StandInPlayer(persona) if talks is None else TextPlayer(persona, talks)

    return Plan(
        agent=load_agent(side.agent),
        model=model,
        configure=None if side.configure is None else load_object(side.configure, what="function"),
        result=None if side.result is None else load_object(side.result, what="type"),
        run_tools=run_tools,
        player=player,
        voice=_voice(voice),
        cost=lambda call: _cost(call, prices) if model == LIVE else 0.0,
    )


@lru_cache(maxsize=8)
def _chat(settings: ChatSettings) -> HttpChat | None:
    return settings.chat()


def _voice(settings: VoiceSettings) -> Voice:
    return voice_of(settings.name, url=settings.url, model=settings.model, voice=settings.voice, key=settings.key)


def _cost(call: HeardCall, prices: PriceList) -> float | None:
    """Returns the cost of the speech model in US dollars, if its price is known."""
    usage, model = Usage(), ""
    for record in call.records:
        if record.kind == "model.in" and record.event == "response.done":
            usage.add(Usage.of_response(object_at(record.message, "response", "usage")))
        elif record.kind == "model.in" and record.event == "session.created":
            model = str(object_at(record.message, "session").get("model") or "")
    return prices.cost(model, usage, audio_s=call.duration_ms / 1000)


def judge_calls(
    criteria: Criteria,
    calls: Sequence[CallResult],
    judge: Judge,
    *,
    on_decision: Callable[[], None] = lambda: None,
) -> None:
    """Decides all criteria of all calls, and writes the decisions into the call results. `judge` decides the criteria
    that need a judgement of the words. Several threads ask the judge at the same time. `on_decision` is called after
    each decision of the judge, for example to show the progress.
    """
    judged = criteria.of(Family.JUDGED)
    for call in calls:
        call.decisions = {
            each.name: check(each, call.evidence) for each in criteria.criterion if each.family is not Family.JUDGED
        }
    with ThreadPoolExecutor(JUDGES_AT_ONCE) as pool:
        asked: dict[Future[Any], tuple[CallResult, str]] = {
            pool.submit(decide, judge, criterion, call.evidence): (call, criterion.name)
            for call in calls
            for criterion in judged
        }
        for future in as_completed(asked):
            call, name = asked[future]
            call.decisions[name] = future.result()
            on_decision()
