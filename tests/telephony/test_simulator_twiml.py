"""The simulated Twilio and the rest of TwiML: speech, messages, recordings, SIP, clients, rooms."""

from __future__ import annotations

import asyncio
import io
import wave
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException

from realtime_core.audio import g711
from telephony.simulator import Handset, callees, clips
from tests.support.twilio_world import OTHER, OURS, THEIRS, App, World, answers_as, quiet, run, until, world


async def ring(it: World, twiml: str, caller: Any = quiet) -> Any:
    """Makes a call with this TwiML."""
    it.twilio.add_number(OURS, voice_url=f"{it.app.url}/incoming")
    it.app.twiml["/incoming"] = twiml
    call = await it.twilio.ring(to=OURS, caller=caller)
    await it.settled()
    return call


def says(*clips_or_keys: str) -> Any:
    async def caller(phone: Handset) -> None:
        await asyncio.sleep(0.5)
        for what in clips_or_keys:
            if what in clips.names():
                await phone.say(what)
            else:
                phone.press(what)
        await asyncio.Event().wait()

    return caller


# --- <Gather> ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "caller", "result"),
    [
        ("speech", says("hello", "goodbye"), {"SpeechResult": "Hello. Goodbye.", "Confidence": "0.95"}),
        ("speech", says("4"), {}),
        ("dtmf speech", says("4", "2", "#"), {"Digits": "42"}),
        ("dtmf speech", says("goodbye"), {"SpeechResult": "Goodbye.", "Confidence": "0.95"}),
        ("dtmf", says("goodbye"), {}),
    ],
    ids=["speech", "no speech", "keys of both", "speech of both", "no keys"],
)
def test_words_and_keys_are_gathered(inputs: str, caller: Any, result: dict[str, str]) -> None:
    async def main() -> None:
        async with world() as it:
            await ring(it, f"<Response><Gather input='{inputs}' action='/got' timeout='3'/></Response>", caller)
            got = [{name: form[name] for name in result} for form in it.app.of("/got")]
            assert got == ([result] if result else [])

    run(main)


# --- recordings ----------------------------------------------------------------------------------------------------


def test_a_message_is_recorded_after_the_beep() -> None:
    async def main() -> None:
        async with world() as it:
            document = "<Response><Record action='/left' timeout='2' recordingStatusCallback='/kept'/></Response>"
            call = await ring(it, document, says("booking"))
            (form,) = it.app.of("/left")
            (recording,) = call.recordings
            assert form["RecordingSid"] == recording.sid
            assert 4 <= int(form["RecordingDuration"]) <= 7
            (kept,) = it.app.of("/kept")
            assert (kept["RecordingStatus"], kept["RecordingSource"]) == ("completed", "RecordVerb")
            call = await ring(it, "<Response><Record action='/left' timeout='1'/></Response>")
            assert len(it.app.of("/left")) == 1, "nothing was said: the next verb is done"

    run(main)


def test_a_call_is_recorded_from_its_answer_to_its_end_and_reported() -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[THEIRS] = callees.person(quiet, after_s=1)
            sid = await it.create(
                twiml="<Response><Pause length='3'/></Response>",
                record=True,
                recording_channels="dual",
                recording_status_callback=f"{it.app.url}/kept",
                recording_status_callback_event=["in-progress", "completed"],
                status_callback=f"{it.app.url}/status",
            )
            await it.over(sid)
            await it.settled()
            first, last = it.app.of("/kept")
            assert [first["RecordingStatus"], last["RecordingStatus"]] == ["in-progress", "completed"]
            assert (last["RecordingDuration"], last["RecordingChannels"]) == ("3", "2")
            assert it.app.of("/status")[0]["RecordingSid"] == last["RecordingSid"]
            (listed,) = await it.ask(lambda client: client.calls(sid).recordings.list())
            assert (listed.sid, listed.status, listed.source) == (last["RecordingSid"], "completed", "OutboundAPI")

    run(main)


def test_a_recording_is_begun_paused_and_stopped_by_the_rest_api() -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[THEIRS] = callees.person(quiet, after_s=0.05)
            sid = await it.create(twiml="<Response><Pause length='20'/></Response>")
            await until(lambda: it.twilio.calls[sid].status == "in-progress")
            begun = await it.ask(lambda client: client.calls(sid).recordings.create())
            await asyncio.sleep(2)
            for status in ("paused", "in-progress"):
                changed = await it.ask(
                    lambda client, to=status: client.calls(sid).recordings("Twilio.CURRENT").update(status=to)  # type: ignore[misc]
                )
                assert changed.status == status
                await asyncio.sleep(3)
            await it.ask(lambda client: client.calls(sid).recordings(begun.sid).update(status="stopped"))
            done = await it.ask(lambda client: client.calls(sid).recordings(begun.sid).fetch())
            assert (done.status, done.duration) == ("completed", "5"), "not while it was paused"
            with pytest.raises(TwilioRestException) as refused:
                await it.ask(lambda client: client.calls(sid).recordings(begun.sid).update(status="stopped"))
            assert refused.value.code == 21220

    run(main)


def test_a_dial_and_a_started_recording_are_recorded() -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[OTHER] = callees.person(says("goodbye", "1"), after_s=1)
            it.twilio.default_callee = callees.busy()
            document = (
                "<Response><Start><Recording channels='dual' recordingStatusCallback='/kept'/></Start>"
                f"<Dial record='record-from-answer' action='/dialled' timeLimit='4'>{OTHER}</Dial></Response>"
            )
            call = await ring(it, document)
            assert [it.source for it in call.recordings] == ["StartCallRecordingTwiML", "DialVerb"]
            assert it.app.of("/dialled")[0]["RecordingSid"] == call.recordings[1].sid
            assert it.app.of("/kept")[0]["RecordingChannels"] == "2"
            assert any("timeLimit" in warning for warning in call.warnings)

    run(main)


# --- <Dial> --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noun", "to"),
    [
        (f"<Number STATUS>{OTHER}</Number>", OTHER),
        ("<Sip STATUS>sip:chef@example.com;transport=tcp</Sip>", "sip:chef@example.com;transport=tcp"),
        ("<Client STATUS>chef</Client>", "client:chef"),
        ("<Client STATUS><Identity>chef</Identity><Parameter name='a' value='b'/></Client>", "client:chef"),
    ],
    ids=["number", "sip", "client", "identity"],
)
@pytest.mark.parametrize("answers", [True, False], ids=["answers", "busy"])
def test_the_dialled_leg_reports_its_states(noun: str, to: str, answers: bool) -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[to] = callees.person(says("goodbye"), after_s=1) if answers else callees.busy()
            it.twilio.default_callee = callees.failed()
            status = "statusCallback='/leg' statusCallbackEvent='initiated ringing answered completed'"
            twiml = noun.replace("STATUS", status)
            call = await ring(
                it, f"<Response><Dial action='/dialled' timeout='10' timeLimit='3'>{twiml}</Dial></Response>"
            )
            (dialled,) = it.app.of("/dialled")
            assert dialled["DialCallStatus"] == ("completed" if answers else "busy")
            result = sorted(it.app.of("/leg"), key=lambda form: int(form["SequenceNumber"]))
            expected = (
                ["initiated", "ringing", "in-progress", "completed"] if answers else ["initiated", "ringing", "busy"]
            )
            assert [form["CallStatus"] for form in result] == expected
            assert {(form["To"], form["ParentCallSid"], form["CallSid"]) for form in result} == {
                (to, call.sid, dialled["DialCallSid"])
            }

    run(main)


def test_who_answered_a_dialled_number_is_reported() -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees[OTHER] = answers_as("machine_end_beep")
            noun = f"<Number machineDetection='Enable' amdStatusCallback='/amd'>{OTHER}</Number>"
            await ring(it, f"<Response><Dial timeLimit='2'>{noun}</Dial></Response>")
            assert [form["AnsweredBy"] for form in it.app.of("/amd")] == ["machine_start"]

    run(main)


def test_sip_addresses_and_clients_are_called_by_the_rest_api() -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees["sip:chef@example.com"] = callees.person(quiet, after_s=0.05)
            call = await it.over(await it.create("sip:chef@example.com"))
            assert (call.status, call.to) == ("completed", "sip:chef@example.com")

    run(main)


# --- conferences ---------------------------------------------------------------------------------------------------


def wav(name: str) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(g711.decode(clips.load(name)))
    return file.getvalue()


def loud(ulaw: bytes) -> bool:
    return any(abs(sample) > 2000 for sample in memoryview(g711.decode(ulaw)).cast("h"))


def serve_sounds(app: App) -> None:
    app.sounds["/hello.wav"] = wav("hello")
    app.twiml["/told"] = "<Response><Play>/hello.wav</Play></Response>"


def test_a_member_that_waits_or_is_on_hold_hears_the_audio() -> None:
    async def main() -> None:
        async with world() as it:
            serve_sounds(it.app)
            it.twilio.default_callee = callees.person(quiet, after_s=0.05)
            room_of_one = "<Conference waitUrl='/told' statusCallback='/room' statusCallbackEvent='start end'>"
            it.app.twiml["/answer"] = f"<Response><Dial>{room_of_one}kitchen</Conference></Dial></Response>"
            first = it.twilio.calls[await it.create(twiml=None, url=f"{it.app.url}/answer")]
            await asyncio.sleep(3)
            assert loud(first.heard), "the waiting sounds"
            second = it.twilio.calls[await it.create(OTHER, twiml=None, url=f"{it.app.url}/answer")]
            await asyncio.sleep(1)

            async def heard_by(call: Any, seconds: float = 2) -> bool:
                at = len(call.heard)
                await asyncio.sleep(seconds)
                return loud(call.heard[at:])

            assert not await heard_by(first), "the conference has begun"
            (room,) = await it.ask(lambda client: client.conferences.list(friendly_name="kitchen"))
            result = f"{it.app.url}/told"
            await it.ask(
                lambda client: client.conferences(room.sid).participants(second.sid).update(hold=True, hold_url=result)
            )
            assert await heard_by(second)
            await it.ask(lambda client: client.conferences(room.sid).participants(second.sid).update(hold=False))
            assert not await heard_by(second)
            await it.ask(lambda client: client.conferences(room.sid).update(announce_url=result))
            assert await heard_by(first)

    run(main)


def test_a_coach_is_heard_by_one() -> None:
    async def main() -> None:
        async with world() as it:
            it.twilio.callees |= {
                number: callees.person(quiet, after_s=0.05) for number in (THEIRS, "+14155550124", "+14155550125")
            }
            document = "<Response><Dial><Conference>kitchen</Conference></Dial></Response>"
            guest = it.twilio.calls[await it.create(twiml=document)]
            chef = it.twilio.calls[await it.create("+14155550124", twiml=document)]
            await until(lambda: it.twilio.rooms.live("kitchen") is not None)
            added = await it.ask(
                lambda client: client.conferences("kitchen").participants.create(
                    from_=OURS, to="+14155550125", coaching=True, call_sid_to_coach=chef.sid
                )
            )
            coach = it.twilio.calls[added.call_sid]
            await asyncio.sleep(1)
            await coach.phone.say("hello")
            assert loud(chef.heard)
            assert not loud(guest.heard)
            room = it.twilio.rooms.live("kitchen")
            assert room is not None
            changed = await it.ask(
                lambda client: client.conferences(room.sid).participants(coach.sid).update(coaching=False)
            )
            assert not changed.coaching
            await coach.phone.say("hello")
            assert loud(guest.heard)

    run(main)


def test_unsupported_twiml_verbs_are_reported() -> None:
    async def main() -> None:
        async with world() as it:
            call = await ring(it, "<Response><Enqueue>x</Enqueue><Bogus/><Say>Hello <break/>there.</Say></Response>")
            assert call.warnings == [
                "<Enqueue> in <Response> is skipped: this simulator has none",
                "<Response> knows no <Bogus> (12200)",
            ]

    run(main)
