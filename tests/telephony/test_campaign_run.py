"""`telephony campaign run` in a process of its own, against a simulated Twilio that outlives it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

pytest.importorskip("dbos")
pytestmark = pytest.mark.real_time
ROOT = Path(__file__).parents[2]
NUMBERS = [f"+1415555{2000 + n}" for n in range(6)]
WITHIN_S = 120.0


def environment(**ours: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), **ours}


def until(condition: Callable[[], Any]) -> Any:
    """Wait for a condition. The limit is for a test that hangs."""
    limit = time.monotonic() + WITHIN_S
    while not (found := condition()):
        assert time.monotonic() < limit
        time.sleep(0.05)
    return found


@contextmanager
def simulated_twilio(folder: Path, *callees: str) -> Iterator[dict[str, str]]:
    arguments = [argument for callee in callees for argument in ("--callee", callee)]
    command = [sys.executable, "-m", "telephony", "simulate", "--json", "--calls-per-second", "50", *arguments]
    printed = folder / "twilio.jsonl"
    with printed.open("w") as file, subprocess.Popen(command, stdout=file, env=environment(), cwd=ROOT) as process:
        try:
            until(lambda: "\n" in printed.read_text() or process.poll() is not None)
            yield json.loads(printed.read_text().splitlines()[0])
        finally:
            process.send_signal(signal.SIGINT)


def placed(account: dict[str, str]) -> list[Any]:
    http = TwilioHttpClient()
    client = Client(account["TWILIO_ACCOUNT_SID"], account["TWILIO_AUTH_TOKEN"], http_client=http)
    client.api.base_url = account["TELEPHONY_TWILIO_API_URL"]
    try:
        return list(client.calls.list(page_size=100))
    finally:
        http.session.close()


def settings(account: dict[str, str], folder: Path) -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return environment(**account, PORT=str(port), PUBLIC_URL=f"http://127.0.0.1:{port}", TELEPHONY_MODEL="scripted",
                       TELEPHONY_DATA_DIR=str(folder / "data"), TELEPHONY_QUIET_HOURS="off")  # fmt: skip


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "telephony", "campaign", "run", *map(str, arguments)]


def people(folder: Path, numbers: list[str]) -> Path:
    path = folder / "people.csv"
    path.write_text("to,name\n" + "".join(f"{number},Ada\n" for number in numbers))
    return path


NEW = ("--agent", "examples.remind:agent", "--retry", "busy=0", "--set", "holidays=true", "--per-second", "20")


def run(*arguments: str | Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=env, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )


def test_the_first_ctrl_c_lets_the_live_call_end_and_the_next_run_goes_on(tmp_path: Path) -> None:
    brief = tmp_path / "brief.toml"
    brief.write_text('steps = [{ say = "hello" }, { pause = 2.0 }, { hang_up = true }]')
    path = people(tmp_path, [*NUMBERS, "12"])
    with simulated_twilio(tmp_path, "busy", f"{NUMBERS[0]}={brief}") as account:
        env = settings(account, tmp_path)
        errors = tmp_path / "errors.txt"
        with (
            errors.open("w") as file,
            subprocess.Popen(command(path, *NEW, "--at-once", "1"), env=env, cwd=ROOT, stderr=file,
                             stdout=subprocess.DEVNULL) as first,
        ):  # fmt: skip
            until(lambda: first.poll() is not None or any(call.status == "in-progress" for call in placed(account)))
            first.send_signal(signal.SIGINT)
            assert first.wait(WITHIN_S) == 130, errors.read_text()
        (call,) = placed(account)
        assert call.status == "completed", "the live call went on to its end"
        rest = run("people", "--json", env=env)
        assert rest.returncode == 0, rest.stderr
        found = json.loads(rest.stdout)
        assert (found["status"], found["funnel"]["states"]) == ("finished", {"done": 6, "invalid": 1})
        assert Counter(each.to for each in placed(account)) == Counter(NUMBERS), "each once"
