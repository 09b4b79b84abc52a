"""`telephony serve` while one works on an agent: it starts again after a change, and says what to do about a port."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from telephony.cli.app import app
from telephony.cli.reload import changed_files, watched_files
from telephony.errors import ServerFailed
from telephony.web.server import check_port, free_port, listening

ROOT = Path(__file__).parents[2]
AGENT = 'from realtime_core import RealtimeAgent\nagent = RealtimeAgent(name="Desk")\n'


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["serve", "--port", str(port)])
        assert done.exit_code == 1 and f"Port {port} is in use: try --port 0." in done.output
        assert len(done.output.strip().splitlines()) == 1, "nothing was started"
        for host in ("127.0.0.1", "0.0.0.0", "localhost"):
            with pytest.raises(ServerFailed, match=r"in use: try --port 0\."):
                check_port(host, port)
    check_port("127.0.0.1", free_port("127.0.0.1"))
    check_port("127.0.0.1", 0)


def test_a_port_in_use_of_a_program_is_named_too() -> None:
    async def serve(port: int) -> None:
        async with listening(app, port=port):
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServerFailed, match="PORT=0"):
        asyncio.run(serve(taken.getsockname()[1]))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(ServerFailed, match=f"HOST: .*{re.escape(host)}.* is no address of this machine"):
        check_port(host, 8000)


def test_changes_are_seen(tmp_path: Path) -> None:
    for name in ("desk.py", ".env", "script.toml", "calls/CA1/a.py", ".venv/b.py", "env/lib/c.py", "env/pyvenv.cfg",
                 "tests/test_d.py", "photo.jpg", "__pycache__/e.py", "shop/menu.py"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a")
    before = watched_files(tmp_path)
    assert {path.name for path in before} == {"desk.py", ".env", "script.toml", "menu.py"}
    assert changed_files(before, watched_files(tmp_path)) == []
    (tmp_path / "shop" / "menu.py").write_text("ab")
    (tmp_path / ".env").unlink()
    (tmp_path / "new.py").write_text("")
    assert changed_files(before, watched_files(tmp_path)) == [".env", "menu.py", "new.py"]


def test_it_does_not_change_the_number_of_a_phone_at_each_start() -> None:
    done = CliRunner().invoke(app, ["serve", "--reload", "--phone"])
    assert done.exit_code == 2 and "exclude each other" in done.output and "PUBLIC_URL" in done.output


def answers(address: str) -> bool:
    with urllib.request.urlopen(f"{address}/healthz", timeout=30) as answer:
        return bool(answer.status == 200)


def test_after_a_mistake_a_change_starts_the_server_again(tmp_path: Path) -> None:
    (tmp_path / "desk.py").write_text(AGENT + "oops(\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TELEPHONY_DATA_DIR": "off", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "telephony", "serve", "desk:agent", "--reload", "--port", "0", "--json"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None

    def until(pattern: str) -> str:
        """The next line that has this."""
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(pattern, line):
                return found[0]
        raise AssertionError(f"no line with {pattern}")

    try:
        until("starts again when a file changes")  # the mistake is reported, and the program goes on
        (tmp_path / "desk.py").write_text(AGENT)
        until("desk.py changed: the server starts again")
        address = until(r"http://127\.0\.0\.1:\d+")
        assert answers(address)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        with pytest.raises(OSError):
            answers(address)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
