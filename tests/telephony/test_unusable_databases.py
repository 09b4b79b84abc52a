"""Databases that cannot be used: each command that opens the records names the database, with a hint."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from realtime_core.sources import Sources
from telephony.cli.app import app
from telephony.cli.errors import reporting
from telephony.doctor.check_result import is_wrong
from telephony.doctor.records import check_records
from telephony.records.database import DatabaseRecords
from telephony.records.engine import name_of, parse_url
from telephony.settings import Settings

COMMANDS = [
    ["calls", "list"], ["calls", "export"], ["tokens", "list"], ["campaign", "status"], ["webhooks", "list"],
]  # fmt: skip
PASSWORD = "hemlig-word"


def _made(file: Path) -> None:
    with closing(DatabaseRecords(f"sqlite:///{file}")) as records:
        records.call("none")


def _garbage(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * 20)


def _text(file: Path) -> None:
    file.write_text("to,name\n+14155550123,Ada\n" * 50)


def _folder(file: Path) -> None:
    file.mkdir()


def _loop(file: Path) -> None:
    file.symlink_to(file)


def _cut_off(file: Path) -> None:
    _made(file)
    with file.open("r+b") as opened:
        opened.truncate(6000)


def _newer(file: Path) -> None:
    _made(file)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE telephony_schema SET version = 1000")


def _foreign(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE telephony_schema (id INTEGER)")


UNUSABLE: list[Callable[[Path], None]] = [_garbage, _text, _folder, _loop, _cut_off, _newer, _foreign]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = tmp_path / "records.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{file}")
    yield file


@pytest.mark.parametrize("make", UNUSABLE, ids=lambda make: make.__name__[1:])
def test_a_database_that_cannot_be_used_is_named(
    make: Callable[[Path], None], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(file)
    with closing(DatabaseRecords(f"sqlite:///{file}")) as records, pytest.raises(typer.Exit), reporting(verbose=False):
        records.access.tokens()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith(f"telephony: {file} cannot be used: "), lines
    assert "hint: DATABASE_URL" in lines[1]


def test_each_command_names_a_database_that_cannot_be_used(file: Path) -> None:
    _text(file)
    for command in COMMANDS:
        done = CliRunner().invoke(app, command)
        lines = done.output.splitlines()
        assert done.exit_code == 1 and len(lines) == 2, (command, done.output)
        assert lines[0].startswith(f"telephony: {file} cannot be used: ") and "hint: DATABASE_URL" in lines[1], command


def test_a_locked_database_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.records.engine.WITHIN_S", 0)
    _made(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = CliRunner().invoke(app, ["tokens", "list"])
    assert done.exit_code == 1 and f"{file} cannot be used: database is locked" in done.output


def test_a_database_that_does_not_exist_is_named_and_not_created(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["calls", "list"])
    assert done.exit_code == 0 and f"{file} does not exist" in done.output and "correct DATABASE_URL" in done.output
    assert not file.exists()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{file}/none/calls.db")
    done = CliRunner().invoke(app, ["calls", "list"])
    assert done.exit_code == 1 and f"there is no folder {file}/none" in done.output, done.output


def test_a_server_that_does_not_answer_is_named_without_its_password(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ada:{PASSWORD}@127.0.0.1:9/calls")
    done = CliRunner().invoke(app, ["calls", "list"])
    assert done.exit_code == 1 and "PostgreSQL at 127.0.0.1:9/calls cannot be used" in done.output, done.output
    assert PASSWORD not in done.output


def test_the_doctor_names_the_setting_of_a_database_with_an_unknown_option(tmp_path: Path) -> None:
    url = f"postgresql://ada:{PASSWORD}@127.0.0.1:9/calls?colour=blue"
    result = asyncio.run(check_records(Settings(database_url=SecretStr(url)), Sources(0)))
    assert is_wrong([result]) and "DATABASE_URL" in result.advice and "colour" in result.message
    assert PASSWORD not in str(result)


@pytest.mark.parametrize(("url", "name"), {
    "postgresql://ada:word@/calls?host=/run/postgresql": "PostgreSQL at /run/postgresql/calls",
    "postgresql:///calls": "PostgreSQL at this machine/calls",
    "sqlite:////srv/calls.db": "/srv/calls.db",
    "sqlite://": "the database in memory",
}.items())  # fmt: skip
def test_the_name_of_a_database_has_no_password(url: str, name: str) -> None:
    assert name_of(parse_url(url)) == name
