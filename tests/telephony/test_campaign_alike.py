"""A rehearsal in virtual time and a server with DBOS decide alike: the same contacts, the same callees, the same
decisions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest

from realtime_core import RealtimeAgent
from telephony import DialingRules, load_settings
from telephony.campaigns.attempt_call import Speech
from telephony.campaigns.campaign import Campaign
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact_list import contacts_from_csv
from telephony.campaigns.report import result_rows
from telephony.rehearsal.rehearsal import rehearse
from telephony.simulator import Handset, callees
from telephony.simulator.account import SimulatedAccount
from telephony.simulator.callees import Callee
from tests.support.call_processes import OWN, world

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.skipif(find_spec("dbos") is None, reason="the package dbos is not installed"),
]

SEED = 11
PEOPLE = "\n".join(
    [
        "id,to,consent",
        *(f"p{n},+1415555{1000 + n}," for n in range(8)),
        "no,+14155551020,no",
        "bad,12,",
        "late,+14155551021,yes",
    ]
)
CONFIG: dict[str, Any] = {
    "at_once": 10,
    "per_second": 50,
    "max_s": 30,
    "max_attempts": 4,
    "retry": "busy=2/1s,no-answer=1/1s,failed=1/1s",
    "failures": 100,
    "failures_of": 100,
    "abandoned_after_s": 30,
}
KINDS = {"busy": 4, "no-answer": 3, "failed": 1, "talks": 3, "opts-out": 1}


async def talks(phone: Handset) -> None:
    await phone.say("hello")
    await phone.agent_speaks()
    await phone.heard(0.2)
    phone.hang_up()


async def opts_out(phone: Handset) -> None:
    await phone.say("hello")
    await phone.agent_speaks()
    phone.press("9")
    await asyncio.Event().wait()


def drawn(account: SimulatedAccount, number: str) -> Callee:
    """The callee of this call to a number. It depends on the number, and on how many calls there were before."""
    source = Random(f"{SEED}:{number}:{len(account.placed_to(number))}")
    match source.choices(list(KINDS), list(KINDS.values()))[0]:
        case "talks":
            return callees.person(talks, after_s=0.05)
        case "opts-out":
            return callees.person(opts_out, after_s=0.05)
        case "no-answer":
            return callees.no_answer(after_s=0.05)
        case "failed":
            return callees.failed(after_s=0.05)
        case _:
            return callees.busy(after_s=0.05)


def decisions(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """The outcome of each attempt, and the end, by contact."""
    return {row["id"]: (*(each["outcome"] for each in row["attempts"]), row["state"], row["reason"]) for row in rows}


def rehearsed() -> dict[str, tuple[Any, ...]]:
    contacts = contacts_from_csv(PEOPLE, own_number=OWN, rules=DialingRules.at_any_hour()).contacts
    now = datetime.now(UTC)
    store = rehearse(
        Campaign("spring", CampaignConfig(**CONFIG), now),
        contacts,
        Speech(RealtimeAgent(name="Blu", instructions="Short sentences.")),
        settings=load_settings(telephony_opt_out_key="9"),
        rules=DialingRules.at_any_hour(),
        seed=SEED,
        start=now,
    )
    return decisions(list(result_rows(store, "spring")))


async def run_by_server(folder: Path) -> dict[str, tuple[Any, ...]]:
    async with world(f"sqlite:///{folder}/records.db", "a", telephony_opt_out_key="9") as it:
        server = it.servers["a"]
        body = {"name": "spring", "csv": PEOPLE, "config": CONFIG, "run": True}
        assert (await server.ask("POST", "/campaigns", body))[0] == 201
        while (await server.ask("GET", "/campaigns/spring"))[1]["status"] != "finished":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return decisions((await server.ask("GET", "/campaigns/spring/export"))[1]["contacts"])


def test_a_rehearsal_and_a_server_decide_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedAccount, "callee", drawn)
    expected = rehearsed()
    assert {ends[-1] for ends in expected.values()} >= {"busy", "no-answer", "reached", "opted-out", "no-consent"}
    assert max(map(len, expected.values())) == 6, "a contact has four attempts"
    assert asyncio.run(run_by_server(tmp_path)) == expected
