"""Implements `telephony eval`, which compares two agents in the same recorded and simulated calls."""

from __future__ import annotations

import json as jsonlib
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import typer

from ..env_file import environment
from ..evals.calibration import calibrate
from ..evals.call import EMBEDDED, LIVE
from ..evals.cases import Case, CaseKind, find_cases
from ..evals.checks import Outcome
from ..evals.comparison import CallResult, EvalResult, result_of
from ..evals.criteria import Criteria, Family, load_criteria
from ..evals.judge import Judge, StandInJudge, TextJudge
from ..evals.report import data_of, junit_of, text_of
from ..evals.run import ChatSettings, ComparedAgent, VoiceSettings, judge_calls, make_calls
from ..evals.text_model_usage import TextModelUsage
from ..import_strings import load_agent, load_object
from ..settings import load_settings
from .errors import USAGE, CliError

__all__ = ["EvalOptions", "run_calibration", "run_eval"]

_STAND_IN = (
    "The embedded stand-in answers. It is no AI: it shows what tools, schemas, instructions, guardrails and turn "
    "policy change in its own behaviour, and nothing about a real model."
)
_STAND_IN_TEXTS = "No text model is set: a stand-in by rules, no AI, plays personas and judges."


@dataclass(frozen=True)
class EvalOptions:
    """The options of the command `telephony eval`, with the names of the command line."""

    agent: str
    baseline: str | None
    criteria: Path
    repeat: int
    model: str
    configure: str | None
    baseline_configure: str | None
    baseline_folder: Path | None
    result: str | None
    run_tools: bool
    voice: VoiceSettings
    seed: int
    workers: int | None
    save: Path | None
    json: bool
    junit: Path | None
    html: Path | None
    yes: bool


def run_eval(paths: Sequence[Path], options: EvalOptions) -> None:
    """Runs the command `telephony eval`: calls the agent with each simulated caller in the files and folders `paths`,
    decides the criteria, and prints the result. Exits with code 1 if a criterion is missed.
    """
    criteria = load_criteria(options.criteria)
    cases = find_cases(paths)
    chat = chat_settings()
    _check(options, cases)
    before = None if options.baseline is None else saved_calls(options.baseline)
    sides = _sides(options, with_baseline=before is None)
    judge = judge_of(chat)
    notes = _notes(options, cases, chat, judge, criteria)
    if _asks_texts(cases, criteria):
        _check_texts(judge)
    _announce(options, cases, sides, criteria, chat, notes)
    began = time.monotonic()
    with ExitStack() as stack:
        folder = options.save
        if folder is None and options.html is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="telephony-eval-")))
        progress = _Progress(len(sides) * len(cases) * options.repeat, "calls", quiet=options.json)
        calls = make_calls(
            sides, cases, repeat=options.repeat, model=options.model, seed=options.seed, run_tools=options.run_tools,
            chat=chat, voice=options.voice, journals=None if folder is None else folder / "calls",
            workers=options.workers, on_call=lambda side, call: progress.step(),
        )  # fmt: skip
        baseline = calls.get("baseline", before or [])
        judged = len(criteria.of(Family.JUDGED)) * (len(calls["new"]) + len(baseline))
        progress = _Progress(judged, "judgements", quiet=options.json)
        for each in (calls["new"], baseline):
            judge_calls(criteria, each, judge, on_decision=progress.step)
        notes += _cost_notes(calls, judge, options.model, chat, time.monotonic() - began)
        about = {
            "agent": options.agent, "baseline": options.baseline, "judge": judge.name if judged else None,
            "model": options.model, "repeat": options.repeat, "seed": options.seed, "notes": notes,
            "saved": None if options.save is None else str(options.save),
        }  # fmt: skip
        result = result_of(criteria, calls["new"], baseline, about)
        _write(result, options)
    if options.json:
        typer.echo(jsonlib.dumps(data_of(result), indent=1, ensure_ascii=False))
    else:
        typer.echo(text_of(result))
    if result.missed:
        raise typer.Exit(1)
    if all(call.evidence.is_callers_error for call in calls["new"]):
        raise CliError("No call could be made.", calls["new"][0].evidence.error)


def run_calibration(*, json: bool) -> None:
    """Asks the judge (a text model that judges calls) about transcripts with known results, which the package contains.
    Prints how often the judge agrees with the known results, with `json` as JSON.
    """
    judge = judge_of(chat_settings())
    _check_texts(judge)
    calibration = calibrate(judge)
    typer.echo(jsonlib.dumps(calibration.to_json(), indent=1) if json else calibration.to_text())


def chat_settings() -> ChatSettings:
    """Returns the address, the key and the name of the text model, from the settings of the environment."""
    settings = load_settings()
    key = settings.telephony_text_model_key
    return ChatSettings(
        settings.telephony_text_model_url,
        settings.telephony_text_model_name,
        None if key is None else key.get_secret_value(),
    )


def judge_of(chat: ChatSettings) -> Judge:
    talks = chat.chat()
    return StandInJudge() if talks is None else TextJudge(talks)


def saved_calls(baseline: str) -> list[CallResult] | None:
    """Returns the calls of a saved run, if `--baseline` is the folder of a saved run, or None."""
    folder = Path(baseline)
    if ":" in baseline or not folder.is_dir():
        return None
    from ..evals.saved_runs import load_calls

    return load_calls(folder)


def _check(options: EvalOptions, cases: Sequence[Case]) -> None:
    if options.model == LIVE and not environment().get("OPENAI_API_KEY"):
        raise CliError("--model live needs a key.", "Set OPENAI_API_KEY; --model embedded needs none.")
    if options.model not in (EMBEDDED, LIVE) and not Path(options.model).is_file():
        raise CliError(
            f"There is no model {options.model!r}.", "Choose embedded, live, or a script as a TOML file.", code=USAGE
        )
    if options.model not in (EMBEDDED, LIVE) and any(case.kind is CaseKind.PERSONA for case in cases):
        raise CliError("A script cannot answer a persona.", "Use --model embedded or live.", code=USAGE)
    load_agent(options.agent)  # so that a wrong name is reported once, before the calls
    for name in (options.configure, options.baseline_configure if options.baseline_folder is None else None):
        if name is not None:
            load_object(name, what="function")
    if options.baseline is not None and options.baseline_folder is None and saved_calls(options.baseline) is None:
        load_agent(options.baseline)
    if options.baseline_folder is not None and options.baseline is None:
        raise CliError("--baseline-folder needs --baseline.", "Name the agent in that folder.", code=USAGE)


def _sides(options: EvalOptions, *, with_baseline: bool) -> list[ComparedAgent]:
    sides = [ComparedAgent("new", options.agent, options.configure, options.result)]
    if options.baseline is not None and with_baseline:
        folder = None if options.baseline_folder is None else options.baseline_folder.resolve()
        sides.append(ComparedAgent("baseline", options.baseline, options.baseline_configure, options.result, folder))
    return sides


def _notes(
    options: EvalOptions, cases: Sequence[Case], chat: ChatSettings, judge: Judge, criteria: Criteria
) -> list[str]:
    """Returns notes that the reader of the report must know."""
    notes = []
    if options.model == EMBEDDED:
        notes.append(_STAND_IN)
    if judge.is_stand_in and _asks_texts(cases, criteria):
        notes.append(_STAND_IN_TEXTS)
    if not options.run_tools:
        notes.append("The agent's own tools did not run: recordings or stubs answered (--run-tools runs them).")
    return notes


def _asks_texts(cases: Sequence[Case], criteria: Criteria) -> bool:
    """Returns whether a text model, or a stand-in for a text model, plays a persona or judges a call."""
    return bool(criteria.of(Family.JUDGED)) or any(case.kind is CaseKind.PERSONA for case in cases)


def _check_texts(judge: Judge) -> None:
    """Checks the text model. A wrong URL or key is reported before calls are made."""
    if isinstance(judge, TextJudge):
        judge.check()


def _announce(
    options: EvalOptions, cases: Sequence[Case], sides: Sequence[ComparedAgent], criteria: Criteria, chat: ChatSettings,
    notes: Sequence[str],
) -> None:  # fmt: skip
    from ..evals.costs import expected_cost

    total = len(sides) * len(cases) * options.repeat
    expected = expected_cost(cases, criteria, options.model, chat, calls=total, repeat=options.repeat, sides=len(sides))
    if not options.json:
        for note in notes:
            typer.echo(note, err=True)
        typer.echo(
            f"{total} calls ({len(cases)} cases, {options.repeat} times, {len(sides)} agents). {expected}", err=True
        )
    if options.model == LIVE and not options.yes:
        if not sys.stdin.isatty():
            raise CliError("--model live costs money.", "Use --yes to make the calls without a question.")
        typer.confirm("Make these calls?", abort=True, err=True)


def _cost_notes(
    calls: dict[str, list[CallResult]], judge: Judge, model: str, chat: ChatSettings, took_s: float
) -> list[str]:
    from ..evals.costs import actual_cost

    every = [call for each in calls.values() for call in each]
    cpu_s = sum(call.cpu_s for call in every)
    call_s = sum(call.evidence.duration_ms for call in every) / 1000
    judged = judge.spent if isinstance(judge, TextJudge) else TextModelUsage()
    cost = actual_cost(every, judged, model, chat)
    notes = [f"{call_s:.0f} s of calls in {took_s:.0f} s, {cpu_s:.0f} s of CPU. {cost}"]
    without_call = [call for call in every if call.evidence.error]
    if without_call:
        notes.append(f"{len(without_call)} of {len(every)} calls could not be made: {without_call[0].evidence.error}")
    unsure = [
        decision
        for call in every
        for decision in call.decisions.values()
        if decision.votes and decision.outcome is Outcome.UNKNOWN
    ]
    if unsure:
        notes.append(f"The judge cannot tell in {len(unsure)} cases, such as: {unsure[0].why}")
    return notes


def _write(result: EvalResult, options: EvalOptions) -> None:
    if options.junit is not None:
        options.junit.write_text(junit_of(result), encoding="utf-8")
    if options.html is not None:
        from ..evals.page import page_of

        options.html.write_text(page_of(result), encoding="utf-8")
    if options.save is not None:
        from ..evals.saved_runs import save

        save(result, options.save)


class _Progress:
    """A progress line on standard error, only in a terminal."""

    def __init__(self, total: int, what: str, *, quiet: bool) -> None:
        self._total, self._what, self._done = total, what, 0
        self._shows = not quiet and total > 0 and sys.stderr.isatty()

    def step(self) -> None:
        self._done += 1
        if self._shows:
            end = "\n" if self._done == self._total else ""
            sys.stderr.write(f"\r{self._done}/{self._total} {self._what}\033[K{end}")
            sys.stderr.flush()
