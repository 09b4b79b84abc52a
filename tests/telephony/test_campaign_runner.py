"""One campaign in one process: outcomes that depend on the conversation, and the end of a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from realtime_core import RealtimeAgent
from realtime_core.local import Call, LocalRealtimeServer, Reply, Script, Turn
from realtime_core.sources import Sources
from telephony import CallResult, DialingRules, Telephony
from telephony.campaigns.attempt_call import Speech
from telephony.campaigns.callback_tool import CallbackTool
from telephony.campaigns.campaign import Campaign, CampaignStatus
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import Contact, ContactState, DoneReason, Outcome
from telephony.campaigns.memory_store import MemoryStore
from telephony.campaigns.outcomes import outcome_of
from telephony.campaigns.runner import CampaignRunner
from telephony.errors import CampaignError
from telephony.simulator import Handset, callees
from telephony.simulator.callees import Callee

pytestmark = pytest.mark.virtual_time
START = datetime(2026, 1, 5, 18, tzinfo=UTC)
ADA, BEN = Contact("ada", "+14155550123"), Contact("ben", "+14155550124", extension="42")
AGENT: RealtimeAgent[Any] = RealtimeAgent(name="Blu", instructions="You call for Blu Dental. Short sentences.")
TALKS = Script(greeting=Reply(say="Hello, this is Blu."), turns=[])


def tells(tool: str, arguments: str) -> Script:
    turn = Turn(heard="hello", calls=[Call(tool, arguments)], answer=Reply(say="{result}"))
    return Script(greeting=Reply(say="Hello."), turns=[turn])


async def answers(phone: Handset) -> None:
    for _ in range(2):
        await phone.say("hello")
        await phone.agent_speaks()
        await phone.agent_silent(0.5)


async def waits(phone: Handset) -> None:
    """Says hello, and hears nothing."""
    await phone.say("hello")
    await asyncio.sleep(8)


@asynccontextmanager
async def campaign(
    script: Script, *contacts: Contact, callee: Callee | None = None, **config: Any
) -> AsyncIterator[tuple[CampaignRunner, MemoryStore, Telephony]]:
    skipped = timedelta(0)

    def now() -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time()) + skipped

    def skip(until: datetime) -> None:
        nonlocal skipped
        skipped += max(until - now(), timedelta(0))

    sources, store = Sources(1, clock=now), MemoryStore()
    async with (
        LocalRealtimeServer(script) as model,
        Telephony(
            simulate=True, dialing_rules=DialingRules.none(), model_config=model.model_config, sources=sources
        ) as phone,
    ):
        assert phone.twilio is not None
        phone.twilio.default_callee = callee or callees.person(answers, after_s=0.5)
        store.add(Campaign("c", CampaignConfig(**{"max_s": 60, "per_second": 10, **config}), START), contacts)
        runner = CampaignRunner(
            store, "c", phone.dialer, Speech(AGENT), sources=sources.fork("campaign"), when_idle=skip
        )
        yield runner, store, phone


def outcomes(store: MemoryStore, contact: Contact = ADA) -> list[Outcome | None]:
    return [attempt.outcome for attempt in store.attempts("c", contact.id)]


async def test_a_person_who_names_a_time_is_called_again_then() -> None:
    script = tells("call_back", '{"at": "2026-01-06T15:30"}')
    async with campaign(script, ADA, max_attempts=2) as (runner, store, _):
        await runner.run()
    first, second = store.attempts("c", "ada")
    assert first.outcome is Outcome.CALLBACK
    assert first.callback_at == datetime(2026, 1, 6, 23, 30, tzinfo=UTC), "15:30 in California"
    assert second.started_at == first.callback_at


async def test_a_person_who_opts_out_is_not_called_for_another_contact() -> None:
    other = Contact("ada-2", ADA.number)
    async with campaign(tells("opt_out", "{}"), ADA, other) as (runner, store, phone):
        await runner.run()
        assert phone.twilio is not None
        assert len(phone.twilio.placed_to(ADA.number)) == 1
    assert outcomes(store) == [Outcome.OPTED_OUT]
    contact = store.contact("c", "ada-2")
    assert contact is not None
    assert (contact.reason, store.attempts("c", "ada-2")) == (DoneReason.DO_NOT_CALL, [])


async def test_a_person_to_whom_the_agent_says_nothing_is_abandoned_and_counted() -> None:
    async with campaign(replace(TALKS, latency_s=5.0), ADA, callee=callees.person(waits)) as parts:
        runner, store, _ = parts
        await runner.run()
    assert outcomes(store) == [Outcome.ABANDONED]
    assert store.counts("c", store.attempts("c", "ada")[0].started_at + timedelta(minutes=5)).abandoned_in_day == 1


async def test_an_extension_is_pressed_after_the_answer() -> None:
    async with campaign(TALKS, BEN) as (runner, _, phone):
        await runner.run()
        assert phone.twilio is not None
        (call,) = phone.twilio.placed_to(BEN.number)
        assert call.options["SendDigits"] == "ww42"


async def test_a_number_is_in_one_call_at_a_time() -> None:
    other = Contact("ada-2", ADA.number)
    async with campaign(TALKS, ADA, other, at_once=5) as (runner, store, _):
        await runner.run()
    (first,), (second,) = store.attempts("c", "ada"), store.attempts("c", "ada-2")
    assert first.ended_at is not None
    assert second.started_at >= first.ended_at


async def _run_and(runner: CampaignRunner, store: MemoryStore, then: Callable[[], object]) -> Campaign:
    """Run, and call `then` as soon as a call is in progress."""
    running = asyncio.create_task(runner.run())
    while not store.counts("c", START).live:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.05)
    then()
    return await running


@pytest.mark.parametrize("status", [CampaignStatus.PAUSED, CampaignStatus.STOPPED])
async def test_live_calls_go_on_after_a_pause_and_none_begins(status: CampaignStatus) -> None:
    async with campaign(TALKS, ADA, BEN, at_once=1) as (runner, store, _):
        ended = await _run_and(runner, store, lambda: store.set_status("c", status, START))
    assert ended.status is status
    assert outcomes(store) == [Outcome.REACHED]
    assert outcomes(store, BEN) == []
    ben = store.contact("c", "ben")
    assert ben is not None
    assert ben.state is (ContactState.DONE if status is CampaignStatus.STOPPED else ContactState.PENDING)


async def test_a_run_that_drains_lets_the_live_call_end() -> None:
    async with campaign(TALKS, ADA, BEN, at_once=1) as (runner, store, _):
        ended = await _run_and(runner, store, runner.drain)
    assert (ended.status, outcomes(store), outcomes(store, BEN)) == (CampaignStatus.RUNNING, [Outcome.REACHED], [])


async def test_a_second_interrupt_hangs_up() -> None:
    callee = callees.person(answers, after_s=20.0)
    async with campaign(TALKS, ADA, BEN, at_once=1, callee=callee) as (runner, store, _):
        tasks: list[asyncio.Task[None]] = []
        await _run_and(runner, store, lambda: tasks.append(asyncio.create_task(runner.hang_up())))
    assert (outcomes(store), outcomes(store, BEN)) == ([Outcome.CANCELED], [])


async def test_a_program_runs_a_campaign_and_gets_a_row_for_each_contact() -> None:
    people = [{"to": "(415) 555-0123", "name": "Ada"}, {"to": "12", "name": "Bob"}]
    async with Telephony(simulate="busy", outgoing={"remind": AGENT}) as phone:
        ada, bob = await phone.run_campaign("spring", people, agent="remind", retry="busy=1/5s", holidays=True)
        assert phone.twilio is not None
        assert len(phone.twilio.calls) == 2
    assert (ada["reason"], [each["outcome"] for each in ada["attempts"]]) == ("busy", ["busy", "busy"])
    assert (bob["state"], bob["lines"]) == ("invalid", [2])


async def test_a_campaign_with_an_unknown_agent_is_refused() -> None:
    async with Telephony(simulate="busy", outgoing={"remind": AGENT}) as phone:
        with pytest.raises(CampaignError, match="no agent 'desk'"):
            await phone.run_campaign("spring", [{"to": "+14155550123"}], agent="desk")


# --- what an attempt becomes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (CallResult("+1", "busy"), Outcome.BUSY),
        (CallResult("+1", "no-answer"), Outcome.NO_ANSWER),
        (CallResult("+1", "failed"), Outcome.FAILED),
        (CallResult("+1", "canceled"), Outcome.CANCELED),
        (CallResult("+1", "refused"), Outcome.REFUSED),
        (CallResult("+1", "completed", "machine"), Outcome.MACHINE),
        (CallResult("+1", "completed", "screening"), Outcome.SCREENING),
        (CallResult("+1", "completed", "fax"), Outcome.FAX),
        (CallResult("+1", "completed", "human", silence_s=0.4), Outcome.REACHED),
        (CallResult("+1", "completed", "unknown", silence_s=0.4), Outcome.REACHED),
        (CallResult("+1", "completed", "human", silence_s=2.1), Outcome.ABANDONED),
        (CallResult("+1", "completed", ""), Outcome.ABANDONED),
    ],
)
async def test_the_outcome_of_a_call(result: CallResult[Any], outcome: Outcome) -> None:
    found = outcome_of(result, wants_result=False, opted_out=False, callback_at=None, abandoned_after_s=2.0)
    assert found is outcome


async def test_a_conversation_without_the_wanted_result_is_incomplete() -> None:
    result: CallResult[Any] = CallResult("+1", "completed", "human", silence_s=0.2)
    found = outcome_of(result, wants_result=True, opted_out=False, callback_at=None, abandoned_after_s=2.0)
    assert found is Outcome.INCOMPLETE


@pytest.mark.parametrize(
    ("at", "utc"),
    [
        ("2026-01-06T09:00", "2026-01-06T17:00"),
        ("2026-01-06T09:00+01:00", "2026-01-06T08:00"),
        ("2026-01-05T09:00", None),
        ("2027-01-06T09:00", None),
        ("0001-01-01T00:00+14:00", None),
        ("tomorrow", None),
        ("", None),
    ],
)
async def test_a_time_that_a_callee_names_is_local_and_in_the_future(at: str, utc: str | None) -> None:
    tool = CallbackTool(START, "America/Los_Angeles")
    await tool._invoke(None, f'{{"at": "{at}"}}')  # type: ignore[arg-type]
    assert (None if tool.at is None else f"{tool.at:%Y-%m-%dT%H:%M}") == utc
