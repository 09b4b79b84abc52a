"""Whether evals find planted regressions, and find nothing where nothing changed.

`python -m benchmarks.evals [--runs N]`

Each run compares a changed agent with the baseline, with new seeds. The stand-in for the speech model depends on
instructions, schemas and chance, so neither "same" nor "worse" is free. The figures say what the comparison finds. They
say nothing about a real model.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime_core import (
    GuardrailFunctionOutput,
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RunContextWrapper,
    function_tool,
    output_guardrail,
)
from realtime_core.turn_policy import OurTurns
from telephony import hang_up
from telephony.call.options import CallOptions
from telephony.evals.cases import Case, find_cases
from telephony.evals.comparison import CallResult, result_of
from telephony.evals.criteria import Criteria, parse_criteria
from telephony.evals.judge import StandInJudge
from telephony.evals.run import ComparedAgent, VoiceSettings, judge_calls, make_calls
from telephony.evals.statistics import Verdict

RUNS = 20
PAIRS_WORSE, PAIRS_SAME = 12, 60
MARGIN = 0.15
OUR_TURNS = "benchmarks.evals:our_turns"

# --- the agents --------------------------------------------------------------------------------------------------

_CONFIRMING = "You answer for Blu. Short sentences. Repeat the booking and ask whether it is right before you book."
_FORGETFUL = "You answer for Blu. Short sentences."


@function_tool
async def book_table(day: str, people: int) -> str:
    """Book a table; returns the confirmation.

    Args:
        day: A day of the week, such as Friday.
        people: How many will come.
    """
    return f"Booked for {people} on {day}."


@function_tool(name_override="book_table")
async def book_table_renamed(day: str, pax: int) -> str:
    """Book a table; returns the confirmation.

    Args:
        day: A day of the week, such as Friday.
        pax: As in the old system.
    """
    return f"Booked for {pax} on {day}."


@function_tool(name_override="book_table")
async def book_table_slowly(day: str, people: int) -> str:
    """Book a table; returns the confirmation.

    Args:
        day: A day of the week, such as Friday.
        people: How many will come.
    """
    await asyncio.sleep(2.5)
    return f"Booked for {people} on {day}."


def _guardrail(pattern: str) -> Any:
    @output_guardrail(name="promises")
    async def check(ctx: RunContextWrapper[Any], agent: RealtimeAgent[Any], text: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, tripwire_triggered=re.search(pattern, text, re.I) is not None)

    return check


def _agent(
    *, instructions: str = _CONFIRMING, tool: Any = book_table, blocked: str = r"\bguarantee"
) -> RealtimeAgent[Any]:
    return RealtimeAgent(
        name="Blu",
        instructions=instructions,
        tools=[tool, hang_up()],
        output_guardrails=[_guardrail(blocked)],
    )


baseline = _agent()
forgets_to_confirm = _agent(instructions=_FORGETFUL)
renamed_parameter = _agent(tool=book_table_renamed)
slow_tool = _agent(tool=book_table_slowly)
broad_guardrail = _agent(blocked=r"\bbooked")


def our_turns(options: CallOptions) -> None:
    """Our turn policy: a short noise of the caller does not stop the agent."""
    options.model = lambda: OpenAIRealtimeWebSocketModel(turn_policy=OurTurns())


CRITERIA = f"""
margin = {MARGIN}

[[criterion]]
name = "answers quickly"
measure = "response_latency_max_ms"
max = 2500

[[criterion]]
name = "is not cut by mhm"
measure = "false_cuts"
max = 0

[[criterion]]
name = "books what the caller wants"
tool = "book_table"
arguments = {{ day = "{{day}}", people = "{{people}}" }}

[[criterion]]
name = "no guardrail stops the agent"
measure = "guardrail_cuts"
max = 0

[[criterion]]
name = "confirms first"
order = ["says: is that right", "tool: book_table"]

[[criterion]]
name = "is polite"
judge = "Is the agent polite?"
"""


@dataclass(frozen=True)
class Planted:
    """A change of the agent, and the criterion that has to become worse. No criterion: nothing changed."""

    name: str
    agent: str
    worse: str | None
    configure: str | None = OUR_TURNS

    def is_right(self, verdicts: Mapping[str, Verdict]) -> bool:
        """Returns whether the right criterion is worse; of an unchanged agent, whether all are the same."""
        if self.worse is None:
            return all(verdict is Verdict.SAME for verdict in verdicts.values())
        return verdicts[self.worse] is Verdict.WORSE

    def besides(self, verdicts: Mapping[str, Verdict]) -> list[str]:
        """Returns the criteria besides the right one that are worse; of an unchanged agent, those that are not the
        same.
        """
        if self.worse is None:
            return [name for name, verdict in verdicts.items() if verdict is not Verdict.SAME]
        return [name for name, verdict in verdicts.items() if name != self.worse and verdict is Verdict.WORSE]


PLANTED = (
    Planted("prompt: forgets to confirm", "forgets_to_confirm", "confirms first"),
    Planted("tool schema: a renamed parameter", "renamed_parameter", "books what the caller wants"),
    Planted("latency: a slow tool", "slow_tool", "answers quickly"),
    Planted("turn policy: cuts at mhm", "baseline", "is not cut by mhm", configure=None),
    Planted("guardrail: blocks a harmless answer", "broad_guardrail", "no guardrail stops the agent"),
    Planted("unchanged", "baseline", None),
)

PEOPLE = (("Ada", "Friday", 2), ("Alan", "Monday", 4), ("Grace", "Sunday", 3), ("Tony", "Tuesday", 5))
_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}


def write_personas(folder: Path, people: int = len(PEOPLE)) -> list[Case]:
    """Writes the personas, and returns them as cases."""
    for name, day, count in PEOPLE[:people]:
        (folder / f"{name.lower()}.toml").write_text(
            f'name = "{name}"\n'
            f'goal = "A table for {_COUNTS[count]} on {day}, please."\n'
            f'facts = {{ day = "{day}", people = {count}, name = "{name}" }}\n'
            "backchannels = 0.8\n"
            "[line]\nround_trip_ms = 60\njitter_ms = 10\n"
        )
    return find_cases([folder])


# --- the runs ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What the runs of one planted change found. `right` means that the number of runs with the right verdict. `others`
    is the criteria besides the right one that became worse, with the number of runs.
    """

    planted: Planted
    right: int
    runs: int
    others: dict[str, int]

    @property
    def holds(self) -> bool:
        return self.right >= self.runs - self.runs // RUNS

    def __str__(self) -> str:
        others = "".join(f"; {name} in {count}" for name, count in self.others.items())
        return f"{self.planted.name}: right in {self.right} of {self.runs} runs{others}"


def run_once(
    planted: Sequence[Planted],
    cases: Sequence[Case],
    *,
    pairs: Callable[[Planted], int],
    seed: int,
    workers: int | None = None,
) -> dict[Planted, dict[str, Verdict]]:
    """Compares each changed agent with the baseline, by this number of pairs. The baseline's calls are made once."""
    criteria = parse_criteria(CRITERIA)
    repeats = {each: -(-pairs(each) // len(cases)) for each in planted}

    def calls_of(name: str, agent: str, configure: str | None, repeat: int) -> list[CallResult]:
        side = ComparedAgent(name, f"benchmarks.evals:{agent}", configure)
        return make_calls(
            [side], cases, repeat=repeat, model="embedded", seed=seed, run_tools=True, voice=VoiceSettings("stored"),
            workers=workers,
        )[name]  # fmt: skip

    before = calls_of("baseline", "baseline", OUR_TURNS, max(repeats.values()))
    found = {}
    for each in planted:
        new = calls_of("new", each.agent, each.configure, repeats[each])
        same = [call for call in before if call.nth <= repeats[each]]
        found[each] = verdicts_of(criteria, {"new": new, "baseline": same})
    return found


def _pairs(planted: Planted) -> int:
    return PAIRS_WORSE if planted.worse else PAIRS_SAME


def measure(
    planted: Sequence[Planted], cases: Sequence[Case], *, runs: int, seed: int, workers: int | None = None
) -> list[Found]:
    """Compares each changed agent with the baseline `runs` times."""
    right = dict.fromkeys(planted, 0)
    others: dict[Planted, dict[str, int]] = {each: {} for each in planted}
    for run in range(runs):
        verdicts = run_once(planted, cases, pairs=_pairs, seed=seed + run, workers=workers)
        for each, found in verdicts.items():
            right[each] += each.is_right(found)
            for name in each.besides(found):
                others[each][name] = others[each].get(name, 0) + 1
        print(f"run {run + 1}: {', '.join(str(right[each]) for each in planted)} right", file=sys.stderr, flush=True)
    return [Found(each, right[each], runs, others[each]) for each in planted]


def verdicts_of(criteria: Criteria, calls: dict[str, list[CallResult]]) -> dict[str, Verdict]:
    """Returns the verdict of each criterion."""
    for each in calls.values():
        judge_calls(criteria, each, StandInJudge())
    result = result_of(criteria, calls["new"], calls["baseline"])
    return {each.criterion.name: each.comparison.verdict for each in result.results if each.comparison is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    began, cpu = time.monotonic(), os.times().children_user
    with tempfile.TemporaryDirectory() as folder:
        found = measure(
            PLANTED, write_personas(Path(folder)), runs=options.runs, seed=options.seed, workers=options.workers
        )
    print("\n".join(map(str, found)))
    print(f"{time.monotonic() - began:.0f} s, {os.times().children_user - cpu:.0f} s of CPU")
    sys.exit(not all(each.holds for each in found))


if __name__ == "__main__":
    main()
