"""The call list: killed at random moments and started again, against a simulated Twilio that outlives it; and what its
users do to it."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from benchmarks.extent import extent
from examples import call_list
from realtime_core.testing import virtual_time
from telephony.errors import TwilioServerError
from telephony.simulator import SimulatedTwilio
from telephony.telephony import Telephony

ROWS = extent(30, 60)
KILLS = extent(4, 10)
NUMBERS = [f"+1415555{2000 + n}" for n in range(ROWS)]
ROOT = Path(__file__).parents[2]


def environment(**ours: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), **ours}


@contextmanager
def simulated_twilio(folder: Path) -> Iterator[dict[str, str]]:
    """Some are busy, some say hello and hang up."""
    brief = folder / "brief.toml"
    brief.write_text('steps = [{ say = "hello" }, { pause = 0.2 }, { hang_up = true }]')
    arguments = ["--json", "--calls-per-second", "50", "--callee", "busy"]
    for number in NUMBERS[::3]:
        arguments += ["--callee", f"{number}={brief}"]
    command = [sys.executable, "-m", "telephony", "simulate", *arguments]
    result = folder / "twilio.jsonl"  # no pipe: whoever fills one waits for its reader
    with result.open("w") as file, subprocess.Popen(command, stdout=file, env=environment(), cwd=ROOT) as process:
        try:
            while "\n" not in result.read_text():
                assert process.poll() is None
                time.sleep(0.05)
            yield json.loads(result.read_text().splitlines()[0])
        finally:
            process.send_signal(signal.SIGINT)
    assert "Twilio's documentation" not in result.read_text()


def test_a_call_list_that_is_killed_calls_nobody_twice_and_leaves_nobody_out(tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("to,name\n" + "".join(f"{number},Ada\n" for number in NUMBERS))
    moments = random.Random(8)
    with simulated_twilio(tmp_path) as account:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = environment(**account, PORT=str(port), PUBLIC_URL=f"http://127.0.0.1:{port}",
                               TELEPHONY_MODEL="scripted")  # fmt: skip
        command = [sys.executable, "-m", "examples.call_list", str(people), "--agent", "examples.remind:agent",
                   "--result", "examples.remind:Outcome", "--any-hour", "--settle-s", "1",
                   "--at-once", "3", "--per-second", "10"]  # fmt: skip
        cut_short = 0
        for _ in range(KILLS):
            with subprocess.Popen(command, env=settings, cwd=ROOT, stdout=subprocess.DEVNULL) as run:
                try:
                    run.wait(moments.uniform(1.2, 2.6))
                except subprocess.TimeoutExpired:
                    run.kill()
                    cut_short += 1
        assert cut_short >= KILLS - 2, "the list was too short to be killed so often"
        done = subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        placed = calls_placed(account)
    assert Counter(NUMBERS) == Counter(placed), "each once"
    with (tmp_path / "people.results.csv").open(newline="") as file:
        results = list(csv.DictReader(file))
    assert [row["to"] for row in results] == NUMBERS
    assert {row["status"] for row in results} <= {"completed", "busy"}


def calls_placed(account: dict[str, str]) -> list[str]:
    http = TwilioHttpClient()
    client = Client(account["TWILIO_ACCOUNT_SID"], account["TWILIO_AUTH_TOKEN"], http_client=http)
    client.api.base_url = account["TELEPHONY_TWILIO_API_URL"]
    try:
        return [call.to for call in client.calls.list(page_size=100)]
    finally:
        http.session.close()


# --- on a simulator of its own, in virtual time -----------------------------------------------------------------------


class Runs:
    """Runs of the list in `people.csv`. `placed` are the numbers that were called."""

    def __init__(self, folder: Path) -> None:
        self.people = folder / "people.csv"
        self.twilios: list[SimulatedTwilio] = []

    def run(self, text: str = "", **options: object) -> list[str]:
        """Whom this run has called."""
        if text:
            self.people.write_text(text, encoding="utf-8")
        before = len(self.placed)
        call_list.main(self.people, "examples.remind:agent", per_second=10, **options)  # type: ignore[arg-type]
        return self.placed[before:]

    @property
    def placed(self) -> list[str]:
        return [call.to for twilio in self.twilios for call in twilio.calls.values()]

    @property
    def results(self) -> list[dict[str, str]]:
        with self.people.with_suffix(".results.csv").open(newline="") as file:
            return list(csv.DictReader(file))


ADA, BOB, CY = "+14155550101", "+14155550102", "+14155550103"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs, entered = Runs(tmp_path), SimulatedTwilio.__aenter__

    async def enter(twilio: SimulatedTwilio) -> SimulatedTwilio:
        runs.twilios.append(twilio)
        return await entered(twilio)

    monkeypatch.setattr(SimulatedTwilio, "__aenter__", enter)
    monkeypatch.setattr(asyncio, "run", virtual_time.run)
    monkeypatch.setenv("TELEPHONY_SIMULATE", "busy")
    return runs


def test_a_list_may_be_sorted_and_grow_between_two_runs(runs: Runs) -> None:
    assert runs.run(f"to,name\n{ADA},Ada\n{BOB},Bob\n") == [ADA, BOB]
    assert runs.run(f"to,name\n{CY},Cy\n{BOB},Bob\n{ADA},Ada\n") == [CY]
    assert runs.run(f"to,name\n{ADA},Ada\n") == []
    assert [row["status"] for row in runs.results] == ["busy"]


def test_a_list_from_a_spreadsheet_is_read(runs: Runs) -> None:
    text = "\ufeffto;name;timezone\r\n(415) 555-0101;Ada;America/Denver\r\n;nobody;\r\n+1 415 555 0102\r\n"
    assert runs.run(text) == [ADA, BOB]
    assert [row["name"] for row in runs.results] == ["Ada", ""]


def test_a_number_that_is_on_the_list_twice_is_called_twice_and_one_after_the_other(runs: Runs) -> None:
    assert runs.run(f"to,name\n{ADA},Ada\n{ADA},Eve\n", at_once=2) == [ADA, ADA]
    assert [row["status"] for row in runs.results] == ["busy", "busy"]
    assert runs.run() == []


def test_who_was_refused_is_tried_again_and_who_was_called_is_not(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.run(f"to\n{ADA}\n+19005550123\n", as_json=True) == [ADA]
    result = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["to"]: row["status"] for row in result} == {ADA: "busy", "+19005550123": "refused"}
    assert runs.run(as_json=True) == []
    assert [json.loads(line)["to"] for line in capsys.readouterr().out.splitlines()] == ["+19005550123"]


def test_a_row_that_twilio_never_called_is_called_by_the_next_run(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = SimulatedTwilio.__aenter__

    async def refusing(twilio: SimulatedTwilio) -> SimulatedTwilio:
        twilio.faults.create.extend(["500"])
        return await entered(twilio)

    with monkeypatch.context() as failing:
        failing.setattr(SimulatedTwilio, "__aenter__", refusing)
        assert runs.run(f"to\n{ADA}\n") == []
    assert runs.results[0]["status"] == "failed"
    assert runs.run() == [ADA]
    assert runs.results[0]["status"] == "busy"


def test_a_row_of_which_nothing_can_be_known_is_left_alone(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last run died with it, and now Twilio does not answer."""
    runs.people.with_suffix(".state.jsonl").write_text(
        json.dumps({"row": f"{ADA} 1", "asked": "2026-11-21T10:00:00+00:00", "status": ""}) + "\n"
    )

    async def down(*of: object) -> list[object]:
        raise TwilioServerError("Twilio failed.")

    with monkeypatch.context() as failing:
        failing.setattr(Telephony, "placed_since", down)
        assert runs.run(f"to\n{ADA}\n") == []
    assert "not known" in runs.results[0]["error"]
    assert runs.run() == [ADA], "Twilio knows of none"
    assert (runs.results[0]["status"], runs.results[0]["error"]) == ("busy", "")


def test_what_is_wrong_is_said_in_a_line(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        runs.run()
    assert (ended.value.exit_code, "cannot be read" in capsys.readouterr().err) == (2, True)
    with pytest.raises(typer.Exit):
        runs.run("name,number\nAda,1\n")
    assert "column `to`" in capsys.readouterr().err
    with call_list.State(runs.people.with_suffix(".state.jsonl")), pytest.raises(typer.Exit) as ended:
        runs.run(f"to\n{ADA}\n")
    assert (ended.value.exit_code, "Another run" in capsys.readouterr().err) == (1, True)
    assert runs.placed == []
