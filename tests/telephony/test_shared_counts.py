"""What several processes count together: the calls of a number, its minutes and money, and the failures of a canary."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from realtime_core import RealtimeAgent, function_tool
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from realtime_core.sources import Sources
from telephony import Canary, DialingRules
from telephony.call.call_info import CallInfo
from telephony.numbers.config import NumbersConfig
from telephony.outbound.plan import CallPlan
from telephony.records import Records
from telephony.records.budget import Budget, SharedLimits
from telephony.records.call_record import CallUpdate
from telephony.records.client import RecordsClient
from telephony.records.database import DatabaseRecords
from telephony.records.memory import MemoryRecords
from telephony.records.releases import ROLLED_BACK, Release
from telephony.simulator import callees
from telephony.versions import Rollback, digest_of_agent
from telephony.web.canaries import Canaries
from tests.support.clinic import PUBLIC, Clinic, clinic, own
from tests.support.databases import new_database
from tests.support.office import office, talks

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NUMBER, KEY = "+12125550001", "+1212555*"


@function_tool(name_override="book")
async def broken_book(day: str) -> str:
    """Book a table."""
    raise ValueError("the new table plan is missing")


OLD = RealtimeAgent(name="Desk", instructions="Short sentences.")
BROKEN = RealtimeAgent(name="Desk", instructions="Short sentences.", tools=[broken_book])
OTHER = OLD.clone(instructions="Other sentences.")
SCRIPT = Script(
    greeting=Reply(say="Hello."),
    turns=[Turn(Reply(say="Done."), calls=[ToolCall("book", '{"day": "Friday"}')])],
    otherwise=Reply(say="Yes."),
)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Records]]:
    """The records as two processes have them."""
    if request.param == "memory":
        yield [MemoryRecords()] * 2
        return
    url = new_database(request.param, request, tmp_path)
    with closing(DatabaseRecords(url)) as one, closing(DatabaseRecords(url)) as other:
        yield [one, other]


def at_once(stores: list[Records], what: Any, times: int) -> list[Any]:
    stores[0].check()
    with ThreadPoolExecutor(2 if isinstance(stores[0], DatabaseRecords) else 1) as threads:
        return list(threads.map(lambda n: what(stores[n % 2], n), range(times)))


def begun(n: int, at: datetime = NOON, **changes: Any) -> CallUpdate:
    return CallUpdate(f"CA{n}", at, changes={"number_key": KEY, "started_at": at, "status": "ringing", **changes})


# --- the stores ------------------------------------------------------------------------------------------------------


def test_the_limit_of_simultaneous_calls_of_a_number_applies_to_all_processes(stores: list[Records]) -> None:
    limits = SharedLimits(max_calls=3)

    def admit(records: Records, n: int) -> bool:
        return records.admit(begun(n), limits, now=NOON)

    assert sum(at_once(stores, admit, 8)) == 3
    live = [n for n in range(8) if stores[0].call(f"CA{n}") is not None]
    assert len(live) == 3 and stores[1].admit(begun(live[0]), limits, now=NOON), "a repeated webhook changes nothing"
    assert not stores[1].admit(begun(20), limits, now=NOON)
    stores[0].note([CallUpdate(f"CA{live[0]}", NOON, changes={"ended_at": NOON, "status": "completed"})])
    stores[0].note([CallUpdate(f"CA{live[1]}", NOON, changes={"steps": [{"step": "dial", "result": "ringing"}]})])
    assert [stores[1].admit(begun(n), limits, now=NOON) for n in (20, 21, 22)] == [True, True, False]
    other = CallUpdate("CA30", NOON, changes={**begun(30).changes, "number_key": "+1212*"})
    assert stores[1].admit(other, limits, now=NOON), "another number has calls of its own"


@pytest.mark.parametrize("budget", [Budget(minutes=2), Budget(cost=0.5)], ids=str)
def test_a_number_has_a_budget_of_a_day_in_all_processes(stores: list[Records], budget: Budget) -> None:
    limits = SharedLimits(budget=budget)
    spends: dict[str, Any] = {"status": "completed", "ended_at": NOON, "duration_s": 70, "model_cost": 0.3}
    before = begun(0, NOON - timedelta(days=1), **{**spends, "duration_s": 9999, "model_cost": 9.0})
    stores[0].note([before, begun(1, **spends)])
    assert stores[1].admit(begun(2), limits, now=NOON)
    stores[1].note([CallUpdate("CA2", NOON, changes=spends)])
    assert not stores[0].admit(begun(3), limits, now=NOON)
    assert stores[0].admit(begun(4, NOON + timedelta(days=1)), limits, now=NOON + timedelta(days=1))


def test_the_calls_of_a_canary_are_counted_in_all_processes(stores: list[Records]) -> None:
    def count(records: Records, n: int) -> tuple[int, int]:
        return records.releases.count("*", "Desk 1 canary", failed=n % 2 == 0, keep=5)

    assert max(calls for _, calls in at_once(stores, count, 8)) == 5
    stores[0].releases.count("*", "Desk 2 canary", failed=True, keep=5)
    assert stores[1].releases.count("*", "Desk 2 canary", failed=True, keep=5) == (2, 2), "each version by itself"
    stores[0].releases.decide(Release("*", ROLLED_BACK, "", NOON))
    assert stores[1].releases.count("*", "Desk 1 canary", failed=False, keep=5) == (0, 1), "a decision begins anew"


# --- two processes ---------------------------------------------------------------------------------------------------


def numbers(**number: Any) -> NumbersConfig:
    return NumbersConfig.model_validate({"numbers": {KEY: {"agent": OLD, "fallback": [{"say": True}], **number}}})


class Processes:
    """Sends each call to one of two processes that share an SQLite file."""

    def __init__(self, it: Clinic, second: str) -> None:
        self._it, self._addresses = it, (it.address, second)

    @contextmanager
    def on(self, process: int) -> Iterator[None]:
        self._it.twilio.webhooks.reach[PUBLIC] = self._addresses[process]
        yield


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    return {"database_url": f"sqlite:///{folder}/records.db", "telephony_calls_per_caller_hour": 0, **more}


@pytest.mark.virtual_time
@pytest.mark.parametrize("limits", [{"max_calls": 1}, {"minutes_per_day": 0.01}], ids=str)
async def test_a_limit_of_a_number_holds_in_two_processes(limits: dict[str, Any], tmp_path: Path) -> None:
    async def stays(phone: Any) -> None:
        await asyncio.sleep(20)

    async with clinic(numbers(limits=limits), given=settings(tmp_path)) as it:
        own(it.twilio, NUMBER)
        processes = Processes(it, await it.another())
        first = it.twilio.start_ringing(to=NUMBER, caller=stays, from_="+14155550101")
        await asyncio.sleep(3)
        with processes.on(1):
            second = await it.twilio.ring(to=NUMBER, caller=stays, from_="+14155550102")
        row = await it.record(second.sid)
        assert (row.ending, row.steps[0]["result"]) == ("fallback-say", "number-limit")
        await first.ends()
        await it.record(first.sid)
        with processes.on(1):
            third = await it.twilio.ring(to=NUMBER, caller=stays, from_="+14155550103")
        assert bool(third.streams) is ("max_calls" in limits), "the first call has ended"


@pytest.mark.virtual_time
async def test_a_number_takes_calls_while_the_records_are_unavailable(tmp_path: Path) -> None:
    (tmp_path / "records.db").mkdir()
    given = settings(tmp_path)
    async with clinic(numbers(limits={"max_calls": 1}), given=given) as it:
        own(it.twilio, NUMBER)
        call = await it.twilio.ring(to=NUMBER, caller=talks, from_="+14155550101")
    assert call.streams


async def variants(it: Clinic, processes: Processes, callers: list[int]) -> list[str]:
    """The versions of calls that the two processes take in turn, in the order of the calls."""
    found = []
    for n, caller in enumerate(callers):
        with processes.on(n % 2):
            call = await it.twilio.ring(to=NUMBER, caller=talks, from_=f"+1415555{caller:04}")
        found.append((await it.record(call.sid)).variant)
    return found


@pytest.mark.virtual_time
async def test_a_canary_whose_tool_fails_is_rolled_back_in_two_processes(tmp_path: Path) -> None:
    config = numbers(canary=BROKEN, canary_percent=100)
    async with clinic(config, models={"main": SCRIPT}, given=settings(tmp_path)) as it:
        own(it.twilio, NUMBER)
        found = await variants(it, Processes(it, await it.another()), list(range(6)))
    assert [each.endswith("canary") for each in found] == [True, True, True, False, False, False]


@pytest.mark.virtual_time
async def test_nobody_meets_both_versions_in_two_processes(tmp_path: Path) -> None:
    """Not even while the processes have canaries with different shares."""
    given = settings(tmp_path, telephony_number_key="0123456789abcdef0123456789abcdef")
    async with clinic(None, given=given, agent=OLD) as it:
        own(it.twilio, NUMBER)
        processes = Processes(it, await it.another())
        for app, percent in zip(it.apps, (0, 100), strict=True):
            app.state.phone.canaries._canaries["*"] = Canary(OTHER, percent=percent)
        one = await variants(it, processes, [1, 1])
        with processes.on(1):
            call = await it.twilio.ring(to=NUMBER, caller=talks, from_="+14155550002")
        other = [(await it.record(call.sid)).variant, *await variants(it, processes, [2])]
    assert one == [f"Desk {digest_of_agent(OLD)}"] * 2
    assert other == [f"Desk {digest_of_agent(OTHER)} canary"] * 2


@pytest.mark.virtual_time
async def test_nobody_meets_both_versions_at_two_numbers_with_the_same_canary() -> None:
    numbers = ("+14155550198", "+14155550199")
    canaries = dict.fromkeys(numbers, Canary(OTHER, percent=50))
    async with RecordsClient() as client:
        it = Canaries(canaries, client=client, subject_of=str, sources=Sources(1))
        pick = it.source(OLD)
        assert not isinstance(pick, RealtimeAgent)
        met: set[tuple[Any, ...]] = set()
        for n in range(20):
            met.add(tuple([await pick(CallInfo(f"CA{n}{to}", f"+3{n}", to)) for to in numbers]))  # type: ignore[misc]
        await it.close()
    assert met == {(OLD, OLD), (OTHER, OTHER)}


@pytest.mark.virtual_time
async def test_the_numbers_of_one_phone_meet_the_same_version() -> None:
    async with RecordsClient() as client:
        it = Canaries(Canary(OTHER, percent=50), client=client, subject_of=str, sources=Sources(1))
        pick = it.source(OLD)
        assert not isinstance(pick, RealtimeAgent)
        met: set[tuple[Any, ...]] = set()
        for n in range(20):
            forms = (f"+5255123456{n:02}", f"+52155123456{n:02}")
            met.add(tuple([await pick(CallInfo(f"CA{n}{form}", form, "+1")) for form in forms]))  # type: ignore[misc]
        await it.close()
    assert met == {(OLD, OLD), (OTHER, OTHER)}


@pytest.mark.virtual_time
async def test_a_placed_call_has_a_version_and_a_canary() -> None:
    person = "+14155550123"
    canary = Canary(BROKEN, percent=100, rollback=Rollback(failures=2))
    found = []
    async with office(SCRIPT, agent=OLD, canary=canary) as (twilio, app):
        app.state.dialer.rules = DialingRules.none()
        twilio.callees[person] = callees.person(talks, after_s=0.5)
        for plan in [CallPlan(person)] * 3 + [CallPlan(person, OTHER)]:
            placed = app.state.dialer.place(plan)
            await placed.finished()
            found.append((await app.state.phone.call_records.client.call(placed.token)).variant)
    assert found == [
        *[f"Desk {digest_of_agent(BROKEN)} canary"] * 2,
        f"Desk {digest_of_agent(OLD)}",
        f"Desk {digest_of_agent(OTHER)}",
    ]
