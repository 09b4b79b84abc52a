"""The command line: the objects that it loads, its errors, and its exit codes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from realtime_core import RealtimeAgent
from realtime_core.errors import UserError
from telephony.agent_choice import chosen_agent
from telephony.call.call_info import CallInfo
from telephony.cli import _print_in_any_encoding, main, processes
from telephony.cli.app import app
from telephony.cli.errors import CliError, reporting
from telephony.demo.stubs import stubbed
from telephony.errors import ImportStringError
from telephony.import_strings import load_agent, load_agents
from telephony.outcomes.call_agent import agent_for_call
from tests.support import commands

AGENTS = """
from realtime_core import RealtimeAgent
from starlette.applications import Starlette
agent = RealtimeAgent(name="Desk")
class Shop:
    desk = agent
def pick(call):
    return agent
def no_argument():
    return agent
app = Starlette()
number = 5
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Yields a user's project: the current directory, which is not on the path of Python."""
    (tmp_path / "shopdesk.py").write_text(AGENTS)
    (tmp_path / "raising.py").write_text("1 / 0\n")
    (tmp_path / "needing.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("PUBLIC_URL", "TWILIO_AUTH_TOKEN", "OPENAI_API_KEY", "OPENAI_BASE_URL", "HOST", "PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("name", ["shopdesk:agent", "shopdesk:Shop.desk"])
def test_an_agent_is_found_in_the_current_directory(project: Path, name: str) -> None:
    agent = load_agent(name)
    assert isinstance(agent, RealtimeAgent) and agent.name == "Desk"


def test_a_function_that_picks_an_agent(project: Path) -> None:
    assert callable(load_agent("shopdesk:pick"))


def test_agents_by_called_number(project: Path) -> None:
    (project / "desks.py").write_text(
        "from shopdesk import agent, pick\nagents = {'+14155550101': agent, '+14155550102': pick}\n"
        "wrong = {'+14155550101': 5}\nnone = {}\n"
    )
    agents = load_agents("desks:agents")
    assert isinstance(agents, dict) and list(agents) == ["+14155550101", "+14155550102"]
    assert load_agents("shopdesk:agent") is load_agent("shopdesk:agent")
    for name, complaint in {"desks:wrong": r"desks:wrong\['\+14155550101'\] is a int", "desks:none": "empty"}.items():
        with pytest.raises(ImportStringError, match=complaint):
            load_agents(name)
    with pytest.raises(ImportStringError, match="is a dict"):
        load_agent("desks:agents")


@pytest.mark.parametrize(
    ("name", "complaint", "hint", "code"),
    [
        ("shopdesk", "'shopdesk' names no agent.", "module:attribute", 2),
        ("shopdesk.py:agent", "is a path", "Write shopdesk:agent.", 2),
        ("./shop/desk.py:agent", "is a path", "Write shop.desk:agent.", 2),
        ("nothere:agent", "There is no module 'nothere'.", "looked in", 2),
        ("..shopdesk:agent", "'..shopdesk:agent' names no agent.", "module:attribute", 2),
        ("shop\\desk.py:agent", "is a path", "Write shop.desk:agent.", 2),
        ("/srv/other/desk.py:agent", "is a path", "Change to /srv/other and write desk:agent.", 2),
        ("shopdesk:no_argument", "cannot select an agent", "", 2),
        ("shopdesk:agnet", "shopdesk has no 'agnet'.", "Did you mean 'agent'?", 2),
        ("shopdesk:number", "is a int, not a RealtimeAgent", "", 2),
        ("shopdesk:Shop", "is a type, not a RealtimeAgent", "", 2),
        ("shopdesk:app", "is an application", "uvicorn shopdesk:app", 2),
        ("raising:agent", "raising raises ZeroDivisionError: division by zero", "-v shows where.", 1),
        ("needing:agent", "imports 'a_package_that_is_not_there', which is not installed", "", 1),
    ],
)
def test_import_strings_that_cannot_be_loaded(project: Path, name: str, complaint: str, hint: str, code: int) -> None:
    with pytest.raises(ImportStringError) as caught:
        load_agent(name)
    assert complaint in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.is_usage == (code == 2)

    for command in ("serve", "demo"):
        result = CliRunner().invoke(app, [command, name])
        assert result.exit_code == code
        assert result.stderr.startswith(f"telephony: {caught.value}")
        assert "Traceback" not in result.stderr
        assert len(result.stderr.splitlines()) <= 2
        assert not result.stdout


def test_blanks_around_an_import_string_do_not_count(project: Path) -> None:
    assert load_agent(" shopdesk:agent ") is load_agent("shopdesk:agent")


@pytest.mark.parametrize("source", [lambda info: 5, lambda info: None])
@pytest.mark.parametrize("wrap", [stubbed, lambda source: agent_for_call(source, {"name": "Ada"}, ()), lambda it: it])
def test_a_function_that_picks_no_agent_is_named(source: Any, wrap: Any) -> None:
    with pytest.raises(UserError, match=rf"The function {re.escape(source.__name__)}, .* must return a RealtimeAgent"):
        asyncio.run(chosen_agent(wrap(source), CallInfo("CA1")))


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "/srv/list"), OSError(28, "No space left")])
def test_a_file_that_cannot_be_used_is_one_line_and_a_hint(error: OSError, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), reporting(verbose=False):
        raise error
    message, hint = capsys.readouterr().err.splitlines()
    assert str(error.strerror) in message and hint.startswith("  hint: ")


def test_a_command_in_a_deleted_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deleted"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(SystemExit, match="telephony: the current folder does not exist any more"):
        main()


def test_a_terminal_without_a_character_shows_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii"))
    _print_in_any_encoding()
    print("J\u00fcrgen", flush=True)
    assert printed.getvalue() == b"J?rgen\n"


def test_the_traceback_is_shown_with_v(project: Path) -> None:
    result = CliRunner().invoke(app, ["serve", "raising:agent", "-v"])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr and "1 / 0" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["serve", "--colour"], ["sevre"], ["serve", "--port", "many"], ["demo", "--script"], []]
)
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_all_problems_of_the_settings_are_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://phone.example.com")
    result = CliRunner().invoke(app, ["serve", "shopdesk:agent"])
    assert result.exit_code == 1
    assert [line.split(":")[1].strip() for line in result.stderr.splitlines()] == [
        "TWILIO_AUTH_TOKEN",
        "OPENAI_API_KEY",
    ]


def test_it_runs_as_a_module(project: Path) -> None:
    result = commands.run("-m", "telephony", "serve", "nothere:agent", timeout=60)
    assert result.returncode == 2
    assert result.stderr.startswith("telephony: There is no module 'nothere'.\n  hint: AGENT is an import string")


def test_serve_answers_until_it_is_interrupted(project: Path) -> None:
    command = ("-m", "telephony", "serve", "shopdesk:agent", "--port", "0", "--json")
    with commands.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        with urllib.request.urlopen(f"{ready['listening']}/healthz", timeout=60) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert "Traceback" not in err


def test_a_closed_pipe_ends_a_command_without_a_word(tmp_path: Path) -> None:
    """As in `telephony calls list | head`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as pipe:
        result = commands.run("-m", "telephony", "calls", "list", cwd=tmp_path, stdout=pipe, stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        result = commands.run("-m", "telephony", "calls", "list", cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert result.stderr.startswith("telephony: The output, a file or a connection cannot be used: No space left")


def test_version() -> None:
    shown = CliRunner().invoke(app, ["--version"])

    assert (shown.exit_code, shown.stdout) == (0, f"telephony-agent {metadata.version('telephony-agent')}\n")


@pytest.mark.parametrize(
    "version, warns",
    [("2.6.2", True), ("v2.11.1 h1:abc=", True), ("v2.11.2 h1:abc=", False), ("v3.0.0", False), ("(devel)", False)],
)
def test_an_old_caddy_is_reported(
    version: str, warns: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caddy = tmp_path / "caddy"
    caddy.write_text(f"#!/bin/sh\necho '{version}'\n")
    caddy.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    processes._check_caddy()
    assert ["Install Caddy 2.11.2 or newer" in record.getMessage() for record in caplog.records] == [True] * warns
    caddy.unlink()
    with pytest.raises(CliError, match="not on PATH"):
        processes._check_caddy()
