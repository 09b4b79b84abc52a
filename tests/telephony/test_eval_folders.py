"""An eval against another checkout of the agent, and a failed call of a saved run as a replay test."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from telephony.cli.app import app
from tests.support import commands
from tests.support.environment import NO_OTHER_PLUGINS, PLUGINS

DESK = """
from realtime_core import RealtimeAgent
from telephony import hang_up
from tables import book_table

agent = RealtimeAgent(name="Blu", instructions="You answer for Blu. {rule}", tools=[book_table, hang_up()])
"""
TABLES = '''
from realtime_core import function_tool


@function_tool
def book_table(day: str, people: int) -> str:
    """Book a table; returns the confirmation."""
    return f"{word} for {{people}} on {{day}}."
'''
CRITERIA = """
[[criterion]]
name = "asks back first"
order = ["says: is that right", "tool: book_table"]

[[criterion]]
name = "says booked"
tool = "book_table"
result_contains = "Booked"
"""


def git(*words: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    subprocess.run(["git", *identity, *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository of an agent, with its last commit in the work tree `old`."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    git("init", "-q")
    rule = "Repeat the booking and ask whether it is right before you book."
    (folder / "desk.py").write_text(DESK.format(rule=rule))
    (folder / "tables.py").write_text(TABLES.format(word="Booked"))
    git("add", "desk.py", "tables.py")
    git("commit", "-qm", "Add an agent")
    git("worktree", "add", "-q", str(tmp_path / "old"), "HEAD")
    (folder / "desk.py").write_text(DESK.format(rule="Short sentences."))
    (folder / "tables.py").write_text(TABLES.format(word="Reserved"))
    (folder / "criteria.toml").write_text(CRITERIA)
    (folder / "ada.toml").write_text(
        'name = "Ada"\ngoal = "A table for two on Friday, please."\nfacts = { day = "Friday", people = 2 }\n'
    )
    yield folder
    for name in ("desk", "tables"):
        sys.modules.pop(name, None)


def command(line: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, shlex.split(line)[1:])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_another_checkout_is_the_baseline_and_a_failed_call_becomes_a_test(repository: Path) -> None:
    """The modules of the work tree make the baseline's calls, although both trees have modules of the same names."""
    code, said = command(
        "telephony eval ada.toml --agent desk:agent --baseline desk:agent --baseline-folder ../old --run-tools "
        "--repeat 1 --workers 2 --voice stored --save runs/new"
    )
    assert "Checked:" in said, said
    for name in ("asks back first", "says booked"):
        (row,) = (line for line in said.splitlines() if line.startswith(f"  {name} "))
        assert row.split(name)[1].split()[:6] == ["0", "%", "(0-79)", "|", "baseline", "100"], said

    (line,) = (line for line in said.splitlines() if "as a replay test:" in line)
    code, added = command(line.partition("test: ")[2])
    assert code == 0 and Path("tests/test_ada_1.py").is_file(), added
    done = commands.run(
        *("-m", "pytest", *PLUGINS, "-q", "-p", "no:cacheprovider", "tests"),
        env={**os.environ, **NO_OTHER_PLUGINS, "PYTHONPATH": str(repository)},
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
