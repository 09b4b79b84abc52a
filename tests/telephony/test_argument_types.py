"""Numbers that programs pass to this package are not NaN, and numbers of seconds are not negative."""

from __future__ import annotations

import math
from typing import Any

import pytest

from realtime_core.errors import UserError
from realtime_core.testing import virtual_time
from telephony import LeaveMessage
from telephony.argument_types import check_types
from telephony.call.pacing.policy import CallPolicy
from telephony.call.pacing.silence_prompts import SilencePolicy
from telephony.outbound.plan import CallPlan
from telephony.simulator.handset import Handset
from tests.support.phone_calls import phone_call


async def hangs_up(phone: Handset) -> None:
    await phone.agent_speaks()
    phone.hang_up()


RULES = {"wait_s": (int | float | None, "a number of seconds"), "share": (float, "a number")}


@pytest.mark.parametrize(
    "given",
    [{"wait_s": 0}, {"wait_s": 0.5}, {"wait_s": math.inf}, {"wait_s": 10**400}, {"wait_s": None}, {"share": -1.0}],
)
def test_a_number_of_seconds_may_be_zero_and_another_number_negative(given: dict[str, Any]) -> None:
    check_types("It", RULES, given)


@pytest.mark.parametrize("value", [-1, -0.001, math.nan, -math.inf])
def test_a_number_that_cannot_be_a_duration_is_refused(value: float) -> None:
    with pytest.raises(UserError, match=r"^It: wait_s: give a number of seconds, not "):
        check_types("It", RULES, {"wait_s": value})


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"^It: share: give a number, not nan\.$"):
        check_types("It", RULES, {"share": math.nan})


@pytest.mark.parametrize("fields", [{"max_s": -1}, {"max_s": math.nan}, {"ring_s": -5}])
def test_a_call_with_an_impossible_duration_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"a .*number of seconds, not"):
        CallPlan("+14155550123", **fields)


def test_a_policy_with_an_impossible_duration_is_refused() -> None:
    names = [name for name in CallPolicy.__dataclass_fields__ if name.endswith("_s")]
    assert names
    for name in names:
        wrong: dict[str, Any] = {name: math.nan}
        with pytest.raises(UserError, match=f"{name}: give "):
            CallPolicy(**wrong)


@pytest.mark.parametrize("silence", [None, SilencePolicy(after_s=math.inf)])
def test_a_policy_without_a_prompt_for_silence_is_accepted(silence: SilencePolicy | None) -> None:
    async def call() -> None:
        outcome = await phone_call(hangs_up, policy=CallPolicy(silence=silence))
        assert outcome.outcome.reason == "hung up"

    virtual_time.run(call())


@pytest.mark.parametrize("message", [None, "", "  "])
def test_a_recorded_call_without_words_for_a_voicemail_can_be_replayed(message: str | None) -> None:
    assert CallPlan.from_journal({"message": message}).machine is None
    assert CallPlan.from_journal({"message": 8000}).machine == LeaveMessage(b"\xff" * 8000)


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_message_for_a_voicemail_is_refused(empty: str) -> None:
    with pytest.raises(UserError, match="the message is empty"):
        LeaveMessage(empty)
