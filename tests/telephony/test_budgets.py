"""The budgets of minutes and money of a day, of a number and of all calls, are the same for all processes."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from realtime_core.sources import Sources
from telephony.records import Records
from telephony.records.budget import Budget, BudgetUsage, day_of
from telephony.records.call_record import CallUpdate
from telephony.records.database import DatabaseRecords
from telephony.simulator import callees
from tests.support.call_processes import OWN, PUBLIC, TO, World, finished, listener, until, world

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def call(number: int, at: datetime, **changes: Any) -> CallUpdate:
    return CallUpdate(f"CA{number}", at, changes={"started_at": at, **changes})


def test_the_minutes_and_the_cost_of_a_day(records: Records) -> None:
    earlier = NOON - timedelta(minutes=5)
    records.note(
        [
            call(1, NOON - timedelta(hours=1), subject="a", duration_s=60, ended_at=NOON, model_cost=0.5),
            call(2, earlier, subject="a", answered_at=earlier),  # it goes on
            call(3, earlier, subject="b", answered_at=earlier, ended_at=NOON - timedelta(minutes=3)),  # interrupted
            call(4, earlier, subject="a", ended_at=NOON),  # not answered
            call(5, NOON - timedelta(days=1), subject="a", duration_s=9999, model_cost=99.0),
            call(6, NOON, subject="a", duration_s=30, cost=0.25, currency="USD", model_cost=0.25),
            call(7, NOON, subject="b", duration_s=30, cost=0.25, currency="EUR"),  # of an unknown value
            call(8, NOON, subject="b", duration_s=0),
        ]
    )
    assert records.spent(day_of(NOON), NOON, ["a"]) == BudgetUsage(60 + 300 + 30, 1.0)
    assert records.spent(day_of(NOON), NOON, ["b"]) == BudgetUsage(120 + 30, 0.0)
    assert records.spent(day_of(NOON), NOON) == BudgetUsage(60 + 300 + 30 + 150, 1.0)
    assert records.spent(day_of(NOON + timedelta(days=1)), NOON) == BudgetUsage()


@pytest.mark.parametrize(
    ("budget", "spent", "used_up"),
    [(Budget(), BudgetUsage(1e9, 1e9), False), (Budget(minutes=1), BudgetUsage(59), False),
     (Budget(minutes=1), BudgetUsage(60.0), True),
     (Budget(cost=0.5), BudgetUsage(1e9, 0.49), False), (Budget(cost=0.5), BudgetUsage(0, 0.5), True),
     (Budget(minutes=1, cost=9), BudgetUsage(60.0, 0.0), True)],
)  # fmt: skip
def test_when_a_budget_is_used_up(budget: Budget, spent: BudgetUsage, used_up: bool) -> None:
    assert budget.is_used_up(spent) is used_up and budget.is_set is (budget != Budget())


async def note(it: World, number: str, **changes: Any) -> None:
    """A call of another process, today."""
    phone = it.phone("a")
    now = phone.sources.now()
    subject = phone.call_records.subjects.of(number)
    with closing(DatabaseRecords(it.url)) as database:
        database.note([CallUpdate("CA0", now, changes={"started_at": now, "subject": subject, "status": "completed",
                                                      "ended_at": now, **changes})])  # fmt: skip


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({"telephony_number_minutes_per_day": 1}, {"duration_s": 60}),
        ({"telephony_number_cost_per_day": 0.5}, {"model_cost": 0.5}),
        ({"telephony_minutes_per_day": 1}, {"duration_s": 60}),
        ({"telephony_cost_per_day": 0.5}, {"model_cost": 0.5}),
    ],
    ids=lambda it: next(iter(it)),
)
async def test_another_process_has_used_the_budget_up(
    shared_database_url: str, settings: dict[str, Any], changes: dict[str, Any]
) -> None:
    """A caller is turned away, and no call is placed. Another number has its own budget."""
    key = {"telephony_number_key": "a key of the tests"}
    async with world(shared_database_url, "a", "b", **key, **settings) as it:
        it.twilio.add_number(OWN, voice_url=f"{PUBLIC}/incoming-call")
        it.twilio.default_callee = callees.busy(after_s=0.1)
        assert (await it.servers["b"].ask("POST", "/calls", {"to": TO}))[0] == 201
        await note(it, TO, **changes)
        refused_call = await it.twilio.ring(caller=listener, from_=TO)
        assert refused_call.status == "busy"
        client = it.phone("b").call_records.client
        await until(lambda: not client.waiting and not it.phone("a").call_records.client.waiting)
        row = await client.call(refused_call.sid)
        assert row is not None and (row.ending, row.status) == ("refused-budget", "busy")
        status, told = await it.servers["b"].ask("POST", "/calls", {"to": TO}, key="k")
        assert (status, "used up" in told["error"], "_PER_DAY" in told["error"]) == (429, True, True)
        of_number = any("number" in name for name in settings)
        other = await it.twilio.ring(caller=listener, from_="+14155550155")
        assert (other.status == "completed") is of_number
        if not of_number:
            return
        status, placed = await it.servers["b"].ask("POST", "/calls", {"to": "+14155550156"})
        assert status == 201 and (await finished(it.servers["b"], placed))["status"] == "busy"


@pytest.mark.virtual_time
async def test_the_budget_of_a_phone_counts_all_its_numbers() -> None:
    from telephony.records.client import RecordsClient
    from telephony.settings import Settings
    from telephony.web.budgets import Budgets

    settings = Settings(telephony_number_minutes_per_day=1, public_url=PUBLIC, twilio_auth_token=SecretStr("t"))
    sources = Sources(1)
    async with RecordsClient() as client:
        budgets = Budgets(settings, client, str, sources)
        client.note("CA0", started_at=sources.now(), subject="+5215512345678", duration_s=60)
        assert "budget of this number" in await budgets.problem("+525512345678")
        assert await budgets.problem("+525512345679") == ""


@pytest.mark.virtual_time
async def test_a_program_places_no_call_over_the_budget() -> None:
    from realtime_core import RealtimeAgent
    from telephony.outbound.dialing_rules import DialingRules
    from telephony.outbound.plan import CallPlan
    from tests.support.office import office
    from tests.telephony.test_every_call_is_recorded import KITCHEN, script

    agent = RealtimeAgent(name="Desk")
    async with office(script(), agent=agent, given={"telephony_number_minutes_per_day": 1}) as (twilio, app):
        app.state.dialer.rules = DialingRules.none()
        client, of = app.state.phone.call_records.client, app.state.phone.call_records.subjects.of
        client.note("CA0", subject=of(KITCHEN), duration_s=60)
        result = await app.state.dialer.place(CallPlan(KITCHEN, agent)).finished()
        assert (result.status, "TELEPHONY_NUMBER_MINUTES_PER_DAY" in result.error) == ("failed", True)
        assert not twilio.calls
