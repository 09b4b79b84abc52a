"""The simulated Twilio, driven by the official client, calling back an application of a few lines. In virtual time, and
where marked `over_both` over real sockets as well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from starlette.websockets import WebSocket
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from telephony.simulator import Handset, callees
from tests.support.twilio_world import (
    OTHER,
    OURS,
    THEIRS,
    Run,
    answers_as,
    over_both,
    quiet,
    read_to_the_end,
    run,
    until,
    world,
)

# --- outbound ------------------------------------------------------------------------------------------------------


@over_both
@pytest.mark.parametrize(
    ("callee", "status", "states", "sip"),
    [
        (callees.person(quiet, after_s=0.05), "completed", ["initiated", "ringing", "in-progress", "completed"], "200"),
        (callees.busy(after_s=0.05), "busy", ["initiated", "ringing", "busy"], "486"),
        (callees.no_answer(after_s=0.1), "no-answer", ["initiated", "ringing", "no-answer"], "487"),
        (callees.failed(after_s=0.05), "failed", ["initiated", "failed"], "404"),
    ],
    ids=["completed", "busy", "no-answer", "failed"],
)
def test_a_call_goes_through_its_states_and_reports_them(
    run: Run, callee: callees.Callee, status: str, states: list[str], sip: str
) -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[THEIRS] = callee
            sid = await it.create(
                status_callback=f"{it.app.url}/status",
                status_callback_event=["initiated", "ringing", "answered", "completed"],
            )
            call = await it.over(sid)
            await it.settled()
            result = sorted(it.app.of("/status"), key=lambda form: int(form["SequenceNumber"]))
            assert call.status == status
            assert [form["CallStatus"] for form in result] == states
            assert [form["SequenceNumber"] for form in result] == [str(n) for n in range(len(states))]
            assert result[-1]["SipResponseCode"] == sip
            assert {form["CallbackSource"] for form in result} == {"call-progress-events"}
            assert all(form["CallSid"] == sid and form["To"] == THEIRS for form in result)

    run(main)


def test_a_call_can_be_canceled_while_it_rings_and_ended_when_it_talks() -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[OTHER] = callees.no_answer()
            ringing = await it.create(OTHER)
            canceled = await it.ask(lambda client: client.calls(ringing).update(status="canceled"))
            assert canceled.status == "canceled"
            it.twilio.callees[THEIRS] = callees.person(quiet, after_s=0.05)
            talking = await it.create(twiml="<Response><Pause length='60'/></Response>")
            await until(lambda: it.twilio.calls[talking].status == "in-progress")
            ended = await it.ask(lambda client: client.calls(talking).update(status="completed"))
            assert (ended.status, ended.duration) == ("completed", "1")
            with pytest.raises(TwilioRestException) as refused:
                await it.ask(lambda client: client.calls(talking).update(status="completed"))
            assert refused.value.code == 21220

    run(main)


REFUSED: list[tuple[dict[str, Any], int]] = [
    ({"to": "12"}, 21211),
    ({"from_": "12"}, 21212),
    ({"from_": "+14155550111"}, 21210),
    ({"twiml": "x" * 4001}, 32018),
    ({"twiml": "<Response"}, 21205),
    ({"url": "nonsense"}, 21205),
    ({"url": "http://under_score.example.com/"}, 21205),
    ({"send_digits": "1+2"}, 21206),
    ({"timeout": 601}, 21208),
    ({"async_amd": "true", "machine_detection": "Enable"}, 21262),
]


@over_both
def test_what_twilio_refuses_is_refused_with_its_code(run: Run) -> None:
    async def main() -> None:
        async with world() as it:
            for options, code in REFUSED:
                given: dict[str, Any] = {"to": THEIRS, "from_": OURS}
                if "url" not in options:
                    given["twiml"] = "<Response/>"
                with pytest.raises(TwilioRestException) as refused:
                    await it.ask(lambda client, requested=given | options: client.calls.create(**requested))  # type: ignore[misc]
                assert (refused.value.status, refused.value.code) == (400, code)
            assert not it.twilio.calls
            it.twilio.undocumented.clear()  # some of them on purpose

    run(main)


@over_both
def test_credentials_calls_and_limits_are_refused_with_their_codes(run: Run) -> None:
    async def main() -> None:
        async with world(max_concurrent_calls=0) as it:
            wrong = Client(it.twilio.account_sid, "wrong", http_client=it._http)
            wrong.api.base_url = it.twilio.base_url
            requested: list[tuple[Callable[[], Any], int, int]] = [
                (lambda: wrong.calls("CA1").fetch(), 401, 20003),
                (lambda: it.client.calls("CA1").fetch(), 404, 20404),
                (lambda: it.client.calls.create(to=THEIRS, from_=OURS, twiml="<Response/>"), 429, 10004),
            ]
            it.twilio.faults.create.extend(["", "429"])
            requested.append((lambda: it.client.calls.create(to=THEIRS, from_=OURS, twiml="<Response/>"), 429, 20429))
            for request, status, code in requested:
                with pytest.raises(TwilioRestException) as refused:
                    await asyncio.to_thread(request)
                assert (refused.value.status, refused.value.code) == (status, code)

    run(main)


MAGIC = [
    ("+15005550001", THEIRS, 21212),
    ("+15005550006", "+15005550001", 21217),
    ("+15005550006", "+15005550002", 21214),
    ("+15005550006", "+15005550003", 21215),
    ("+15005550006", "+15005550004", 21216),
    (OURS, THEIRS, 21210),
]


def test_the_magic_numbers_of_test_credentials() -> None:
    async def main() -> None:
        async with world(test_credentials=True) as it:
            for from_, to, code in MAGIC:
                with pytest.raises(TwilioRestException) as refused:
                    options = {"to": to, "from_": from_, "twiml": "<Response/>"}
                    await it.ask(lambda client, requested=options: client.calls.create(**requested))  # type: ignore[misc]
                assert refused.value.code == code
            fine = await it.ask(
                lambda client: client.calls.create(to=THEIRS, from_="+15005550006", twiml="<Response/>")
            )
            assert fine.sid.startswith("CA")
            assert not it.twilio.calls, "no call is made"
            with pytest.raises(TwilioRestException) as refused:
                await it.ask(lambda client: client.calls("CA1").fetch())
            assert refused.value.code == 20008

    run(main)


def test_calls_beyond_the_rate_wait_in_the_queue() -> None:
    async def main() -> None:
        async with world(calls_per_second=10) as it:
            it.twilio.default_callee = callees.busy(after_s=0.01)
            loop = asyncio.get_running_loop()
            start = loop.time()
            sids = [await it.create() for _ in range(4)]
            for sid in sids:
                await it.over(sid)
            assert loop.time() - start >= 0.3

    run(main)


@over_both
def test_listings_are_filtered_and_paged(run: Run) -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.default_callee = callees.busy(after_s=0.01)
            sids = [await it.create(to) for to in (THEIRS, OTHER, THEIRS, THEIRS)]
            found = await it.ask(lambda client: client.calls.list(to=THEIRS, page_size=2))
            assert [call.sid for call in found] == [sids[3], sids[2], sids[0]]

    run(main)


# --- faults --------------------------------------------------------------------------------------------------------


@over_both
@pytest.mark.parametrize(
    ("fault", "made"), [("500", 0), ("500-after", 1), ("time-out", 0), ("time-out-after", 1)]
)  # fmt: skip
def test_a_create_that_fails_may_have_made_the_call(run: Run, fault: Any, made: int) -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.default_callee = callees.busy(after_s=0.01)
            it.twilio.faults.create.append(fault)
            with pytest.raises((TwilioRestException, requests.Timeout)):
                await it.create()
            assert len(it.twilio.placed_to(THEIRS)) == made

    run(main)


def test_callbacks_are_lost_doubled_and_reordered_on_request() -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.faults.lost = {"ringing"}
            it.twilio.faults.doubled = {"completed"}
            it.twilio.faults.reordered_s = 0.3
            it.twilio.callees[THEIRS] = callees.person(quiet, after_s=0.05)
            sid = await it.create(
                status_callback=f"{it.app.url}/status",
                status_callback_event=["initiated", "ringing", "answered", "completed"],
            )
            await it.over(sid)
            await it.settled()
            states = sorted(form["CallStatus"] for form in it.app.of("/status"))
            assert states == ["completed", "completed", "in-progress", "initiated"]

    run(main)


# --- who answered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("callee", "mode", "verdict"),
    [
        (callees.person(quiet, after_s=0.05, verdict_after_s=0.1), "Enable", "human"),
        (callees.voicemail("hello", after_s=0.05), "DetectMessageEnd", "machine_end_beep"),
        (answers_as("fax"), "DetectMessageEnd", "fax"),
        (answers_as("machine_end_beep"), "Enable", "machine_start"),
    ],
    ids=["human", "voicemail", "fax", "start"],
)  # fmt: skip
def test_answering_machine_detection_reports_while_the_call_continues(
    callee: callees.Callee, mode: str, verdict: str
) -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[THEIRS] = callee
            sid = await it.create(
                twiml="<Response><Pause length='4'/></Response>",
                machine_detection=mode,
                async_amd="true",
                async_amd_status_callback=f"{it.app.url}/amd",
            )
            await until(lambda: bool(it.app.of("/amd")))
            (form,) = it.app.of("/amd")
            assert form["AnsweredBy"] == verdict
            assert set(form) == {"CallSid", "AccountSid", "AnsweredBy", "MachineDetectionDuration"}
            fetched = await it.ask(lambda client: client.calls(sid).fetch())
            assert fetched.answered_by == verdict

    run(main)


def test_detection_that_is_waited_for_is_sent_to_the_url() -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[THEIRS] = callees.person(quiet, after_s=0.05, verdict_after_s=0.2)
            await it.over(await it.create(twiml=None, url=f"{it.app.url}/answered", machine_detection="Enable"))
            assert [form["AnsweredBy"] for form in it.app.of("/answered")] == ["human"]

    run(main)


# --- TwiML ---------------------------------------------------------------------------------------------------------


@over_both
def test_a_call_comes_in_is_streamed_and_goes_on_as_the_action_says(run: Run) -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.add_number(OURS, voice_url=f"{it.app.url}/incoming")
            it.app.twiml["/incoming"] = (
                "<Response><Nonsense/><Connect action='/after'><Stream url='WS/stream' statusCallback='/events'>"
                "<Parameter name='a' value='b'/></Stream></Connect></Response>"
            )
            it.app.twiml["/after"] = "<Response><Play digits='w12#'/></Response>"

            async def answer(websocket: WebSocket, sid: str) -> None:
                payload = "gICAgICAgIA=" * 1  # eight loud samples
                for _ in range(20):
                    await websocket.send_json({"event": "media", "streamSid": sid, "media": {"payload": payload}})
                await websocket.send_json({"event": "mark", "streamSid": sid, "mark": {"name": "m"}})
                while json.loads(await websocket.receive_text())["event"] != "mark":
                    pass
                await websocket.close()

            it.app.on_stream = answer
            call = await it.twilio.ring(to=OURS, caller=quiet)
            await it.settled()
            assert call.status == "completed"
            assert it.app.streams[0]["customParameters"] == {"a": "b"}
            assert it.app.streams[0]["callSid"] == call.sid
            assert [path for path, _ in it.app.requested if path != "/events"] == ["/incoming", "/after"]
            assert [form["StreamEvent"] for form in it.app.of("/events")] == ["stream-started", "stream-stopped"]
            assert call.phone.tones == "12#"
            assert call.warnings == ["<Response> knows no <Nonsense> (12200)"]

    run(main)


@over_both
def test_a_redirected_call_gets_a_stop_and_then_another_stream(run: Run) -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[THEIRS] = callees.person(quiet, after_s=0.05)
            ended: list[str] = []

            async def note(websocket: WebSocket, sid: str) -> None:
                await read_to_the_end(websocket, sid)
                ended.append(sid)

            it.app.on_stream = note
            document = f"<Response><Connect><Stream url='{it.app.websocket_url}/stream'/></Connect></Response>"
            sid = await it.create(twiml=document)
            await until(lambda: len(it.app.streams) == 1)
            await it.ask(lambda client: client.calls(sid).update(twiml=document))
            await until(lambda: len(it.app.streams) == 2)
            assert ended == [it.app.streams[0]["streamSid"]]
            it.twilio.calls[sid].phone.hang_up()
            assert (await it.over(sid)).status == "completed"
            await until(lambda: len(ended) == 2)

    run(main)


@over_both
def test_a_stream_that_cannot_be_opened_is_an_error_and_the_call_continues(run: Run) -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[THEIRS] = callees.person(quiet, after_s=0.05)
            sid = await it.create(
                twiml="<Response><Connect><Stream url='wss://phone.example.com/x'/></Connect>"
                f"<Redirect>{it.app.url}/next</Redirect></Response>"
            )
            await it.over(sid)
            assert len(it.app.of("/next")) == 1
            assert "31920" in it.twilio.calls[sid].warnings[0]

    run(main)


def test_keys_are_gathered_and_what_was_said_stops_for_them() -> None:
    async def main() -> None:
        async with world() as it:

            async def typist(phone: Handset) -> None:
                await phone.agent_speaks()
                phone.press("4")
                phone.press("2")
                phone.press("#")
                await asyncio.Event().wait()

            it.twilio.add_number(OURS, voice_url=f"{it.app.url}/incoming")
            it.app.twiml["/incoming"] = (
                "<Response><Gather action='/keys'><Say>We are open every day from noon until eleven in the evening."
                "</Say></Gather><Say>Too late.</Say></Response>"
            )
            await it.twilio.ring(to=OURS, caller=typist)
            assert [form["Digits"] for form in it.app.of("/keys")] == ["42"]

    run(main)


def test_two_legs_of_a_dial_hear_each_other_after_the_whisper() -> None:
    async def main() -> None:
        async with world() as it:
            heard: list[float] = []

            async def chef(phone: Handset) -> None:
                await phone.agent_speaks()  # the caller's voice
                heard.append(phone.now)
                await phone.say("goodbye")

            async def caller(phone: Handset) -> None:
                await asyncio.sleep(0.5)
                await phone.say("hello")
                await phone.agent_speaks()
                await asyncio.Event().wait()

            it.twilio.callees[OTHER] = callees.person(chef, after_s=0.1)
            it.twilio.add_number(OURS, voice_url=f"{it.app.url}/incoming")
            it.app.twiml["/incoming"] = (
                f"<Response><Dial action='/dialled'><Number url='/whisper'>{OTHER}</Number></Dial></Response>"
            )
            await it.twilio.ring(to=OURS, caller=caller)
            (form,) = it.app.of("/dialled")
            assert form["DialCallStatus"] == "completed"
            assert it.twilio.calls[form["DialCallSid"]].from_ == "+14155550100"
            assert it.app.of("/whisper")[0]["ParentCallSid"] == form["CallSid"]
            assert heard

    run(main)


@pytest.mark.parametrize(
    ("callee", "status"), [(callees.busy(after_s=0.05), "busy"), (callees.no_answer(after_s=0.2), "no-answer")]
)
def test_a_dial_that_reaches_no_phone_reports_its_status(callee: callees.Callee, status: str) -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[OTHER] = callee
            it.twilio.add_number(OURS, voice_url=f"{it.app.url}/incoming")
            it.app.twiml["/incoming"] = f"<Response><Dial action='/dialled'>{OTHER}</Dial></Response>"
            await it.twilio.ring(to=OURS, caller=quiet)
            assert [form["DialCallStatus"] for form in it.app.of("/dialled")] == [status]

    run(main)


@over_both
def test_a_conference_is_joined_listed_muted_and_left(run: Run) -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.default_callee = callees.person(quiet, after_s=0.05)
            document = "<Response><Dial><Conference endConferenceOnExit='true'>kitchen</Conference></Dial></Response>"
            first = await it.create(twiml=document)
            await until(lambda: it.twilio.rooms.live("kitchen") is not None)
            added = await it.ask(
                lambda client: client.conferences("kitchen").participants.create(
                    from_=OURS, to=OTHER, label="chef", beep="false", end_conference_on_exit=False
                )
            )
            room = it.twilio.rooms.live("kitchen")
            assert room is not None
            await until(lambda: len(room.members) == 2)
            (listed,) = await it.ask(
                lambda client: client.conferences.list(friendly_name="kitchen", status="in-progress")
            )
            people = await it.ask(lambda client: client.conferences(listed.sid).participants.list())
            assert {p.call_sid for p in people} == {first, added.call_sid}
            held = await it.ask(
                lambda client: client.conferences(listed.sid).participants("chef").update(hold=True, muted=True)
            )
            assert (held.hold, held.muted) == (True, True)
            it.twilio.calls[first].phone.hang_up()
            await it.over(added.call_sid)
            assert room.status == "completed"

    run(main)


@pytest.mark.parametrize(("reason", "status"), [("busy", "busy"), ("rejected", "failed")])
def test_a_rejected_call_is_never_answered(reason: str, status: str) -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.add_number(OURS, voice_url=f"{it.app.url}/incoming")
            it.app.twiml["/incoming"] = f"<Response><Reject reason='{reason}'/></Response>"
            call = await it.twilio.ring(to=OURS, caller=quiet)
            assert (call.status, call.started) == (status, None)

    run(main)


@over_both
def test_a_webhook_that_fails_is_replaced_by_the_fallback(run: Run) -> None:
    async def main() -> None:
        async with world() as it:
            number = it.twilio.add_number(OURS, voice_url=f"{it.app.url}/incoming")
            it.app.twiml["/incoming"] = "<Response"
            it.app.twiml["/fallback"] = "<Response><Pause length='0.1'/></Response>"
            updated = await it.ask(
                lambda client: client.incoming_phone_numbers(number.sid).update(
                    voice_fallback_url=f"{it.app.url}/fallback", status_callback=f"{it.app.url}/over"
                )
            )
            assert updated.voice_fallback_url == f"{it.app.url}/fallback"
            call = await it.twilio.ring(to=OURS, caller=quiet)
            await it.settled()
            assert "12100" in call.warnings[0]
            assert it.app.of("/fallback")[0]["ErrorUrl"] == f"{it.app.url}/incoming"
            assert [form["CallStatus"] for form in it.app.of("/over")] == ["completed"]

    run(main)


def test_addresses_of_the_outside_are_reached_on_this_machine_or_not_at_all() -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[THEIRS] = callees.person(quiet, after_s=0.01)
            sid = await it.create(twiml=None, url="https://phone.example.com/answered")
            call = it.twilio.calls[sid]
            await until(lambda: bool(call.warnings))
            assert "makes no other requests" in call.warnings[0]
            call.end()
            it.twilio.webhooks.reach["https://phone.example.com"] = it.app.url
            assert it.twilio.webhooks.address("wss://phone.example.com/x") == it.app.url.replace("http", "ws") + "/x"

    run(main)
