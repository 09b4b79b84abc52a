"""Tools that need a verified caller, and the tools that verify one and take values."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from realtime_core import FunctionTool, RealtimeAgent, RunContextWrapper, function_tool
from realtime_core.errors import UserError
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from realtime_core.testing import virtual_time
from telephony import Call
from telephony.capture import capture_amount, capture_email, capture_phone
from telephony.identity import requires, verify_birth_date, verify_by_call_back, verify_pin, verify_with
from telephony.replay.replaying import replay_call
from telephony.simulator import Handset, callees
from tests.support.office import office
from tests.support.phone_calls import phone_call
from tests.support.planted import bytes_of, words_in

told: list[str] = []


@requires("verified")
@function_tool
async def balance(ctx: RunContextWrapper[Call]) -> str:
    """Tell the balance."""
    told.append("balance")
    return "It is 42."


def turn(name: str, heard: str = "Hello.", say: str = "Well.", **arguments: Any) -> Turn:
    return Turn(Reply(say=say), heard=heard, calls=[ToolCall(name, json.dumps(arguments))])


def script(*turns: Turn) -> Script:
    return Script(list(turns), greeting=Reply(say="Hello."), otherwise=Reply(say="Yes."))


def types(*keys: str) -> Any:
    """A caller who speaks at each turn, and types these keys after it (none: says nothing more)."""

    async def caller(phone: Handset) -> None:
        for each in keys:
            await phone.agent_speaks(within_s=30)
            await phone.agent_silent(1.2)
            await phone.say("sorry_hours")
            if each:
                await asyncio.sleep(4)
                for key in each:
                    phone.press(key)
                    await asyncio.sleep(0.1)
        await phone.agent_speaks(within_s=30)
        await phone.agent_silent(1.2)

    return caller


def offered(records: Any) -> list[list[str]]:
    """The tools that the model had, at each change."""
    sessions = [message["session"] for _, message in records.of("model.out", "session.update")]
    return [[tool["name"] for tool in session["tools"]] for session in sessions if "tools" in session]


def outputs(records: Any) -> list[str]:
    created = [message["item"] for _, message in records.of("model.out", "conversation.item.create")]
    return [item["output"] for item in created if item["type"] == "function_call_output"]


@pytest.mark.virtual_time
async def test_a_tool_with_a_requirement_is_not_offered_before_code_has_verified_the_caller() -> None:
    told.clear()
    pins: list[str] = []

    def is_pin(call: Call, pin: str) -> bool:
        pins.append(pin)
        return pin == "4711"

    agent = RealtimeAgent(name="Bank", tools=[verify_pin(is_pin), balance])
    turns = script(turn("balance"), turn("verify_pin"), turn("verify_pin"), turn("balance"))
    call = await phone_call(types("", "1234", "4711", ""), script=turns, agent=agent)
    assert pins == ["1234", "4711"]
    assert told == ["balance"], "the call before the verification did not run the tool"
    assert offered(call.records)[0] == ["verify_pin"] and offered(call.records)[-1] == ["verify_pin", "balance"]
    assert any("NOT verified" in each for each in outputs(call.records))


def test_a_pin_reaches_no_record_and_the_call_can_be_replayed(tmp_path: Path) -> None:
    agent = RealtimeAgent(name="Bank", tools=[verify_pin(lambda call, pin: pin == "471193", max_digits=6), balance])

    async def main() -> None:
        given = {"telephony_journal_dir": tmp_path, "telephony_redact": False}
        async with office(script(turn("verify_pin"), turn("balance")), agent=agent, given=given) as (twilio, _):
            await twilio.ring(caller=types("471193", ""))

    virtual_time.run(main, seed=2)
    assert words_in(bytes_of(tmp_path), ["471193", "4, 7, 1, 1"]) == []
    (journal,) = tmp_path.glob("*/journal.jsonl")
    replayed = replay_call(journal, agent)
    assert replayed.divergence is None, replayed.divergence


@pytest.mark.virtual_time
async def test_attempts_to_verify_are_limited() -> None:
    agent = RealtimeAgent(
        name="Bank", tools=[verify_with(lambda call, said: said == "8000", "the postal code", attempts=2)]
    )
    turns = script(*(turn("verify_caller", said=said) for said in ("1", "2", "8000")))
    call = await phone_call(types("", "", ""), script=turns, agent=agent)
    assert ["NOT" in each for each in outputs(call.records)][:2] == [True, True]
    assert "cannot be verified" in outputs(call.records)[2]
    assert call.outcome.call is not None and not call.outcome.call.verified


@pytest.mark.virtual_time
async def test_a_date_of_birth_verifies() -> None:
    tool = verify_birth_date(lambda call: date(1984, 3, 3), today=lambda: date(2026, 11, 28))
    turns = script(
        turn("verify_birth_date", said="the third of March"),
        turn("verify_birth_date", said="March third nineteen eighty four"),
    )
    call = await phone_call(types("", ""), script=turns, agent=RealtimeAgent(name="Bank", tools=[tool]))
    assert "year is missing" in outputs(call.records)[0]
    assert call.outcome.call is not None and call.outcome.call.verified == {"verified"}


def test_a_call_back_verifies_the_number_on_file() -> None:
    on_file = "+14155550123"
    seen: dict[str, Any] = {}
    tool = verify_by_call_back(lambda call: on_file)

    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.2)
        await phone.say("sorry_hours")
        async with asyncio.timeout(30):
            while not seen.get("code"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await phone.agent_speaks()
        for key in seen["code"]:
            phone.press(key)
        await asyncio.sleep(4)

    async def main() -> None:
        async with office(script(turn("verify_by_call_back")), agent=RealtimeAgent(name="Bank", tools=[tool])) as (
            twilio,
            app,
        ):
            twilio.callees[on_file] = callees.person()
            create = app.state.phone.control.create_call

            async def watched(**options: Any) -> str:
                seen["to"] = options["to"]
                seen["code"] = "".join(c for c in options["twiml"].split("Your code is")[1] if c.isdigit())
                return str(await create(**options))

            app.state.phone.control.create_call = watched
            call = twilio.start_ringing(caller=caller)
            while not app.state.phone.registry._sessions:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            (session,) = app.state.phone.registry._sessions.values()
            await call.finished()
            seen["verified"] = session.call.verified

    virtual_time.run(main, seed=2)
    assert seen["to"] == on_file and seen["verified"] == {"verified"}


def test_only_tools_have_requirements() -> None:
    with pytest.raises(UserError, match="function_tool"):
        requires()(lambda: None)  # type: ignore[arg-type]


# --- values ----------------------------------------------------------------------------------------------------------


async def captured(tool: FunctionTool, turns: Script, *keys: str) -> tuple[dict[str, Any], list[str]]:
    call = await phone_call(types(*keys), script=turns, agent=RealtimeAgent(name="Desk", tools=[tool]))
    assert call.outcome.call is not None
    return call.outcome.call.data, outputs(call.records)


@pytest.mark.virtual_time
async def test_a_value_is_read_back_and_stored_after_a_yes() -> None:
    said = "ada dot lovelace at example dot com"
    turns = script(turn("capture_email", said=said, confirmed=False), turn("capture_email", said="", confirmed=True))
    data, answers = await captured(capture_email(), turns, "", "")
    assert data["email"] == "ada.lovelace@example.com"
    assert "A, D, A, dot, L" in answers[0] and "stored" in answers[1]


@pytest.mark.virtual_time
async def test_a_value_without_a_yes_is_not_stored() -> None:
    turns = script(turn("capture_amount", said="twenty three fifty", confirmed=True))
    data, _ = await captured(capture_amount(), turns, "")
    assert "amount" not in data


@pytest.mark.virtual_time
async def test_after_two_failures_the_caller_types_the_value() -> None:
    turns = script(
        turn("capture_amount", said="hm", confirmed=False), turn("capture_amount", said="well", confirmed=False),
        turn("capture_amount", said="no", confirmed=False),
    )  # fmt: skip
    data, _ = await captured(capture_amount(), turns, "", "", "23*50#")
    assert data["amount"] == Decimal("23.50")


@pytest.mark.virtual_time
async def test_a_secret_value_is_typed_and_the_model_does_not_get_it() -> None:
    data, answers = await captured(capture_phone(secret=True), script(turn("capture_phone")), "4155552671#")
    assert data["phone"] == "+14155552671"
    assert answers == ["The value is stored. You do not get it."]
