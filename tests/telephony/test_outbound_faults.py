"""A hundred ways in which placing a call goes wrong: no call is placed twice, none is forgotten, and the result always
says what happened. The real dialer, the official client, the simulated Twilio, the application and its webhooks."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import Any

import pytest

from realtime_core import RealtimeAgent
from realtime_core.testing import virtual_time
from telephony import Telephony
from telephony.outbound.plan import CallResult
from telephony.simulator import Handset, callees
from telephony.simulator.calls import SimulatedCall
from telephony.simulator.faults import Faults

CREATE = ["", "429", "500", "500-after", "time-out", "time-out-after"]
STATES = ("initiated", "ringing", "answered", "completed")
CALLBACKS: dict[str, dict[str, Any]] = {
    "fine": {},
    "lost": {"lost": (*STATES, "amd")},
    "the last lost, listing late and failing": {"lost": ["completed"], "listing": ["500"], "listing_lag_s": 2.0},
    "doubled and out of order": {"doubled": (*STATES, "amd"), "reordered_s": 3.0},
}
MADE = {"", "429", "500-after", "time-out-after"}


async def brief(phone: Handset) -> None:
    await phone.say("hello")
    await asyncio.sleep(0.3)


async def taken_for_a_machine(phone: Handset) -> None:
    """Twilio reports a beep while a person says hello."""
    phone.beeped.set()
    await brief(phone)


CALLEES = {
    "human": callees.Callee(brief, after_s=0.05, verdict_after_s=0.1),
    "verdict after the end": callees.Callee(brief, after_s=0.05, verdict_after_s=9.0),
    "wrong verdict": callees.Callee(taken_for_a_machine, after_s=0.05, answered_by="machine_end_other"),
    "busy": callees.busy(after_s=0.05),
    "no answer": callees.no_answer(after_s=0.2),
}
ANSWERED_BY = {
    "human": {"human", "unknown"},
    "verdict after the end": {"human", "unknown"},
    "wrong verdict": {"machine", "unknown"},
}
"""`unknown` means that the verdict was lost, and they were gone before our own ear knew."""
EXPECTED = {"busy": "busy", "no answer": "no-answer"}
COMBINATIONS = list(itertools.product(CREATE, CALLBACKS, CALLEES))


def test_no_call_is_placed_twice_and_none_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    assert len(COMBINATIONS) >= 100
    caplog.set_level("INFO", "telephony")
    results = virtual_time.run(place_all)
    assert "+14•" in caplog.text and "+1415" not in caplog.text, "the log masks the numbers of the called persons"
    wrong = []
    heard = set()
    for combination, (result, placed) in results.items():
        create, callbacks, callee = combination
        status = EXPECTED.get(callee, "completed") if create in MADE else "failed"
        if len(placed) != (create in MADE) or result.status != status or any(it.status != status for it in placed):
            wrong.append((combination, "what became of it", result, placed))
        if [result.sid] != [it.sid for it in placed] and (placed or result.sid is not None):
            wrong.append((combination, "which call", result, placed))
        if bool(result.error) != (create not in MADE) or (result.error and "was not made" not in result.error):
            wrong.append((combination, "why", result, placed))
        if status != "completed" and (result.answered_by, result.duration_s, result.transcript) != ("", 0, ()):
            wrong.append((combination, "who answered", result, placed))
        if status == "completed" and result.answered_by not in ANSWERED_BY[callee]:
            wrong.append((combination, "who answered", result, placed))
        if callbacks == "fine" and create == "":
            heard.add((callee, result.answered_by))
    assert wrong == []
    assert heard >= {("human", "human"), ("wrong verdict", "machine"), ("busy", "")}, "verdicts are told"


async def place_all() -> dict[tuple[str, str, str], tuple[CallResult[Any], list[SimulatedCall]]]:
    """Result, and the calls that were made, for each combination."""
    agent: RealtimeAgent[Any] = RealtimeAgent(name="Caller", instructions="Short sentences.")
    room = asyncio.Semaphore(24)
    results: dict[tuple[str, str, str], tuple[CallResult[Any], list[SimulatedCall]]] = {}
    async with Telephony(simulate=True) as phone:
        twilio = phone.twilio
        assert twilio is not None

        async def place(number: int, combination: tuple[str, str, str]) -> None:
            create, callbacks, callee = combination
            to = f"+1415555{1000 + number}"
            outcome = {**CALLBACKS[callbacks]}
            twilio.faults_at[to] = Faults(
                create=deque([create]),  # type: ignore[list-item]
                listing=deque(outcome.pop("listing", ())),
                **outcome,
            )
            twilio.callees[to] = CALLEES[callee]
            async with room, asyncio.timeout(300):
                result = await phone.run_call(to, agent=agent)
            results[combination] = result, twilio.placed_to(to)

        async with asyncio.TaskGroup() as group:
            for number, combination in enumerate(COMBINATIONS):
                group.create_task(place(number, combination))
    return results
