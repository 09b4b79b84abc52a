"""`POST /calls` and `GET /calls/{id}` where the records are in a database: over restarts, over processes, and when a
process has died in the middle."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from telephony import DialingRules
from telephony.call.ending import EndReason, Release
from telephony.records.database import DatabaseRecords
from telephony.simulator import callees
from telephony.twilio.rest import TwilioRest
from tests.support.call_processes import (
    OWN,
    PUBLIC,
    TO,
    World,
    finished,
    listener,
    patient,
    until,
    world,
)
from tests.support.databases import Cluster

pytestmark = pytest.mark.real_time

BODY = {"to": TO}


async def test_a_key_is_remembered_over_a_restart(database_url: str) -> None:
    async with world(database_url) as it:
        it.twilio.default_callee = callees.busy(after_s=0.2)
        before = await it.start("a")
        status, call = await before.ask("POST", "/calls", BODY, key="k")
        assert status == 201
        call = await finished(before, call)
        await it.stop("a")
        after = await it.start("a")
        status, again = await after.ask("POST", "/calls", BODY, key="k")
        assert (status, again["id"], again["status"], again["over"]) == (200, call["id"], "busy", True)
        assert (await after.ask("POST", "/calls", {**BODY, "max_s": 9}, key="k"))[0] == 422
        for name in (call["id"], call["sid"]):
            status, known = await after.ask("GET", f"/calls/{name}")
            assert (status, known["id"], known["sid"], known["reached"]) == (200, call["id"], call["sid"], False)
        assert (known["to"], known["caller"], known["instance"]) == ("+14•••••••23", OWN, "a")
        assert (await after.ask("GET", "/calls/another"))[0] == 404
        assert len(it.twilio.placed_to(TO)) == 1


async def test_one_key_at_two_processes_at_once_is_one_call(shared_database_url: str) -> None:
    async with world(shared_database_url, "a", "b") as it:
        it.twilio.default_callee = callees.busy(after_s=0.5)
        for round_number in range(5):
            key, body = f"k{round_number}", {"to": f"+1415555012{round_number}"}
            posts = [it.servers[name].ask("POST", "/calls", body, key=key) for name in "abababab"]
            answers = await asyncio.gather(*posts)
            assert Counter(status for status, _ in answers) == {201: 1, 200: 7}
            assert len({call["id"] for _, call in answers}) == 1
            assert len({call["to"] for _, call in answers}) == 1, "also while it is still being placed"
        numbers = [f"+1415555012{round_number}" for round_number in range(5)]
        await until(lambda: all(map(it.twilio.placed_to, numbers)))
        assert [len(it.twilio.placed_to(number)) for number in numbers] == [1] * 5


async def test_a_refused_call_uses_up_no_key(database_url: str) -> None:
    async with world(database_url, "a") as it:
        it.twilio.default_callee = callees.busy(after_s=0.1)
        it.apps["a"].state.dialer.rules = DialingRules(countries=["DE"])
        assert (await it.servers["a"].ask("POST", "/calls", BODY, key="k"))[0] == 409
        it.apps["a"].state.dialer.rules = DialingRules.at_any_hour()
        assert (await it.servers["a"].ask("POST", "/calls", {**BODY, "max_s": 9}, key="k"))[0] == 201


async def died_in_mid_create(it: World, key: str, *, made: bool, instance: str, lease_s: float = 0.0) -> str:
    """Makes the remains of a process that was killed while it sent a request to Twilio: the claim, the record, the call
    if `made`, and for `lease_s` its lease.
    """
    phone = it.phone("b")
    begun = phone.call_records.placing("of-the-dead", TO, OWN)
    begun.changes.update(instance=instance, process=f"of {instance}")  # type: ignore[attr-defined]
    if lease_s:
        with closing(DatabaseRecords(it.url)) as database:
            database.renew(f"of {instance}", ttl_s=lease_s, now=phone.sources.now())
    digest = sha256(b'{"to": "+14155550123"}').hexdigest()
    await phone.call_records.client.reserve("idempotency key", key, 60, f"{digest}:of-the-dead", begun)
    if made:
        rest = phone.control
        assert isinstance(rest, TwilioRest)
        address = f"{PUBLIC}/i/{instance}"
        await rest.create_call(
            to=TO,
            from_=OWN,
            url=f"{address}/outgoing-answer/of-the-dead",
            status_callback=f"{address}/outgoing-status/of-the-dead",
        )
    return "of-the-dead"


async def test_a_process_that_died_while_it_placed_a_call_is_followed_up(shared_database_url: str) -> None:
    async with world(shared_database_url, "b") as it:
        it.twilio.default_callee = callees.Callee(listener, after_s=3.0)
        call_id = await died_in_mid_create(it, "k", made=True, instance="a", lease_s=60.0)
        it.twilio.webhooks.reach[f"{PUBLIC}/i/a"] = it.servers["b"].address + "/i/a"  # the proxy's way out
        status, call = await it.servers["b"].ask("POST", "/calls", BODY, key="k")
        assert (status, call["id"], call["over"]) == (200, call_id, False), "it may live: it is told of, and no more"
        assert not it.apps["b"].state.dialer.calls
        again = await it.start("a")  # what was called so is back
        status, call = await again.ask("POST", "/calls", BODY, key="k")
        assert (status, call["id"]) == (200, call_id)
        it.twilio.webhooks.reach[f"{PUBLIC}/i/a"] = again.address + "/i/a"
        call = await finished(again, call)
        assert (call["status"], call["error"]) == ("completed", "")
        assert [line["who"] for line in call["transcript"]][:1] == ["agent"], (
            "the call had its conversation, with the plan of the request"
        )
        assert len(it.twilio.placed_to(TO)) == 1


async def test_a_call_that_was_never_made_is_not_made_later(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.outbound.call_state._LIST_AFTER_S", (0.05, 0.1))
    async with world(database_url, "b") as it:
        await died_in_mid_create(it, "k", made=False, instance="a")
        server = it.servers["b"]
        status, call = await server.ask("POST", "/calls", BODY, key="k")
        assert status == 200
        call = await finished(server, call)
        assert call["status"] == "failed" and "The call was not made." in call["error"]
        assert not it.twilio.placed_to(TO)
        status, again = await server.ask("POST", "/calls", BODY, key="k")
        assert (status, again["id"], again["status"]) == (200, call["id"], "failed")


async def test_a_request_for_an_orphaned_call_does_not_continue_its_conversation(shared_database_url: str) -> None:
    """Without the request the words for the callee are not known, so the call is ended after the answer."""
    async with world(shared_database_url, "b") as it:
        it.twilio.default_callee = callees.Callee(patient, after_s=2.0)
        call_id = await died_in_mid_create(it, "k", made=True, instance="a")
        it.twilio.webhooks.reach[f"{PUBLIC}/i/a"] = it.servers["b"].address + "/i/a"
        call = await finished(it.servers["b"], {"id": call_id})
        assert call["over"] and not call["transcript"] and not it.phone("b").registry
        (placed,) = it.twilio.placed_to(TO)
        assert not placed.streams and placed.status == "completed"


async def test_a_database_that_is_down_takes_no_calls_down_but_a_key_needs_it(
    postgresql: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(postgresql.new_database(), "a") as it:
        it.twilio.default_callee = callees.busy(after_s=0.1)
        server = it.servers["a"]
        it.twilio.add_number(OWN, voice_url=f"{PUBLIC}/incoming-call")
        postgresql.stop()
        try:
            call_in = await it.twilio.ring(caller=listener)
            assert len(call_in.heard) > 4000 and not call_in.warnings, "calls come in as ever"
            status, known = await server.ask("GET", f"/calls/{call_in.sid}")
            assert (status, known["direction"]) == (200, "inbound")
            status, told = await server.ask("POST", "/calls", BODY, key="k")
            assert status == 503 and "twice" in told["error"]
            status, call = await server.ask("POST", "/calls", BODY)
            assert status == 201
            assert (await finished(server, call))["status"] == "busy"
            status, ready = await server.ask("GET", "/readyz")
            assert (status, ready["records"]) == (200, "unavailable")
        finally:
            postgresql.start()
        client = it.phone("a").call_records.client
        await until(lambda: not client.fault and not client.waiting)
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert [line.partition(":")[0] for line in errors] == [
            "The database cannot be used, and calls continue without it",
            "A call with an Idempotency-Key was not placed",
        ]
        it.apps["a"].state.dialer.calls.clear()
        assert (await server.ask("GET", f"/calls/{call_in.sid}"))[1]["over"], "what was noted meanwhile was written"
        assert (await server.ask("POST", "/calls", BODY, key="k"))[0] == 201


async def test_calls_that_come_in_are_recorded(tmp_path: Path) -> None:
    async with world(f"sqlite:///{tmp_path}/records.db", "a", "b") as it:
        it.twilio.add_number(OWN, voice_url=f"{PUBLIC}/incoming-call")
        call = await it.twilio.ring(caller=listener)
        await until(lambda: not it.phone("a").registry and not it.phone("a").call_records.client.waiting)
        status, known = await it.servers["b"].ask("GET", f"/calls/{call.sid}")
        assert status == 200
        assert (known["id"], known["direction"], known["instance"], known["agent"]) == (call.sid, "inbound", "a", "Blu")
        assert (known["status"], known["over"], known["reason"]) == ("completed", True, "hung up")
        assert (known["caller"], known["called"]) == ("+14•••••••00", OWN)
        assert known["started_at"] < known["ended_at"]


async def test_numbers_are_kept_where_that_is_wanted(tmp_path: Path) -> None:
    async with world(f"sqlite:///{tmp_path}/records.db", "a", telephony_record_numbers=True) as it:
        it.twilio.default_callee = callees.busy(after_s=0.1)
        _, call = await it.servers["a"].ask("POST", "/calls", BODY)
        await finished(it.servers["a"], call)
        await it.stop("a")
        await it.start("a", telephony_record_numbers=True)
        assert (await it.servers["a"].ask("GET", f"/calls/{call['id']}"))[1]["to"] == TO


async def test_any_process_hangs_a_call_up(shared_database_url: str) -> None:
    async with world(shared_database_url, "a", "b") as it:
        it.twilio.default_callee = callees.Callee(patient, after_s=0.1)
        a, b = it.servers["a"], it.servers["b"]
        _, call = await a.ask("POST", "/calls", BODY, key="k")
        assert (await b.ask("DELETE", "/calls/another"))[0] == 404
        while (told := await b.ask("DELETE", f"/calls/{call['id']}"))[0] == 409:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert told[0] == 202
        call = await finished(a, call)
        assert call["status"] in ("completed", "canceled"), "in whatever state it was"
        await until(lambda: not it.phone("a").call_records.client.waiting)
        status, told = await b.ask("DELETE", f"/calls/{call['id']}")
        assert (status, told["over"]) == (200, True)


async def test_a_call_that_came_in_to_a_process_that_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(f"sqlite:///{tmp_path}/records.db", "a", "b") as it:
        it.twilio.add_number(OWN, voice_url=f"{PUBLIC}/incoming-call")
        call = it.twilio.start_ringing(caller=patient)
        await until(lambda: call.streams and len(call.heard) > 4000)
        a, b = it.phone("a"), it.servers["b"]
        await until(lambda: not a.call_records.client.waiting)
        monkeypatch.setattr(a.call_records.client, "note", lambda *arguments, **changes: None)  # it tells no more
        call.phone.hang_up()
        await call.finished()
        status, known = await b.ask("GET", f"/calls/{call.sid}")
        assert (status, known["status"]) == (200, "in-progress"), "it may go on"
        with closing(DatabaseRecords(it.url)) as database:
            database.leave(a.call_records.client.process)
        status, known = await b.ask("GET", f"/calls/{call.sid}")
        assert (status, known["status"], known["over"], known["caller"]) == (200, "completed", True, "+14•••••••00")


# --- what comes after a stream, asked of a process that does not know the call --------------------------------------


@pytest.mark.parametrize("shared", [True, False])
async def test_after_another_processs_goodbye_the_call_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, shared: bool
) -> None:
    """Our side closes the stream, and Twilio requests the next TwiML from another process."""
    caplog.set_level(logging.INFO, "telephony.web.webhooks")
    async with world(f"sqlite:///{tmp_path}/a.db", "a") as it:
        it.url = it.url if shared else f"sqlite:///{tmp_path}/b.db"
        other = await it.start("b")
        phone = it.phone("a")
        it.twilio.add_number(OWN, voice_url=f"{PUBLIC}/incoming-call")
        it.twilio.webhooks.reach = {f"{PUBLIC}/i/a/after-stream": f"{other.address}/i/a/after-stream",
                                    **it.twilio.webhooks.reach}  # fmt: skip
        call = it.twilio.start_ringing(caller=patient)
        await until(lambda: call.streams and len(call.heard) > 4000 and len(phone.registry))
        (talking,) = phone.registry
        talking._parts.lifetime.end(EndReason.AGENT_HUNG_UP, release=Release.CLOSE)
        await call.finished()
        assert call.status == "completed"
    what = "goodbye): hang up." if shared else "an unknown call): apologise."
    assert [record.getMessage() for record in caplog.records if record.name == "telephony.web.webhooks"] == [
        f"The media stream has ended ({what}"
    ]
