"""Campaigns of a server: HTTP endpoints, the durable queue on SQLite, the dialer, and the simulated Twilio."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from telephony.campaigns import attempt_work, dialer, durable_queue, queue_backoff
from telephony.campaigns.attempt_call import AttemptCall
from telephony.campaigns.contact import Attempt
from telephony.campaigns.finished_call import ended_elsewhere
from telephony.outbound import call_state
from telephony.outbound.placed_call import PlacedCall
from telephony.simulator import Handset, callees
from tests.support.call_processes import Server, world
from tests.support.call_processes import until as condition

pytestmark = pytest.mark.real_time

PEOPLE = [f"+1415555{n:04}" for n in range(1000, 1040)]
FAST = {"at_once": 10, "per_second": 50, "max_s": 20, "retry": "busy=1/1s,no-answer=0,failed=1/1s"}
FAST |= {"abandoned_after_s": 30}  # a busy machine is late with the first words


async def brief(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.heard(0.3)
    phone.hang_up()


async def presses_nine(phone: Handset) -> None:
    await phone.agent_speaks()
    phone.press("9")
    await asyncio.Event().wait()


async def endless(phone: Handset) -> None:
    await phone.say("hello")
    await asyncio.Event().wait()


async def until(server: Server, name: str, *statuses: str) -> dict[str, Any]:
    while True:
        code, shown = await server.ask("GET", f"/campaigns/{name}")
        assert code == 200, shown
        if shown["status"] in statuses:
            return dict(shown)
        await asyncio.sleep(0.1)


def csv_of(numbers: list[str]) -> str:
    return "\n".join(["id,to,name", *(f"p{n},{number},N{n}" for n, number in enumerate(numbers))])


async def test_a_campaign_runs_to_its_end_through_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults of requests, lost, doubled and reordered callbacks: each number is called once for each attempt."""
    async with world(f"sqlite:///{tmp_path}/records.db", "a") as it:
        monkeypatch.setattr(call_state, "_LIST_AFTER_S", (0.1, 0.3, 0.6))
        server, twilio = it.servers["a"], it.twilio
        twilio.default_callee = callees.busy(after_s=0.05)
        twilio.callees[PEOPLE[0]] = callees.person(brief, after_s=0.05)
        twilio.callees[PEOPLE[1]] = callees.no_answer(after_s=0.1)
        twilio.faults.create = deque(["", "429", "500-after", "500", "500", "500"])
        twilio.faults.lost, twilio.faults.doubled, twilio.faults.reordered_s = ("ringing",), ("completed",), 0.3
        people = [*PEOPLE[:12], "+1 415 555 1039 x42", "12"]
        body = {"name": "spring", "csv": csv_of(people), "config": FAST, "run": True}
        code, made = await server.ask("POST", "/campaigns", body, key="k")
        assert code == 201, made
        assert [each["lines"] for each in made["invalid"]] == [[15]], "a bad line is reported with its line"
        again = await server.ask("POST", "/campaigns", body, key="k")
        assert again[0] == 200 and (await server.ask("POST", "/campaigns", body))[0] == 409
        shown = await until(server, "spring", "finished")
        assert shown["funnel"]["states"] == {"done": 13, "invalid": 1}
        code, results = await server.ask("GET", "/campaigns/spring/export")
        sids = Counter(each["sid"] for row in results["contacts"] for each in row["attempts"] if each["sid"])
        placed = Counter(call.sid for call in twilio.calls.values())
        assert sids == placed and max(placed.values()) == 1, (
            "each call belongs to one attempt, each attempt has one call"
        )
        rows = {row["id"]: row for row in results["contacts"]}
        assert rows["p0"]["reason"] == "reached" and "agent" in rows["p0"]["transcript"]
        assert rows["p1"]["reason"] == "no-answer"
        assert all(len(rows[f"p{n}"]["attempts"]) == 2 for n in range(2, 12)), "busy numbers are called twice"


async def test_an_error_of_the_queue_delays_the_calls_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    enqueue, broken, tries = durable_queue._enqueue, True, 0

    def put(*attempt: Any) -> None:
        nonlocal tries
        tries += 1
        if broken:
            raise OperationalError("insert", {}, OSError("disk I/O error"))
        enqueue(*attempt)

    monkeypatch.setattr(durable_queue, "_enqueue", put)
    monkeypatch.setattr(queue_backoff, "_FIRST_S", 0.05)
    monkeypatch.setattr(queue_backoff, "_MAX_S", 0.05)
    monkeypatch.setattr(
        dialer, "_QUEUED_S", 4 * dialer.TICK_S
    )  # meanwhile no contact is due, and the queue is not used
    async with world(f"sqlite:///{tmp_path}/records.db", "a") as it:
        server, it.twilio.default_callee = it.servers["a"], callees.busy(after_s=0.05)
        assert (await server.ask("GET", "/readyz"))[1]["campaigns"] == "ok"
        body = {"name": "spring", "csv": csv_of(PEOPLE[:2]), "config": {**FAST, "retry": "busy=0"}, "run": True}
        assert (await server.ask("POST", "/campaigns", body))[0] == 201
        await condition(lambda: tries > 1)
        held = (await server.ask("GET", "/campaigns/spring"))[1]["held"]
        assert held["reason"] == "queue" and "disk I/O error" in held["text"]
        assert (await server.ask("GET", "/readyz"))[1]["campaigns"] == "queue unavailable"
        broken = False
        await until(server, "spring", "finished")
        assert len(it.twilio.calls) == 2
        assert (await server.ask("GET", "/readyz"))[1]["campaigns"] == "ok"
    lines = [record.levelname for record in caplog.records if "queue of attempts" in record.getMessage()]
    assert lines == ["ERROR", "WARNING"], "one line for the error and one for its end"


async def test_pause_and_an_opt_out_hold_at_once_and_a_stop_ends_what_waits(tmp_path: Path) -> None:
    """The first person presses the key of TELEPHONY_OPT_OUT_KEY. The last one is put on the list by the API."""
    async with world(f"sqlite:///{tmp_path}/records.db", "a", telephony_opt_out_key="9") as it:
        server, twilio = it.servers["a"], it.twilio
        twilio.default_callee = callees.busy(after_s=0.05)
        twilio.callees[PEOPLE[0]] = callees.person(presses_nine, after_s=0.05)
        slow = {**FAST, "at_once": 1, "per_second": 4, "retry": "busy=0"}
        body = {"name": "spring", "csv": csv_of(PEOPLE), "config": slow, "run": True}
        assert (await server.ask("POST", "/campaigns", body))[0] == 201
        ended: dict[str, Any] = {}
        while ended.get("reason") is None:
            _, page = await server.ask("GET", "/campaigns/spring/contacts?limit=1")
            ended = page["contacts"][0]
            await asyncio.sleep(0.05)
        assert (ended["id"], ended["reason"]) == ("p0", "opted-out")
        await condition(lambda: len(twilio.calls) >= 3)
        code, listed = await server.ask("POST", "/do-not-call", {"number": PEOPLE[-1], "remark": "by letter"})
        assert (code, listed["added"]) == (201, True)
        paused = (await server.ask("POST", "/campaigns/spring/pause"))[1]
        assert (paused["pause_reason"], paused["held"]["reason"]) == ("user", "paused")
        placed = len(twilio.calls)
        await asyncio.sleep(1.5)
        assert len(twilio.calls) <= placed + 1, "a call that was being placed at that moment"
        code, page = await server.ask("GET", "/campaigns/spring/contacts?search=p3&after=p29&limit=2&state=pending")
        assert [row["id"] for row in page["contacts"]] == ["p30", "p31"] and page["next"] == "p31"
        assert (await server.ask("POST", "/campaigns/spring/resume"))[1]["status"] == "running"
        await condition(lambda: len(twilio.calls) >= placed + 3)
        twilio.default_callee = callees.person(endless, after_s=0.05)
        await condition(lambda: any(call.status == "in-progress" for call in twilio.calls.values()))
        assert (await server.ask("POST", "/campaigns/spring/stop"))[1]["status"] == "stopped"
        await asyncio.sleep(1.0)
        assert any(call.status == "in-progress" for call in twilio.calls.values()), "a live call goes on"
        assert (await server.ask("POST", "/campaigns/spring/stop"))[1]["pause_reason"] == "hang-up"
        await condition(lambda: all(call.is_over for call in twilio.calls.values()))
        code, refused = await server.ask("POST", "/campaigns/spring/resume")
        assert code == 409 and "was stopped" in refused["error"]
        assert twilio.placed_to(PEOPLE[-1]) == []
        assert (await server.ask("DELETE", f"/do-not-call/{PEOPLE[-1]}"))[0] == 200
        assert (await server.ask("GET", "/do-not-call"))[1] == {"numbers": [], "next": None}
        audited = (await server.ask("GET", "/console/api/audit?action=configure"))[1]["entries"]
        changes = [entry["detail"].rpartition(" subject ")[0] or entry["detail"] for entry in reversed(audited)]
        assert changes == ["campaign spring: created and run", "do-not-call list: add",
                           "campaign spring: pause", "campaign spring: run", "campaign spring: stop",
                           "campaign spring: stop",
                           "campaign spring: run", "do-not-call list: remove"]  # fmt: skip
        assert PEOPLE[-1] not in str(audited)


async def test_an_attempt_that_an_error_interrupts_ends_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first number meets errors again and again, so its attempt is given up. The second number meets one error, so
    its attempt is finished later. Neither is called twice."""
    real = AttemptCall.ended

    def ended(it: AttemptCall, call: PlacedCall, now: datetime) -> Attempt:
        if it.plan.to in PEOPLE[:2]:
            raise ValueError("an error of the user's result type")
        return real(it, call, now)

    def elsewhere(attempt: Attempt, *rest: Any) -> Attempt:
        if attempt.number == PEOPLE[0]:
            raise ValueError("the same error")
        return ended_elsewhere(attempt, *rest)

    monkeypatch.setattr(AttemptCall, "ended", ended)
    monkeypatch.setattr(attempt_work, "ended_elsewhere", elsewhere)
    monkeypatch.setattr(dialer, "_TRY_AGAIN_S", 0.0)
    async with world(f"sqlite:///{tmp_path}/records.db", "a") as it:
        server, twilio = it.servers["a"], it.twilio
        twilio.default_callee = callees.busy(after_s=0.05)
        config = {**FAST, "retry": "busy=0,failed=0"}
        body = {"name": "spring", "csv": csv_of(PEOPLE[:3]), "config": config, "run": True}
        assert (await server.ask("POST", "/campaigns", body))[0] == 201
        await until(server, "spring", "finished")
        _, results = await server.ask("GET", "/campaigns/spring/export")
        assert [row["reason"] for row in results["contacts"]] == ["failed", "busy", "busy"]
        assert sorted(call.to for call in twilio.calls.values()) == PEOPLE[:3], "each number is called once"


async def test_what_cannot_be_made_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with world(f"sqlite:///{tmp_path}/records.db", "a") as it:
        server = it.servers["a"]
        for changes, code, reason in (
            ({"config": {"agent": "desk:nobody"}}, 409, "no agent 'desk:nobody'"),
            ({"config": {"result": "os:system"}}, 409, "give a pydantic model"),
            ({"config": {"result": "antigravity:fly"}}, 409, "not in a module"),
            ({"config": {"at_onc": 3}}, 400, "at_onc"),
            ({"name": "a b"}, 400, "write letters"),
            ({"csv": None}, 400, "csv or as contacts"),
            ({"csv": "name\nAda\n"}, 409, "no column with the numbers"),
        ):
            body = {"name": f"c{len(reason)}", "csv": csv_of(PEOPLE[:1]), **changes}
            got, answer = await server.ask("POST", "/campaigns", body)
            assert (got, reason in str(answer.get("error", ""))) == (code, True), answer
        assert (await server.ask("GET", "/campaigns/none"))[0] == 404
        assert (await server.ask("GET", "/campaigns", token="wrong"))[0] == 401
        assert (await server.ask("POST", "/do-not-call", {"number": "12"}))[0] == 400
