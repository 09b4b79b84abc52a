"""A forked command is a process like one of an interpreter of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import commands

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="commands are forked on Linux only")

SHOWN = """
import json, os, sys, threading
shown = {
    "arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ), "parent": os.getppid(),
    "input": sys.stdin.read(), "group": os.getpgid(0) == os.getpid(), "session": os.getsid(0) == os.getpid(),
    "tests": [name for name in sys.modules if name.split(".")[0] == "tests"], "main": __name__, "path": sys.path[:2],
    "files": sorted(os.listdir("/proc/self/fd"), key=int)[:3], "threads": threading.active_count(),
}
print(json.dumps(shown))
print("to the other stream", file=sys.stderr)
"""


def test_it_has_its_own_arguments_folder_environment_and_streams(tmp_path: Path) -> None:
    environment = {"PATH": "/bin", "PYTHONPATH": "/nowhere"}
    done = commands.run("-c", SHOWN, "a", "b c", input="given", cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (0, "to the other stream\n")
    shown = json.loads(done.stdout)
    assert shown == {
        "arguments": ["a", "b c"], "folder": str(tmp_path), "environment": environment, "parent": os.getpid(),
        "input": "given", "group": False, "session": False, "tests": [], "main": "__main__",
        "path": [str(tmp_path), "/nowhere"], "files": ["0", "1", "2"], "threads": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("option", "shown"), [({"start_new_session": True}, {"session": True, "group": True}),
                                               ({"process_group": 0}, {"session": False, "group": True})])  # fmt: skip
def test_it_has_its_own_group_or_session(option: dict[str, int], shown: dict[str, bool]) -> None:
    done = commands.run("-c", SHOWN, stdin=subprocess.DEVNULL, **option)
    assert shown.items() <= json.loads(done.stdout).items()


@pytest.mark.parametrize(
    ("code", "exit_code", "error"),
    [
        ("pass", 0, ""),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('why')", 1, "why\n"),
        ("1 / 0", 1, "division by zero\n"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT); input()", -signal.SIGINT, "KeyboardInterrupt\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM); input()", -signal.SIGTERM, ""),
        ("import atexit; atexit.register(print, 'at exit')", 0, ""),
        ("import threading; threading.Timer(0.01, print, ['at exit']).start()", 0, ""),
    ],
)
def test_it_ends_as_an_interpreter_does(code: str, exit_code: int, error: str) -> None:
    done = commands.run("-c", code, timeout=60)
    assert done.returncode == exit_code
    assert done.stderr.endswith(error) and bool(done.stderr) == bool(error)
    assert done.stdout == ("at exit\n" if "at exit" in code else "")


@pytest.mark.real_time
async def test_asyncio_waits_for_it() -> None:
    process = await commands.start_async("-c", "input()", stdin=asyncio.subprocess.PIPE)
    assert process.returncode is None
    process.kill()
    assert await process.wait() == -signal.SIGKILL


def test_two_forks_draw_other_random_numbers() -> None:
    code = "import random, uuid; print(random.random(), uuid.uuid4())"
    drawn = [commands.run("-c", code).stdout.split() for _ in range(2)]
    assert drawn[0][0] != drawn[1][0] and drawn[0][1] != drawn[1][1]


def test_other_processes_are_ordinary_ones() -> None:
    assert subprocess.Popen.__module__ == "subprocess"
    shown = subprocess.run([sys.executable, "-c", SHOWN], input="", capture_output=True, text=True, check=True)
    assert "telephony" not in shown.stdout.partition('"tests"')[2]
