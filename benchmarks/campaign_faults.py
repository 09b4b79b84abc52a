"""Runs a campaign on server processes that are killed, frozen and replaced, with a simulated Twilio whose requests and
callbacks fail, and checks every call.

Each fault happens at a random point of the campaign's progress, so the faults are spread over the whole campaign on a
fast and on a slow machine. A campaign that makes no progress for some minutes is a fault, and its run ends.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from typing import Any

from telephony.campaigns.contact import Outcome
from telephony.campaigns.database_store import DatabaseStore
from telephony.records.database import DatabaseRecords
from telephony.records.subjects import SubjectKey
from telephony.simulator import Handset, SimulatedTwilio, callees
from telephony.simulator.faults import CreateFault

from .campaign_processes import KEY, LEASE_S, Processes

__all__ = ["REPORTS", "Plan", "Report", "run_campaign"]

REPORTS = "PROOF_REPORTS"
"""The variable of the environment that names the file for the reports of the tests."""
FAULTS: tuple[CreateFault, ...] = ("", "", "", "", "", "429", "500", "500-after", "time-out-after")
_STANDSTILL_S = 300.0
"""A campaign without progress for this time does not end."""
_SHOWN_S = 15.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to the processes. `seed` chooses the points of the campaign at random."""

    url: str
    contacts: int
    processes: int = 1
    kills: int = 0
    freezes: int = 0
    deploys: int = 0
    twin: bool = False
    """Whether another process has the name, and so the executor id, of the first one."""
    at_once: int = 16
    per_second: float = 20.0
    faults: bool = True
    persons: float = 0.1
    """The part of callees that talk."""
    opted_out: int = 0
    """How many people opt out while the campaign runs."""
    seed: int = 0
    within_s: float = 3600.0


@dataclass(slots=True)
class Report:
    """What was found. `problems` is empty if everything holds."""

    contacts: int = 0
    calls: int = 0
    attempts: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    freezes: int = 0
    deploys: int = 0
    opted_out: int = 0
    most_at_once: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    """CPU time of the servers that have ended."""
    problems: list[str] = field(default_factory=list)


async def _brief(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.heard(0.2)
    phone.hang_up()


class _Run:
    def __init__(self, plan: Plan, twilio: SimulatedTwilio, processes: Processes) -> None:
        self.plan = plan
        self.twilio = twilio
        self.processes = processes
        self.report = Report(contacts=plan.contacts)
        self.random = Random(plan.seed)
        self.listed: dict[str, datetime] = {}
        """When a number was on the do-not-call list."""
        self.shown: dict[str, Any] = {}
        """The newest status of the campaign."""

    async def watch(self) -> None:
        """Counts the calls at once, and keeps the faults of the next requests."""
        while True:
            live = sum(not call.is_over for call in self.twilio.calls.values())
            self.report.most_at_once = max(self.report.most_at_once, live)
            while self.plan.faults and len(self.twilio.faults.create) < 20:
                self.twilio.faults.create.append(self.random.choice(FAULTS))
            await asyncio.sleep(0.02)

    async def disturb(self) -> None:
        """Kills, freezes and replaces servers, and lets people opt out, in random order."""
        plan, random = self.plan, self.random
        acts = (
            ["kill"] * plan.kills + ["freeze"] * plan.freezes + ["deploy"] * plan.deploys + ["opt out"] * plan.opted_out
        )
        random.shuffle(acts)
        moments = sorted(random.randrange(1, plan.contacts * 4 // 5) for _ in acts)
        for act, calls in zip(acts, moments, strict=True):
            while len(self.twilio.calls) < calls:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(random.uniform(0.0, 0.5))
            await self._disturb(act)

    async def _disturb(self, act: str) -> None:
        slot = self.random.choice(self.processes.slots)
        match act:
            case "kill":
                await self.processes.stop(slot, signal.SIGKILL)
                self.report.kills += 1
                await self.processes.start(slot)
            case "deploy":
                await self.processes.stop(slot, signal.SIGTERM)
                await self.processes.start(slot, is_next_release=True)
                self.report.deploys += 1
            case "freeze":
                await self.processes.freeze(slot, LEASE_S + 2)
                self.report.freezes += 1
            case _:
                number = _number(self.random.randrange(self.plan.contacts))
                code, _ = await self.processes.ask("POST", "/do-not-call", {"number": number})
                if code in (200, 201):
                    self.listed.setdefault(number, datetime.now(UTC))
                    self.report.opted_out += 1

    async def until_finished(self) -> None:
        """Waits until the campaign is finished and all faults have happened. A campaign that does not end is a
        problem."""
        disturbing, watching = asyncio.create_task(self.disturb()), asyncio.create_task(self.watch())
        began = moved = shown_at = time.monotonic()
        before: Any = None
        try:
            while self.shown.get("status") != "finished" or not disturbing.done():
                if disturbing.done():
                    disturbing.result()
                _, self.shown = await self.processes.ask("GET", "/campaigns/proof")
                now, report = time.monotonic(), self.report
                faults = (report.kills, report.freezes, report.deploys, report.opted_out)
                progress = (len(self.twilio.calls), self.shown.get("funnel"), faults)
                if progress != before:
                    before, moved = progress, now
                if now > shown_at + _SHOWN_S:
                    shown_at = now
                    self._show(now - began)
                if now > moved + _STANDSTILL_S or now > began + self.plan.within_s:
                    report.problems.append(f"not finished after {now - began:.0f} s: {self.shown}")
                    return
                if ended := self.processes.ended:
                    report.problems.append(f"the processes {ended} have ended by themselves")
                    return
                await asyncio.sleep(0.3)
        finally:
            disturbing.cancel()
            watching.cancel()
            await asyncio.wait([disturbing, watching])
            self.report.seconds = time.monotonic() - began
            self._show(self.report.seconds)

    def _show(self, seconds: float) -> None:
        states = self.shown.get("funnel", {}).get("states", {})
        report, calls = self.report, len(self.twilio.calls)
        counts = f"{states.get('done', 0)}/{self.plan.contacts} contacts, {calls} calls, {report.kills} kills"
        print(
            f"    {seconds:.0f} s: {counts}, {report.freezes} freezes, {report.deploys} deploys",
            file=sys.stderr,
            flush=True,
        )


def _number(n: int) -> str:
    return f"+1415{2000000 + n}"


def run_campaign(plan: Plan) -> Report:
    """Runs one campaign to its end, and checks every call. Progress is printed on standard error."""
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Report:
    random, cpu_before = Random(plan.seed), _children_s()
    async with SimulatedTwilio() as twilio:
        twilio.faults.hangs_s = 11
        twilio.faults.lost, twilio.faults.doubled = ("ringing",), ("completed", "answered")
        twilio.faults.reordered_s = 0.3 if plan.faults else 0.0
        for n in range(plan.contacts):
            chance = random.random()
            busy = callees.busy(after_s=0.1) if chance < 0.7 else callees.no_answer(after_s=0.4)
            twilio.callees[_number(n)] = busy if chance > plan.persons else callees.person(_brief, after_s=0.1)
        async with Processes(plan.url, twilio) as processes:
            run = _Run(plan, twilio, processes)
            await asyncio.gather(*(processes.start(chr(ord("a") + n)) for n in range(plan.processes)))
            if plan.twin:
                await processes.start("twin")
            body = {"name": "proof", "csv": _people(plan), "config": _config(plan), "run": True}
            code, made = await processes.ask("POST", "/campaigns", body, key="proof")
            while code == 503:
                code, made = await processes.ask("POST", "/campaigns", body, key="proof")
            if code in (200, 201):
                await run.until_finished()
            else:
                run.report.problems.append(f"the campaign was not made: {made}")
        run.report.cpu_s = _children_s() - cpu_before
        await asyncio.to_thread(_check, plan, run, run.report)
    return run.report


def _people(plan: Plan) -> str:
    return "\n".join(["id,to", *(f"p{n},{_number(n)}" for n in range(plan.contacts))])


def _config(plan: Plan) -> dict[str, Any]:
    return {
        "at_once": plan.at_once,
        "per_second": plan.per_second,
        "max_s": 30,
        "failures": 100,
        "failures_of": 100,
        # A busy machine is late with the first words, and a wrong process gets the webhooks of a twin's calls. After
        # some abandoned calls the campaign would rest for a day, as it should.
        "max_abandoned_per_day": 100_000,
        "retry": "busy=1/2s,no-answer=0,failed=2/2s,canceled=3/1s,abandoned=0",
    }


def _check(plan: Plan, run: _Run, report: Report) -> None:
    calls = list(run.twilio.calls.values())
    report.calls = len(calls)
    with closing(DatabaseRecords(plan.url)) as database:
        store = DatabaseStore(database.transaction, SubjectKey(KEY.encode()).of)
        people = store.contacts("proof", limit=10 * plan.contacts)
        attempts = [each for it in store.attempts_of("proof", [one.id for one in people]).values() for each in it]
    report.attempts = len(attempts)
    report.outcomes = dict(Counter(each.outcome.value for each in attempts if each.outcome is not None))
    problems = report.problems
    if len(people) != plan.contacts:
        problems.append(f"{plan.contacts - len(people)} contacts are lost")
    problems += [f"contact {each.id} is not done: {each.state.value}" for each in people if not each.is_final]
    tokens = Counter(str(call.options.get("StatusCallback", "")).rpartition("/")[2] for call in calls)
    problems += [f"attempt {token} has {count} calls" for token, count in tokens.items() if count > 1]
    known = {each.id: each for each in attempts}
    problems += [f"call of attempt {token} is in no result" for token in tokens if token not in known]
    for call in calls:
        token = str(call.options.get("StatusCallback", "")).rpartition("/")[2]
        if token in known and known[token].sid not in ("", call.sid):
            problems.append(f"attempt {token} names another call")
        if (at := run.listed.get(call.to)) is not None and call.created > at:
            problems.append(f"{call.to} was called after its opt-out")
    reached = [each.contact_id for each in attempts if each.outcome is Outcome.REACHED]
    for contact_id in reached:
        last = max((each for each in attempts if each.contact_id == contact_id), key=lambda each: each.started_at)
        if last.outcome is not Outcome.REACHED:
            problems.append(f"contact {contact_id} was called again after it was reached")
    if report.most_at_once > plan.at_once:
        problems.append(f"{report.most_at_once} calls at once, and {plan.at_once} are allowed")
    starts = sorted(each.started_at for each in attempts)
    closest = min((b - a for a, b in pairwise(starts)), default=None)
    if closest is not None and closest.total_seconds() < 1 / plan.per_second - 0.001:
        problems.append(f"two calls began within {closest.total_seconds():.3f} s")
    most = Counter(each.contact_id for each in attempts).most_common(1)
    if most and most[0][1] > 5:
        problems.append(f"contact {most[0][0]} has {most[0][1]} attempts")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
