"""The call list, killed at random moments and started again, against a simulated Twilio that outlives it."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

pytestmark = pytest.mark.xdist_group("processes")

ROWS = 60
KILLS = 10
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
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()


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
