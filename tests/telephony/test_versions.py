"""Versions of an agent: digests, the share of a canary, and its rollback."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from realtime_core import RealtimeAgent, function_tool
from realtime_core.errors import UserError
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from realtime_core.testing import virtual_time
from telephony import Canary
from telephony.records.call_record import CallRecord
from telephony.records.database import DatabaseRecords
from telephony.records.version_figures import figures_of
from telephony.versions import Rollback, digest_of_agent, is_chosen
from tests.support.office import office, talks


@function_tool
async def book(day: str) -> str:
    """Book a table."""
    return f"Booked for {day}."


@function_tool(name_override="book")
async def broken_book(day: str) -> str:
    """Book a table."""
    raise ValueError("the new table plan is missing")


OLD = RealtimeAgent(name="Desk", instructions="Short sentences.", tools=[book])
NEW = RealtimeAgent(name="Desk", instructions="Short sentences.", tools=[broken_book])
SCRIPT = Script(
    greeting=Reply(say="Hello."),
    turns=[Turn(Reply(say="Done."), calls=[ToolCall("book", '{"day": "Friday"}')])],
    otherwise=Reply(say="Yes."),
)


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (OLD.clone(), True),
        (OLD.clone(instructions="Long sentences."), False),
        (OLD.clone(tools=[]), False),
        (NEW, False),
        (OLD.clone(voice="marin"), False),
        (OLD.clone(handoffs=[RealtimeAgent(name="Other")]), False),
    ],
)
def test_a_digest_changes_with_what_makes_the_agent(other: RealtimeAgent[Any], is_same: bool) -> None:
    assert (digest_of_agent(other) == digest_of_agent(OLD)) is is_same
    assert digest_of_agent(OLD, "gpt-realtime") != digest_of_agent(OLD, "gpt-realtime-2")
    assert digest_of_agent(OLD, config={"a": 1}) != digest_of_agent(OLD, config={"a": 2})


def test_agents_that_hand_over_to_each_other_have_a_digest() -> None:
    one, two = RealtimeAgent(name="One"), RealtimeAgent(name="Two")
    one.handoffs, two.handoffs = [two], [one]
    assert digest_of_agent(one) != digest_of_agent(two)


@pytest.mark.parametrize("percent", [0, 5, 50, 100])
def test_the_share_of_a_canary(percent: float) -> None:
    chosen = [is_chosen(f"subject {n}", "*", percent) for n in range(4000)]
    assert sum(chosen) / 40 == pytest.approx(percent, abs=2)
    assert chosen == [is_chosen(f"subject {n}", "*", percent) for n in range(4000)]


def caller(n: int) -> str:
    return f"+1415555{n:04}"


def called(canary: Canary, calls: list[int], given: dict[str, Any] | None = None) -> list[tuple[int, str]]:
    """The variants of calls, one after the other, from these callers."""
    found: list[tuple[int, str]] = []

    async def main() -> None:
        async with office(SCRIPT, agent=OLD, canary=canary, given=given) as (twilio, app):
            for n in calls:
                call = await twilio.ring(caller=talks, from_=caller(n))
                await asyncio.sleep(1)
                row = await app.state.phone.call_records.client.call(call.sid)
                found.append((n, row.variant))
            seen["metrics"] = app.state.phone.metrics.render().decode()

    virtual_time.run(main, seed=7)
    return found


seen: dict[str, str] = {}


def test_every_call_has_its_version_in_its_record() -> None:
    ((_, variant),) = called(Canary(NEW, percent=0), [1])
    assert variant == f"Desk {digest_of_agent(OLD)}"
    assert f'telephony_version_calls_total{{outcome="ok",version="{variant}"}} 1.0' in seen["metrics"]


def test_a_canary_whose_tool_fails_is_rolled_back_by_itself() -> None:
    found = called(Canary(NEW, percent=100), [*range(8)])
    of_canary = [n for n, variant in found if variant.endswith("canary")]
    assert of_canary == [0, 1, 2], "three failures are enough"
    assert 'telephony_version_calls_total{outcome="failed"' in seen["metrics"]


def test_nobody_meets_both_versions_within_a_day() -> None:
    good = OLD.clone(instructions="Other sentences.")
    found = called(Canary(good, percent=40), [*range(12), *range(12)])
    by_caller: dict[int, set[str]] = {}
    for n, variant in found:
        by_caller.setdefault(n, set()).add(variant)
    assert all(len(variants) == 1 for variants in by_caller.values())
    assert len({variant for _, variant in found}) == 2


def test_a_larger_share_does_not_move_a_caller_within_the_day() -> None:
    good = OLD.clone(instructions="Other sentences.")
    found: list[str] = []

    async def main() -> None:
        async with office(SCRIPT, agent=OLD, canary=Canary(good, percent=0)) as (twilio, app):
            for percent in (0, 100):
                app.state.phone.canaries._canaries["*"] = Canary(good, percent=percent)
                call = await twilio.ring(caller=talks, from_=caller(1))
                await asyncio.sleep(1)
                found.append((await app.state.phone.call_records.client.call(call.sid)).variant)

    virtual_time.run(main, seed=7)
    assert found == [f"Desk {digest_of_agent(OLD)}"] * 2


def test_a_canary_that_was_rolled_back_by_command_takes_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from telephony.cli.app import app

    database = f"sqlite:///{tmp_path / 'records.db'}"
    with closing(DatabaseRecords(database)) as records:
        records.check()
    monkeypatch.setenv("DATABASE_URL", database)
    done = CliRunner().invoke(app, ["versions", "rollback", "*", "--reason", "it stutters"])
    assert done.exit_code == 0, done.output
    listed = CliRunner().invoke(app, ["versions", "list", "--json"])
    assert json.loads(listed.output)["releases"][0]["reason"] == "it stutters"
    with closing(DatabaseRecords(database)) as records:
        (release,) = records.releases.all()
    monkeypatch.delenv("DATABASE_URL")

    async def main() -> None:
        async with office(SCRIPT, agent=OLD, canary=Canary(NEW, percent=100)) as (twilio, running):
            client = running.state.phone.call_records.client
            await client.query(lambda records: records.releases.decide(release))
            call = await twilio.ring(caller=talks, from_=caller(1))
            await asyncio.sleep(1)
            found.append((await client.call(call.sid)).variant)

    found: list[str] = []
    virtual_time.run(main, seed=7)
    assert found == [f"Desk {digest_of_agent(OLD)}"]


def test_the_number_of_a_rollback_is_read_in_any_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from telephony.cli.app import app

    database = f"sqlite:///{tmp_path / 'records.db'}"
    with closing(DatabaseRecords(database)) as records:
        records.check()
    monkeypatch.setenv("DATABASE_URL", database)
    done = CliRunner().invoke(app, ["versions", "rollback", "+1 (415) 555-0199"])
    assert done.exit_code == 0, done.output
    for wrong in ("", "desk"):
        assert CliRunner().invoke(app, ["versions", "rollback", wrong]).exit_code == 2
    with closing(DatabaseRecords(database)) as records:
        assert [each.place for each in records.releases.all()] == ["+14155550199"]


def test_a_caller_without_a_number_gets_the_present_agent() -> None:
    async def main() -> None:
        async with office(SCRIPT, agent=OLD, canary=Canary(NEW, percent=100)) as (twilio, app):
            call = await twilio.ring(caller=talks, from_="anonymous")
            await asyncio.sleep(1)
            assert not (await app.state.phone.call_records.client.call(call.sid)).variant.endswith("canary")

    virtual_time.run(main, seed=7)


def test_a_canary_that_cannot_be_is_refused() -> None:
    for wrong in (
        lambda: Canary(NEW, percent=101),
        lambda: Rollback(failures=0),
        lambda: Rollback(failures=9, calls=3),
    ):
        with pytest.raises(UserError):
            wrong()


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def call_record(n: int, version: str, **fields: Any) -> CallRecord:
    times = {"started_at": NOON, "ended_at": NOON}
    return CallRecord(id=f"CA{n}", sid=f"CA{n}", variant=version, **{"status": "completed", **times, **fields})


def test_the_figures_of_each_version_are_those_of_its_calls() -> None:
    rows = [
        call_record(
            n, "Desk 1", ending="hung_up", outcome="booked", turns=[{"latency_ms": 100 * n}, {"latency_ms": None}]
        )
        for n in range(1, 21)
    ]
    rows += [
        call_record(30, "Desk 2 canary", ending="failed", tools={"book": {"calls": 1, "failures": 1}}),
        call_record(31, "Desk 2 canary", ending="transferred", transfers=[{"succeeded": True}], outcome="none"),
        call_record(32, "Desk 2 canary", status="in-progress", ended_at=None),
        call_record(33, "", ending="hung_up"),
    ]
    stable, canary = figures_of(rows)
    assert (stable.calls, stable.latency_ms, stable.slow_ms, stable.answers) == (20, 1050, 1900, 20)
    assert stable.outcomes == {"booked": 20} and stable.endings == {"hung_up": 20}
    assert (canary.calls, canary.live, canary.failed, canary.transferred) == (2, 1, 1, 1)
    assert canary.latency_ms is None and canary.endings == {"failed": 1, "transferred": 1}
