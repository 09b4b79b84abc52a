"""`telephony call`, the examples and the call list, run as users run them, on the simulator with the embedded model: a
person, a voicemail, a call screening, a busy line, no answer, and a person who hangs up in mid-sentence.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from examples import remind, survey, verify
from realtime_core.audio import g711
from realtime_core.testing import virtual_time
from telephony.cli.app import app
from telephony.simulator import SimulatedTwilio, callees

TO = "+14155550123"

TALKS = ", { agent_speaks = 60 }, { agent_silent = 1.5 }, { say = 'hello' }"
CALLEES = {
    "person": f'steps = [{{ say = "hello" }} {TALKS * 4}]',
    "types": 'steps = [{ say = "hello" }, { agent_speaks = 20 }, { pause = 2.0 }'
    + "".join(f', {{ press = "{key}" }}, {{ pause = 0.2 }}' for key in "4711")
    + ", { agent_speaks = 20 }, { agent_silent = 1.0 }]",
    "leaves": 'steps = [{ say = "hello" }, { agent_speaks = 20 }, { heard = 0.5 }, { hang_up = true }]',
    "declines": 'steps = [{ say = "no_service" }, { agent_speaks = 20 }, { agent_silent = 1.0 }, { hang_up = true }]',
}  # fmt: skip
SCREENING = """
turn = [
  { heard = "Please say your name and why you are calling.", say = "Hello, this is Blu." },
  { heard = "Hello?", say = "Hello, this is Blu. Thank you." },
]
"""
SCREENS = ("screening", "declines")
CASES = ["person", "voicemail", "screening", "declines", "busy", "no-answer", "leaves"]

Run = Callable[[str], "Ran"]


class Ran:
    """The output of a program, its exit code, and the simulated Twilio that it used."""

    def __init__(self, out: str, code: int, twilio: SimulatedTwilio) -> None:
        self.out, self.code, self.twilio = out, code, twilio

    @property
    def call(self):  # type: ignore[no-untyped-def]
        (call,) = self.twilio.calls.values()
        return call


@pytest.fixture
def on_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Runs a program, in virtual time, with this callee at the other end."""
    made: list[SimulatedTwilio] = []
    at_numbers: dict[str, callees.Callee] = {}
    entered = SimulatedTwilio.__aenter__

    async def enter(self: SimulatedTwilio) -> SimulatedTwilio:
        made.append(self)
        self.callees |= at_numbers
        return await entered(self)

    def callee_of(who: str) -> str:
        if who not in CALLEES:
            return who
        path = tmp_path / f"{who}.toml"
        path.write_text(CALLEES[who])
        return str(path)

    def run(who: str, program: Callable[[], object], others: Mapping[str, str] = {}) -> Ran:
        at_numbers.update({number: callees.find(callee_of(name)) for number, name in others.items()})
        if who in SCREENS:
            script = tmp_path / "script.toml"
            script.write_text(SCREENING)
            monkeypatch.setenv("TELEPHONY_SCRIPT", str(script))
        monkeypatch.setenv("TELEPHONY_SIMULATE", callee_of(who))
        code = program()
        (twilio,) = made
        for call in twilio.calls.values():
            assert call.is_over, "a call goes on after its program"
        return Ran(capfd.readouterr().out, code if isinstance(code, int) else 0, twilio)

    monkeypatch.setattr(SimulatedTwilio, "__aenter__", enter)
    monkeypatch.setattr(asyncio, "run", virtual_time.run)
    return run


def seconds_of_sound(ulaw: bytes) -> float:
    pcm = memoryview(g711.decode(ulaw)).cast("h")
    return sum(any(abs(sample) > 500 for sample in pcm[at : at + 160]) for at in range(0, len(pcm), 160)) * 0.02


def check_ear(who: str, ran: Ran) -> None:
    """Checks that the person who answered has heard something, and that no other phone has."""
    sound = seconds_of_sound(ran.call.heard)
    if who in ("busy", "no-answer"):
        assert sound == 0
    elif who != "voicemail":
        assert sound > 0.4


@pytest.mark.parametrize("who", CASES)
def test_the_reminder(who: str, on_simulator) -> None:  # type: ignore[no-untyped-def]
    ran = on_simulator(who, lambda: asyncio.run(remind.main(TO, "Ada", "Friday")))
    assert (
        ran.out.strip()
        == {
            "person": "completed human comes=True",
            "voicemail": "completed machine None",
            "screening": "completed human None",
            "declines": "completed screening None",
            "busy": "busy  None",
            "no-answer": "no-answer  None",
            "leaves": "completed human comes=True",
        }[who]
    )
    check_ear(who, ran)
    if who == "voicemail":
        assert seconds_of_sound(ran.call.heard) > 1.0, "the message"


@pytest.mark.parametrize("who", CASES)
def test_the_survey(who: str, on_simulator) -> None:  # type: ignore[no-untyped-def]
    ran = on_simulator(who, lambda: asyncio.run(survey.main(TO)))
    if who in ("person", "leaves"):
        answers = survey.Answers.model_validate_json(ran.out)
        assert 1 <= answers.rating <= 5
    else:
        status = who if who in ("busy", "no-answer") else "completed"
        assert ran.out.strip() == f"{status}: no answers"
    check_ear(who, ran)
    if who == "voicemail":
        assert seconds_of_sound(ran.call.heard) == 0, "who has no message says nothing to a machine"


@pytest.mark.parametrize("who", [*CASES, "types"])
def test_the_verification(who: str, on_simulator) -> None:  # type: ignore[no-untyped-def]
    ran = on_simulator(who, lambda: 0 if asyncio.run(verify.main(TO, "4711")) else 1)
    status = who if who in ("busy", "no-answer") else "completed"
    wanted = ("verified", 0) if who == "types" else (f"not verified ({status})", 1)
    assert (ran.out.strip(), ran.code) == wanted
    check_ear(who, ran)


@pytest.mark.parametrize("who", CASES)
def test_the_command(who: str, on_simulator, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    outcome = ""

    def command() -> int:
        nonlocal outcome
        arguments = ["call", TO, "--agent", "examples.remind:agent", "--result", "examples.remind:Outcome", "--json"]
        ran = CliRunner().invoke(app, [*arguments, "--message", "Please call us back.", "--data", "name=Ada"])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        outcome = ran.stdout
        return ran.exit_code

    ran = on_simulator(who, command)
    result = json.loads(outcome)
    status = who if who in ("busy", "no-answer") else "completed"
    by = {"voicemail": "machine", "declines": "screening", "busy": "", "no-answer": ""}.get(who, "human")
    assert (result["to"], result["status"], result["answered_by"], result["error"]) == (TO, status, by, "")
    assert ran.code == (0 if status == "completed" else 1)
    assert result["message_left"] == (who == "voicemail")
    assert result["sid"] == ran.call.sid
    assert (result["output"] is not None) == (who in ("person", "leaves"))
    assert bool(result["transcript"]) == (status == "completed")
    if who == "leaves":
        heard = [line["heard"] for line in result["transcript"] if line["who"] == "agent"]
        assert heard[-1] is not None, "it was cut off, and that is said"
    check_ear(who, ran)
