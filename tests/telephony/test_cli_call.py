"""`telephony call` and `telephony simulate`, as processes, and one long call in virtual time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from realtime_core.testing import virtual_time
from telephony.cli.app import app
from tests.support import commands

ROOT = Path(__file__).parents[2]
TO = "+14155550123"
CALL = ["call", TO, "--agent", "examples.remind:agent", "--simulate"]


def start(*arguments: str, **settings: str) -> subprocess.Popen[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    pipe = subprocess.PIPE
    return commands.start("-m", "telephony", *arguments, stdout=pipe, stderr=pipe, cwd=ROOT, env={**kept, **settings})


def run(*arguments: str, **settings: str) -> tuple[int, str, str]:
    with start(*arguments, **settings) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_a_call_is_reported_as_it_goes_and_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "run", virtual_time.run)
    arguments = ["--callee", "voicemail", "--data", "name=Ada", "--message", "Please call us back."]
    result = CliRunner().invoke(app, [*CALL, *arguments])
    out = result.output
    assert result.exit_code == 0, out
    assert [word for word in out.split() if word in ("queued", "ringing", "in-progress")][-1] == "in-progress"
    assert "answered by machine" in out
    assert "The message was left." in out


def test_a_result_is_json_for_scripts() -> None:
    code, out, _ = run(*CALL, "--callee", "busy", "--result", "examples.remind:Outcome", "--json")
    outcome = json.loads(out)
    assert (code, outcome["to"], outcome["status"], outcome["output"]) == (1, TO, "busy", None)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["call", TO, "--agent", "examples.remind:agent"], 1, "TELEPHONY_SIMULATE=1"),
        (["call", "12", "--agent", "examples.remind:agent", "--simulate"], 1, "not a valid phone number"),
        (["call", TO, "--agent", "examples.remind:nobody", "--simulate"], 2, "nobody"),
        ([*CALL, "--callee", "nobody"], 1, "There is no caller 'nobody'"),
        ([*CALL, "--callee", "nobody.toml"], 1, "nobody.toml cannot be read"),
        ([*CALL, "--data", "name"], 2, "--data name=Ada"),
        ([*CALL, "--timezone", "Mars"], 1, "no time zone"),
        (["simulate", "--callee", "nobody"], 1, "There is no caller 'nobody'"),
        (["simulate", "--callee", "415=busy"], 2, "+14155550123=voicemail"),
        (["simulate", "--ring", "demo"], 2, "--voice-url"),
    ],
    ids=["no phone", "no number", "no agent", "no callee", "no file", "no data", "no zone", "simulate", "whom", "ring"],
)
def test_what_is_wrong_is_said_in_a_line(arguments: list[str], code: int, says: str) -> None:
    got, out, err = run(*arguments)
    assert (got, out) == (code, "")
    assert says in err
    assert "Traceback" not in err


def test_an_application_that_cannot_start_is_reported_in_one_line() -> None:
    code, out, err = run(*CALL, TELEPHONY_SCRIPT="nofile.toml")
    assert (code, out) == (1, "")
    assert "The script nofile.toml cannot be read" in err
    assert "Traceback" not in err


def test_the_settings_rules_count_and_any_hour_lifts_the_hours_alone(tmp_path: Path) -> None:
    listed = tmp_path / "no.txt"
    listed.write_text(f"{TO} asked by letter\n")
    with start("simulate", "--json", "--callee", "busy") as twilio:
        assert twilio.stdout is not None
        account = json.loads(twilio.stdout.readline())
        settings = {**account, "PORT": "0", "PUBLIC_URL": "http://127.0.0.1:9", "TELEPHONY_MODEL": "scripted"}
        night = {**settings, "TELEPHONY_QUIET_HOURS": "00:00-23:59:59.999"}
        call = ["call", TO, "--agent", "examples.remind:agent"]
        asleep = run(*call, **night)
        unwanted = run(*call, "--any-hour", **night, TELEPHONY_DO_NOT_CALL=str(listed))
        awake = run(*call, "--any-hour", "--json", **night)
        twilio.send_signal(signal.SIGINT)
        twilio.communicate(timeout=30)
    assert (asleep[0], "no calls from" in asleep[2]) == (1, True)
    assert (unwanted[0], "is on the do-not-call list" in unwanted[2]) == (1, True)
    assert json.loads(awake[1])["status"] == "busy"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_hang_up(number: signal.Signals) -> None:
    with start("simulate", "--json", "--callee", "no-answer") as twilio:
        assert twilio.stdout is not None
        account = json.loads(twilio.stdout.readline())
        settings = {**account, "PORT": "0", "PUBLIC_URL": "http://127.0.0.1:9", "TELEPHONY_MODEL": "scripted"}
        with start("call", TO, "--agent", "examples.remind:agent", "--any-hour", **settings) as call:
            assert call.stdout is not None
            log = iter(twilio.stdout.readline, "")
            assert any("POST /Calls.json 201" in line for line in log)
            assert any("ringing: ringing" in line for line in log)
            call.send_signal(number)
            call.communicate(timeout=30)
            assert any("completed: canceled" in line for line in log)
            assert call.returncode == 130
        twilio.send_signal(signal.SIGINT)
        twilio.communicate(timeout=30)
        assert twilio.returncode == 130
