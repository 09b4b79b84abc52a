"""The webhook of a call was sent to one process, its stream to another, and Twilio requests the next TwiML from the
first. This process answers from the records. If the records contain nothing, the caller still hears something. A call
is never restarted, a live call is never hung up, and a caller never gets stream after stream in silence.
"""

from __future__ import annotations

import asyncio
import json
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from benchmarks.extent import extent
from realtime_core import RealtimeAgent
from realtime_core.connection.memory import MemoryConnection
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from telephony import send_digits, transfer
from telephony.call import registry as registry_module
from telephony.call.call import Call, CallInfo
from telephony.call.ending import EndReason, Release
from telephony.call.leg.next_twiml import StreamEnd, Why
from telephony.records.call_record import CallRecord
from telephony.simulator import callees
from telephony.simulator.calls import SimulatedCall
from telephony.simulator.handset import Handset
from telephony.web import calls_elsewhere
from tests.support.call_processes import OWN, PUBLIC, World, break_stream, patient, until, world
from tests.support.databases import Cluster
from tests.support.exchange import CallerPhone, SecondLeg, hear_out, story

real_time = pytest.mark.real_time
CALL = "CA" + "1" * 32


async def hangs_up(phone: Handset) -> None:
    phone.hang_up()


@asynccontextmanager
async def two(url: str | None, *, to_a: bool = True, **settings: Any) -> AsyncIterator[World]:
    """Webhooks go to a, and streams to b. The request for the next TwiML goes to a, or to b if not `to_a`. With `url`
    None, each process has its own memory.
    """
    async with world(url or "sqlite://", **settings) as it:
        it.url = url  # type: ignore[assignment]
        await it.start("a", telephony_fallback_number="+14155550111")
        b = await it.start("b", telephony_fallback_number="+14155550111")
        it.twilio.add_number(OWN, voice_url=f"{PUBLIC}/incoming-call")
        it.twilio.default_callee = callees.person(hangs_up, after_s=0.1)
        special = {f"{PUBLIC}/i/a/media-stream": f"{b.address}/i/a/media-stream"}
        if not to_a:
            special[f"{PUBLIC}/i/a/after-stream"] = f"{b.address}/i/a/after-stream"
        else:  # also what is asked about a stream that was given b's name
            special[f"{PUBLIC}/i/b/after-stream"] = f"{it.servers['a'].address}/i/b/after-stream"
        it.twilio.webhooks.reach = {**special, **it.twilio.webhooks.reach}
        yield it


async def talks(it: World, call: SimulatedCall) -> Call:
    """The call has its stream, at b, and the caller hears the agent."""
    await until(lambda: call.streams and len(call.heard) > 4000 and any(True for _ in it.phone("b").registry))
    talking: Call
    (talking,) = it.phone("b").registry
    return talking


async def row_of(it: World, sid: str) -> CallRecord:
    for name in "ab":
        await until(lambda: not it.phone(name).call_records.client.waiting)  # noqa: B023
    row: CallRecord | None = await it.phone("b").call_records.client.call(sid)
    assert row is not None
    return row


# --- real calls ----------------------------------------------------------------------------------------------------


@real_time
async def test_after_a_goodbye_elsewhere_the_call_ends_and_is_not_restarted(shared_database_url: str) -> None:
    async with two(shared_database_url) as it:
        call = it.twilio.start_ringing(caller=patient)
        talking = await talks(it, call)
        assert len(it.phone("a").registry) == 1, "a has announced the call, and connected its session ahead"
        talking._parts.lifetime.end(EndReason.AGENT_HUNG_UP, release=Release.CLOSE)
        await call.finished()
        assert (len(call.streams), call.status, it.twilio.placed_to("+14155550111")) == (1, "completed", [])


@real_time
async def test_a_stream_lost_elsewhere_goes_back_to_the_process_that_has_the_call(shared_database_url: str) -> None:
    async with two(shared_database_url) as it:
        call = it.twilio.start_ringing(caller=patient)
        talking = await talks(it, call)
        for streams in (2, 3):
            break_stream(call)
            await until(lambda: len(call.streams) == streams and call.stream is not None)  # noqa: B023
            await until(lambda: call.stream is not None and len(call.stream.heard) > 2000)
            assert list(it.phone("b").registry) == [talking], "the same call, not another one"
            row = await row_of(it, call.sid)
            assert (row.status, row.stream, row.instance, row.offered) == ("in-progress", "open", "b", 0)
        break_stream(call)
        await call.finished()
        assert len(call.streams) == 3 and call.status == "completed"
        await until(lambda: not it.phone("b").registry)


@real_time
async def test_a_new_stream_is_offered_when_that_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the call writes when the stream starts. An offer that is written later would count as open."""
    async with two(f"sqlite:///{tmp_path}/records.db") as it:
        call = it.twilio.start_ringing(caller=patient)
        await talks(it, call)
        database: Any = it.phone("a").call_records.client._database
        write = database.note

        def write_late(news: Any) -> None:
            time.sleep(0.1)  # the process waits for at most one second until several updates are written
            write(news)

        monkeypatch.setattr(database, "note", write_late)
        break_stream(call)
        await until(lambda: len(call.streams) == 2 and call.streams[1].heard)
        async with asyncio.timeout(60):
            while ((row := await row_of(it, call.sid)).stream, row.offered) != ("open", 0):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@real_time
async def test_a_process_that_announced_a_call_says_nothing_of_its_end(
    shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "_WARM_S", 0.5)
    async with two(shared_database_url) as it:
        call = it.twilio.start_ringing(caller=patient)
        await talks(it, call)
        await until(lambda: not it.phone("a").registry)
        row = await row_of(it, call.sid)
        assert (row.status, row.stream, row.instance, row.reason) == ("in-progress", "open", "b", "")
        call.phone.hang_up()
        await call.finished()
        await until(lambda: not it.phone("b").registry)
        row = await row_of(it, call.sid)
        assert (row.status, row.stream, row.instance, row.reason) == ("completed", "goodbye", "b", "hung up")


def draining(it: World) -> None:
    it.phone("b").registry.draining = True


def full(it: World) -> None:
    it.phone("b").registry.max_calls = 0
    it.phone("b").limits.caps = it.phone("b").limits.caps.__class__(0)


def another_account(it: World) -> None:
    admission = it.phone("b").stream_admission
    admission._settings = admission._settings.model_copy(update={"twilio_account_sid": "AC" + "9" * 32})


def used_token(it: World) -> None:
    async def claim(kind: str, key: str, ttl_s: float) -> bool:
        return False

    it.phone("b").call_records.client.claim = claim  # type: ignore[method-assign]


REFUSALS = [draining, full, another_account, used_token]
EACH = [(why, shared, to_a) for why in REFUSALS for shared in (True, False) for to_a in (True, False)]
SOME = [(draining, True, True), (full, True, False), (another_account, True, True), (used_token, True, False),
        (draining, False, True), (used_token, False, False)]  # fmt: skip


@real_time
@pytest.mark.parametrize(("why", "shared", "to_a"), extent(SOME, EACH))
async def test_a_refused_stream_leads_to_an_apology_and_no_other_stream(
    tmp_path: Path, why: Callable[[World], None], shared: bool, to_a: bool
) -> None:
    async with two(f"sqlite:///{tmp_path}/records.db" if shared else None, to_a=to_a) as it:
        why(it)
        call = it.twilio.start_ringing(caller=patient)
        await call.finished()
        assert len(call.streams) == 1
        assert [placed.to for placed in it.twilio.placed_to("+14155550111")] == ["+14155550111"], "the fallback number"
        if shared:
            row = await row_of(it, call.sid)
            assert (row.stream, row.status) == ("refused", "completed") and row.reason.startswith("refused: ")
            await until(lambda: not it.phone("a").registry or not to_a)  # a needs its own session no more


@real_time
async def test_a_refused_stream_in_one_process_is_not_offered_again(tmp_path: Path) -> None:
    async with world(f"sqlite:///{tmp_path}/records.db", "a") as it:
        phone = it.phone("a")
        it.twilio.add_number(OWN, voice_url=f"{PUBLIC}/incoming-call")
        phone.stream_admission._key = b"another"  # as if the secret had changed between the webhook and the stream

        def parameters(call_sid: str) -> dict[str, str]:
            return {"token": "v1.x.1.y.z"}

        object.__setattr__(phone.stream_admission, "parameters", parameters)
        call = it.twilio.start_ringing(caller=patient)
        await call.finished()
        assert len(call.streams) == 1
        await until(lambda: not phone.registry)


@real_time
async def test_each_process_for_itself_does_not_restart_a_call() -> None:
    """Without shared records nothing is known: an apology and the fallback number, and no second stream."""
    async with two(None) as it:
        call = it.twilio.start_ringing(caller=patient)
        talking = await talks(it, call)
        talking._parts.lifetime.end(EndReason.AGENT_HUNG_UP, release=Release.CLOSE)
        await call.finished()
        assert len(call.streams) == 1
        assert it.twilio.placed_to("+14155550111")


@real_time
async def test_while_the_database_is_down_the_answer_is_an_apology_at_once(postgresql: Cluster) -> None:
    async with two(postgresql.new_database()) as it:
        call = it.twilio.start_ringing(caller=patient)
        talking = await talks(it, call)
        await row_of(it, call.sid)
        postgresql.stop()
        try:
            talking._parts.lifetime.end(EndReason.AGENT_HUNG_UP, release=Release.CLOSE)
            await call.finished()
        finally:
            postgresql.start()
        assert len(call.streams) == 1 and it.twilio.placed_to("+14155550111")


# --- what the records say ------------------------------------------------------------------------------------------


async def next_verbs(it: World, path: str = "after-stream", sid: str = CALL, **form: str) -> list[str]:
    """The verbs that a answers, and the instance in the address of a stream."""
    url = f"{PUBLIC}/i/a/{path}"
    whole = {"CallSid": sid, "From": "+15550001", "To": OWN, "CallStatus": "in-progress", **form}
    answer = await it.twilio.webhooks.ask(url, whole)
    verbs = ElementTree.fromstring(answer.body)
    stream = verbs.find("Connect/Stream")
    return [verb.tag for verb in verbs] + ([] if stream is None else [stream.get("url", "").split("/")[-2]])


def silent(sid: str) -> Any:
    """The parts of a call that the records read."""
    leg = SimpleNamespace(info=CallInfo(sid), had_stream=True)
    return SimpleNamespace(recorder=None, commands=None, lifetime=SimpleNamespace(reason=""), leg=leg)


async def tells(it: World, name: str, end: StreamEnd | None, sid: str = CALL) -> None:
    """This process has, or had, the call, and its stream is open, or ended so."""
    call = Call(silent(sid), {})
    result = it.phone(name).call_records
    if end is not None and end.why == "refused":
        result.refused(sid, "refused: no room")
    else:
        result.started(call)
        result.stream(call, None)
        if end is not None:
            result.stream(call, end)
    await until(lambda: not it.phone(name).call_records.client.waiting)


APOLOGY, AGAIN = ["Say", "Dial", "Hangup"], ["Connect", "Hangup", "b"]
ENDS: list[tuple[StreamEnd, list[str], list[str]]] = [
    # how it ended at b; what a answers; what a answers once b has died
    (StreamEnd("goodbye"), ["Hangup"], ["Hangup"]),
    (StreamEnd("goodbye", 2), ["Hangup"], ["Hangup"]),
    (StreamEnd("lost"), AGAIN, APOLOGY),
    (StreamEnd("lost", 2), APOLOGY, APOLOGY),
    (StreamEnd("stalled", 1), AGAIN, APOLOGY),
    (StreamEnd("stalled", 2), APOLOGY, APOLOGY),
    (StreamEnd("failed"), APOLOGY, APOLOGY),
    (StreamEnd("failed", twiml="<Response><Dial>+14155550111</Dial></Response>"), ["Dial"], ["Dial"]),
    (StreamEnd("refused"), APOLOGY, APOLOGY),
    (StreamEnd("transfer", twiml="<Response><Dial>+14155550123</Dial></Response>"), ["Dial"], APOLOGY),
    (StreamEnd("transfer"), AGAIN, APOLOGY),
    (StreamEnd("digits", 7, twiml="<Response><Play digits='1'/></Response>"), ["Play"], APOLOGY),
    (StreamEnd("digits", 7), AGAIN, APOLOGY),
    (StreamEnd("conference", twiml="<Response><Dial><Conference>x</Conference></Dial></Response>"), ["Dial"], APOLOGY),
    (StreamEnd("conference"), AGAIN, APOLOGY),
]


@real_time
async def test_another_process_answers_by_each_end(tmp_path: Path) -> None:
    async with two(f"sqlite:///{tmp_path}/records.db") as it:
        calls = {f"CA{number:032}": each for number, each in enumerate(ENDS)}
        for sid, (end, lives, _) in calls.items():
            await tells(it, "b", end, sid)
            assert await next_verbs(it, sid=sid, CallStatus="completed") == ["Hangup"], end
            assert await next_verbs(it, sid=sid) == lives, end
        client = it.phone("b").call_records.client
        await asyncio.to_thread(client._database.leave, client.process)
        for sid, (end, _, died) in calls.items():
            assert await next_verbs(it, sid=sid) == died, end


def test_every_documented_end_is_covered() -> None:
    assert {end.why for end, _, _ in ENDS} == set(get_args(Why))


@real_time
@pytest.mark.parametrize("end", [StreamEnd("lost"), StreamEnd("digits"), StreamEnd("transfer")], ids=lambda it: it.why)
async def test_new_streams_that_do_not_come_are_bounded(tmp_path: Path, end: StreamEnd) -> None:
    """Whichever process is asked: they count together."""
    async with two(f"sqlite:///{tmp_path}/records.db") as it:
        await tells(it, "b", end)
        answers = []
        for _ in range(6):
            answers.append(await next_verbs(it))
            await until(lambda: not it.phone("a").call_records.client.waiting)
        assert answers == [AGAIN, AGAIN, APOLOGY, APOLOGY, APOLOGY, APOLOGY]


@real_time
async def test_what_is_written_a_moment_later_is_waited_for(database_url: str) -> None:
    async with two(database_url) as it:
        await tells(it, "b", None)
        asking = asyncio.create_task(next_verbs(it))
        await asyncio.sleep(0.3)
        assert not asking.done()
        await tells(it, "b", StreamEnd("goodbye"))
        assert await asking == ["Hangup"]


@real_time
async def test_a_process_that_says_nothing_has_lost_the_stream_and_the_wait_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_elsewhere, "_WRITING_S", (0.05, 0.05, 0.0))
    async with two(f"sqlite:///{tmp_path}/records.db") as it:
        assert await next_verbs(it) == APOLOGY, "nobody knows it"
        await tells(it, "b", None)
        answers = []
        for _ in range(3):
            answers.append(await next_verbs(it))
            await until(lambda: not it.phone("a").call_records.client.waiting)
        assert answers == [AGAIN, AGAIN, APOLOGY]


def test_the_wait_is_shorter_than_twilio_s() -> None:
    assert sum(calls_elsewhere._WRITING_S) <= 2.5


@real_time
async def test_a_transfer_that_failed_brings_the_caller_back_to_the_process_that_has_the_call(tmp_path: Path) -> None:
    async with two(f"sqlite:///{tmp_path}/records.db") as it:
        assert await next_verbs(it, "after-dial", DialCallStatus="busy") == APOLOGY
        await tells(it, "b", StreamEnd("transfer"))
        assert await next_verbs(it, "after-dial", DialCallStatus="completed") == ["Hangup"]
        assert await next_verbs(it, "after-dial", DialCallStatus="busy") == AGAIN


@real_time
async def test_a_second_stream_that_is_refused_changes_nothing_for_a_call_that_continues(tmp_path: Path) -> None:
    async with two(f"sqlite:///{tmp_path}/records.db") as it:
        await tells(it, "b", None)
        it.phone("a").call_records.refused(CALL, "refused: the stream token has been used")
        row = await row_of(it, CALL)
        assert (row.status, row.stream, row.instance) == ("in-progress", "open", "b")


@real_time
async def test_a_call_whose_stream_went_elsewhere_is_left_to_that_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Process b has lost the stream and waits. The new stream was opened to c. Process b sends Twilio nothing about the
    live call.
    """
    async with two(f"sqlite:///{tmp_path}/records.db") as it:
        result: list[str] = []
        call = it.twilio.start_ringing(caller=patient)
        talking = await talks(it, call)
        (session,) = it.phone("b").registry._sessions.values()
        session.reattach._within_s = 1.0
        control = session.options.control
        assert control is not None
        monkeypatch.setattr(type(control), "redirect", lambda self, sid, twiml: result.append(twiml))
        c = await it.start("c", telephony_fallback_number="+14155550111")
        it.twilio.webhooks.reach = {
            f"{PUBLIC}/i/b/media-stream": f"{c.address}/i/b/media-stream", **it.twilio.webhooks.reach}  # fmt: skip
        break_stream(call)
        await until(lambda: len(it.phone("c").registry))
        await until(lambda: not it.phone("b").registry)
        assert not result and talking.ended == "another process has its stream"
        await until(lambda: call.stream is not None and len(call.stream.heard) > 4000)
        row = await row_of(it, call.sid)
        assert (row.status, row.stream, row.instance) == ("in-progress", "open", "c")
        call.phone.hang_up()
        await call.finished()


# --- which ends are told, by real calls ------------------------------------------------------------------------------


def calling(name: str, **arguments: str) -> Script:
    turn = Turn(Reply(say="Done."), filler="A moment.", calls=[ToolCall(name, json.dumps(arguments))])
    return Script(greeting=Reply(say="Hello."), turns=[turn], otherwise=Reply(say="Yes, we are open."))


class Ends:
    """Stores what a call reports about its streams."""

    def __init__(self) -> None:
        self.result: list[StreamEnd | None] = []

    def __call__(self, call: Call, end: StreamEnd | None) -> None:
        self.result.append(end)

    @property
    def whys(self) -> list[str]:
        return [end.why if end is not None else "open" for end in self.result]


async def holds_on(caller_phone: CallerPhone) -> None:
    await asyncio.sleep(20.0)


def breaking(connection: MemoryConnection) -> None:
    asyncio.get_running_loop().call_later(3.0, connection.break_)


def stalling(connection: MemoryConnection) -> None:
    def stall() -> None:
        for end in (connection, connection._peer):
            end.stall(600.0)

    asyncio.get_running_loop().call_later(3.0, stall)


@pytest.mark.virtual_time
async def test_a_caller_s_and_an_agent_s_end_and_lost_streams_are_reported_as_they_happen() -> None:
    ends = Ends()
    await story(hear_out, on_stream=ends)
    assert ends.whys == ["open", "goodbye"]
    for wire, why in ((breaking, "lost"), (stalling, "stalled")):
        ends = Ends()
        await story(holds_on, on_stream=ends, wire=wire, may_be_silent=True)
        assert ends.whys == ["open", why, "open", why, "open", why, "goodbye"]
        assert [end.reattached for end in ends.result if end is not None][:3] == [0, 1, 2]


@pytest.mark.virtual_time
@pytest.mark.parametrize("fallback", [None, "+14155550111"])
async def test_a_failed_call_is_reported(fallback: str | None) -> None:
    ends = Ends()

    def broken(info: CallInfo) -> RealtimeAgent[Any]:
        raise LookupError("no agent")

    await story(holds_on, on_stream=ends, agent=broken, fallback=fallback, may_be_silent=True)  # type: ignore[arg-type]
    assert ends.whys == ["open", "goodbye" if fallback is None else "failed"]
    assert (ends.result[-1].twiml is None) is (fallback is None)


@pytest.mark.virtual_time
@pytest.mark.parametrize("rest", [True, False])
async def test_what_the_agent_sends_the_caller_away_for_is_reported(rest: bool) -> None:
    async def asks(caller_phone: CallerPhone) -> None:
        await hear_out(caller_phone)
        await caller_phone.say("sorry_hours")
        await asyncio.sleep(60.0)

    async def accepts(leg: SecondLeg) -> None:
        await asyncio.sleep(4.0)
        leg.status("in-progress")
        leg.press("1")

    digits, cold = calling("send_digits", digits="1"), calling("transfer", target="kitchen")
    for script, why, warm in ((digits, "digits", False), (cold, "transfer", False), (cold, "conference", True)):
        if warm and not rest:
            continue  # it needs the API
        ends = Ends()
        tools: list[Any] = [send_digits(), transfer(kitchen="+14155550123", warm=warm)]
        agent = RealtimeAgent(name="Desk", tools=tools)
        await story(asks, on_stream=ends, script=script, agent=agent, rest=rest, human=accepts, may_be_silent=True)
        assert ends.whys[:2] == ["open", why]
        away = ends.result[1:3]
        assert away[0] is not None and away[0].twiml is not None
        if rest:
            assert away[1] is not None and away[1].twiml is None, "Twilio has the document"
        assert ends.whys[-1] in ("goodbye", "open")
