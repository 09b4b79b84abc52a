"""Whole calls from `Telephony` on the simulated Twilio with the embedded model: who answers, and what comes of it. In
virtual time, but for one over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from examples import remind, survey, verify
from realtime_core import RealtimeAgent
from realtime_core.audio import g711
from realtime_core.errors import UserError
from realtime_core.local import LocalRealtimeServer, Script
from realtime_core.local.reply import Reply
from realtime_core.local.script import Turn
from realtime_core.testing import virtual_time
from telephony import CallResult, LeaveMessage, Settings, Telephony
from telephony.errors import SettingsError
from telephony.outbound.placed_call import PlacedCall
from telephony.simulator import Handset, SimulatedTwilio, callees

TO = "+14155550123"
AGENT: RealtimeAgent[Any] = RealtimeAgent(name="Blu", instructions="You call for Blu Dental. Short sentences.")


def run(
    work: Coroutine[Any, Any, None], runner: Callable[[Coroutine[Any, Any, None]], None] = virtual_time.run
) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(180):
            await work

    runner(bounded())


def twilio_of(phone: Telephony) -> SimulatedTwilio:
    assert phone.twilio is not None
    return phone.twilio


async def answers(phone: Handset) -> None:
    """Says hello, and a word after each of the agent's turns."""
    await phone.say("hello")
    while True:
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say("hello")


def first_sound(ulaw: bytes) -> int:
    """The sample at which something is heard first."""
    pcm = memoryview(g711.decode(ulaw)).cast("h")
    return next(at for at, sample in enumerate(pcm) if abs(sample) > 500)


def test_the_reminder_and_the_survey_bring_their_results_home() -> None:
    async def main() -> None:
        async with Telephony(simulate=True) as phone:
            twilio_of(phone).default_callee = callees.person(answers, after_s=0.1)
            reminded, surveyed = await asyncio.gather(
                phone.run_call(TO, agent=remind.agent, data={"name": "Ada"}, result=remind.Outcome, max_s=60),
                phone.run_call("+14155550124", agent=survey.agent, result=survey.Answers, max_s=60),
            )
        assert isinstance(reminded.output, remind.Outcome)
        assert isinstance(surveyed.output, survey.Answers)
        for result in (reminded, surveyed):
            assert (result.status, result.answered_by, result.error) == ("completed", "human", "")
            assert result.reached
            assert result.duration_s > 0
            assert result.cost is not None
            assert {line.who for line in result.transcript} == {"agent", "callee"}

    run(main())


def test_a_code_is_typed_and_no_model_sees_it() -> None:
    def types(typed: str) -> callees.Callee:
        async def types(phone: Handset) -> None:
            await phone.say("hello")
            await phone.agent_speaks()
            await asyncio.sleep(1.5)
            for key in typed:
                phone.press(key)
            await phone.heard(2.0)

        return callees.person(types, after_s=0.1)

    async def main() -> None:
        async with Telephony(simulate=True) as phone:
            twilio_of(phone).callees |= {TO: types("4711"), "+14155550124": types("4712")}
            calls = [
                phone.call(to, agent=verify.agent, secrets={"code": "4711"}, max_s=60) for to in (TO, "+14155550124")
            ]
            results = [await call.finished() for call in calls]
            assert [call.data.get("verified", False) for call in calls] == [True, False]
        said = [line.text for result in results for line in result.transcript]
        assert said
        assert not any("4711" in text or "4712" in text for text in said)

    run(main())


def test_a_voicemail_gets_the_whole_message_after_its_beep() -> None:
    beeped_at: list[int] = []

    async def machine(phone: Handset) -> None:
        await phone.say("next_in_line")
        await asyncio.sleep(0.3)
        await phone.beep()
        beeped_at.append(len(phone.received))
        await asyncio.Event().wait()

    async def main() -> None:
        async with Telephony(simulate=True) as phone:
            twilio = twilio_of(phone)
            twilio.default_callee = callees.Callee(machine, after_s=0.1, answered_by="machine_end_beep")
            result = await phone.run_call(TO, agent=AGENT, machine=LeaveMessage("Please call us back."), max_s=60)
            (placed,) = twilio.placed_to(TO)
        assert (result.answered_by, result.message_left, result.reached) == ("machine", True, False)
        assert [line.text for line in result.transcript if line.who == "agent"] == ["Please call us back."]
        assert first_sound(placed.heard) >= beeped_at[0], "nothing is said into the greeting"

    run(main())


NO_CONVERSATIONS: dict[str, tuple[callees.Callee, str, str]] = {
    "+14155550101": (callees.busy(after_s=0.05), "busy", ""),
    "+14155550102": (callees.no_answer(after_s=0.3), "no-answer", ""),
    "+14155550103": (callees.failed(), "failed", ""),
    "+14155550104": (callees.fax(after_s=0.05), "completed", "fax"),
    "+14155550105": (callees.voicemail("hello", after_s=0.05), "completed", "machine"),
}


def test_calls_without_a_conversation_have_their_status() -> None:
    async def main() -> None:
        async with Telephony(simulate=True) as phone:
            twilio_of(phone).callees |= {to: callee for to, (callee, _, _) in NO_CONVERSATIONS.items()}
            results = await asyncio.gather(*(phone.run_call(to, agent=AGENT, max_s=60) for to in NO_CONVERSATIONS))
        for result in results:
            _, status, answered_by = NO_CONVERSATIONS[result.to]
            assert (result.status, result.answered_by, result.reached) == (status, answered_by, False)

    run(main())


def test_a_callee_who_hangs_up_in_mid_sentence_has_been_called_all_the_same() -> None:
    async def leaves(phone: Handset) -> None:
        await phone.say("hello")
        await phone.agent_speaks()
        await phone.heard(1.0)

    async def main() -> None:
        async with Telephony(simulate=True) as phone:
            twilio_of(phone).default_callee = callees.person(leaves, after_s=0.05)
            result: CallResult[Any] = await phone.run_call(TO, agent=AGENT, max_s=60)
        assert (result.status, result.answered_by) == ("completed", "human")
        (said,) = [line for line in result.transcript if line.who == "agent"]
        assert said.heard is not None
        assert said.text.startswith(said.heard.rstrip(". "))

    run(main())


def test_what_was_not_recorded_is_requested_once_afterwards() -> None:
    class Answers(BaseModel):
        day: str

    async def leaves(phone: Handset) -> None:
        await phone.say("hello")
        await phone.agent_speaks()

    async def main() -> None:
        async with Telephony(simulate=True) as phone:
            twilio_of(phone).default_callee = callees.person(leaves, after_s=0.05)
            result = await phone.run_call(TO, agent=AGENT, result=Answers, max_s=60)
        assert result.output == Answers(day="Friday"), "the embedded model fills in its example"

    run(main())


@pytest.mark.parametrize("runner", [virtual_time.run, asyncio.run], ids=["in memory", "over sockets"])
def test_leaving_the_block_hangs_up_a_live_call(runner: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def main() -> None:
        async with Telephony(simulate=True) as phone:
            twilio = twilio_of(phone)
            twilio.default_callee = callees.person(answers, after_s=0.05)
            call = phone.call(TO, agent=AGENT)
            assert await call.answered()
            assert call.live is not None
        result = await call.finished()
        assert result.status == "completed"
        assert [placed.is_over for placed in twilio.placed_to(TO)] == [True]

    run(main(), runner)


def test_a_ringing_call_is_hung_up_and_was_not_answered() -> None:
    async def main() -> None:
        async with Telephony(simulate="no-answer") as phone:
            call = phone.call(TO, agent=AGENT)
            while call.status != "ringing":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await call.hang_up()
            assert not await call.answered()
            assert (await call.finished()).status == "canceled"

    run(main())


def test_what_must_not_be_called_is_a_result_and_no_call() -> None:
    async def main() -> None:
        async with Telephony(simulate="busy") as phone:
            for to in ("+19005550123", "12", "nobody"):
                result = await phone.run_call(to, agent=AGENT)
                assert result.status == "refused"
                assert result.error
            assert not twilio_of(phone).calls
            result = await phone.run_call(" (415) 555-0123", agent=AGENT)
            assert (result.status, result.to) == ("busy", TO), "a number is taken as people write it"

    run(main())


def test_a_second_call_to_the_same_number_is_refused() -> None:
    async def main() -> None:
        async with Telephony(simulate="no-answer") as phone:
            call = phone.call(TO, agent=AGENT)
            assert (await phone.run_call(TO, agent=AGENT)).status == "refused"
            await call.hang_up()
            await call.finished()

    run(main())


def test_without_a_phone_there_is_one_line_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TELEPHONY_SIMULATE", raising=False)
    with pytest.raises(SettingsError) as refused:
        Telephony.from_env()
    (line,) = refused.value.problems
    assert "TELEPHONY_SIMULATE=1" in line


@pytest.mark.real_time
def test_settings_without_a_phone_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TELEPHONY_SIMULATE", raising=False)

    async def main() -> None:
        with pytest.raises(SettingsError, match="There is no phone"):
            async with Telephony(Settings(telephony_model="scripted", telephony_data_dir=Path("off"), port=0)):
                pass

    run(main(), asyncio.run)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"agent": 5}, "The agent of a call: give a RealtimeAgent"),
        ({"data": [1]}, "data: give a mapping, not list"),
        ({"secrets": "x"}, "secrets: give a mapping, not str"),
        ({"machine": "Please call back."}, "machine: give a LeaveMessage, not str"),
        ({"greeting": None}, "greeting: give a text, not NoneType"),
        ({"ring_s": "30"}, "ring_s: give a whole number of seconds, not str"),
        ({"max_s": "60"}, "max_s: give a number of seconds, not str"),
        ({"timezone": 1}, "timezone: give the name of a time zone"),
    ],
    ids=str,
)
def test_a_call_with_a_value_of_a_wrong_type_is_refused_at_once(given: dict[str, Any], says: str) -> None:
    async def main() -> None:
        async with Telephony(simulate="busy") as phone:
            with pytest.raises(UserError, match=says):
                await phone.run_call(TO, **{"agent": AGENT, **given})
            assert (await phone.run_call(TO, agent=AGENT)).status == "busy", "other calls go on"

    run(main())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"settings": {"host": "127.0.0.1"}}, "settings: give a Settings object, .*, not dict"),
        ({"server": 8000}, "server: give the URL of a server, not int"),
        ({"simulate": 3}, "simulate: give True, or a text"),
        ({"simulate": ""}, "the text that selects the callee is empty"),
        ({"outgoing": ["desk"]}, "outgoing: give a mapping"),
    ],
    ids=str,
)
def test_telephony_refuses_values_of_wrong_types(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Telephony(**given)


def test_a_fault_in_one_call_ends_no_other_call(caplog: pytest.LogCaptureFixture) -> None:
    """The calls of a process share a task group. An exception in the life of one call ends only this call."""

    async def main() -> None:
        async with Telephony(simulate="person") as phone:

            def breaks(call: PlacedCall) -> None:
                if call.to != TO:
                    raise RuntimeError("no room")

            phone.dialer.on_news = breaks
            other = phone.call(TO, agent=AGENT, max_s=5)
            failed = await phone.run_call("+14155550124", agent=AGENT)
            assert (failed.status, failed.sid) == ("failed", None)
            assert "RuntimeError" in failed.error
            assert (await other.finished()).status == "completed"
            assert not phone.dialer.live

    run(main())
    assert "no room" in caplog.text


SCREENING = Script(
    turns=[
        Turn(heard="The person you are calling uses a screening service. Please say your name and why you call."),
        Turn(heard="Hello, this is Ada.", answer=Reply(say="We are open every day.")),
    ],
    greeting=Reply(say="Hello, this is Trattoria Blu."),
)


def test_a_call_screening_gets_one_sentence_and_then_the_person_is_greeted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "telephony.outbound.opening")

    async def main() -> None:
        heard: list[float] = []

        async def screened(phone: Handset) -> None:
            await phone.say("no_service")
            await phone.agent_speaks()
            heard.append(phone.now)
            await phone.agent_silent(1.0)
            await asyncio.sleep(1.0)
            await phone.say("hello")
            await phone.agent_speaks()
            heard.append(phone.now)

        async with (
            LocalRealtimeServer(SCREENING) as model,
            Telephony(simulate=True, model_config=model.model_config) as phone,
        ):
            twilio_of(phone).default_callee = callees.person(screened, after_s=0.05, verdict_after_s=2.0)
            call = phone.call(TO, agent=AGENT, max_s=60)
            result = await call.finished()
        assert len(heard) == 2
        moves = [str(record.args[1]) for record in caplog.records if isinstance(record.args, tuple) and record.args]
        assert moves == ["screen", "talk"]
        assert (result.status, result.answered_by) == ("completed", "human")

    run(main())


@pytest.mark.virtual_time
async def test_the_readmes_test_of_an_outbound_script_holds() -> None:
    async with Telephony(simulate="voicemail") as phone:
        result = await phone.run_call(TO, agent=AGENT, machine=LeaveMessage("Please call us back."))
    assert (result.answered_by, result.message_left) == ("machine", True)
