"""`telephony init`: a new project is complete, and everything in it works immediately."""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from telephony.cli.app import app
from telephony.errors import ProjectError
from telephony.starter.new_project import new_project
from tests.support import commands
from tests.support.environment import NO_OTHER_PLUGINS, PLUGINS


@pytest.fixture(autouse=True)
def no_other_desk() -> Iterator[None]:
    """The module `desk` is that of the new project."""
    sys.modules.pop("desk", None)
    yield
    sys.modules.pop("desk", None)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "My Agent"
    done = CliRunner().invoke(app, ["init", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


def test_init_asks_no_question_and_prints_the_next_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["init", "my-agent"], input="")
    assert done.exit_code == 0, done.output
    assert "cd my-agent" in done.output and "telephony demo desk:agent --fast" in done.output


def test_the_project_has_its_own_name_and_its_secrets_stay_out_of_git(project: Path) -> None:
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"] == "my-agent"
    assert (project / "README.md").read_text().startswith("# my-agent\n")
    assert ".env" in (project / ".gitignore").read_text().splitlines()
    assert (project / ".env").stat().st_mode & 0o077 == 0


def test_the_same_project_is_made_each_time(project: Path, tmp_path: Path) -> None:
    made = new_project(tmp_path / "My Agent")
    assert all((tmp_path / "My Agent" / path).read_bytes() == (project / path).read_bytes() for path in made)


def test_its_tests_pass(project: Path) -> None:
    command = ("-m", "pytest", *PLUGINS, "-q", "-p", "no:cacheprovider")
    done = commands.run(*command, cwd=project, env={**os.environ, **NO_OTHER_PLUGINS}, timeout=120)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_files_that_its_pages_name_exist(project: Path) -> None:
    for page in ("README.md", "AGENTS.md"):
        for name in re.findall(
            r"`([\w./-]+\.(?:py|toml|md|gz)|tests/|simulation/|evals/)`", (project / page).read_text()
        ):
            assert (project / name).exists(), (page, name)


@pytest.mark.parametrize("content", ["file", "folder"])
def test_a_folder_with_files_is_left_alone(content: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine") if content == "file" else (tmp_path / "kept").mkdir()
    with pytest.raises(ProjectError, match="has files already"):
        new_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_folder_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = CliRunner().invoke(app, ["init", str(tmp_path / "taken")])
    assert done.exit_code == 1 and "cannot be written" in done.output and "Traceback" not in done.output


def test_its_eval_passes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    arguments = ["evals/personas/ada.toml", "--agent", "desk:agent", "--criteria", "evals/criteria.toml"]
    done = CliRunner().invoke(app, ["eval", *arguments, "--repeat", "1", "--workers", "1", "--json"])
    assert done.exit_code == 0, done.output


def test_a_new_project_has_its_agent_and_its_files(project: Path) -> None:
    desk = runpy.run_path(str(project / "desk.py"))
    agent = desk["agent"]
    assert [tool.name for tool in agent.tools] == ["find_table", "book_table", "hang_up"] and len(agent.handoffs) == 1
    for name in (".env", "README.md", "AGENTS.md", "tests/calls/booking.jsonl.gz", "evals/criteria.toml"):
        assert (project / name).is_file(), name


def test_the_demo_of_a_new_project_runs(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(str(project))
    done = CliRunner().invoke(app, ["demo", "desk:agent", "--fast", "--seed", "1", "--json", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert set(figures["called_tools"]) == {"find_table", "book_table", "transfer_to_events"}
    assert figures["skipped_tools"] == ["hang_up"] and figures["missed_tools"] == []
