"""The backup and restore of the records, with the commands of docs/operations.md, while a process writes."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from telephony.cli.app import app
from telephony.records.call_record import CallUpdate
from telephony.records.database import DatabaseRecords
from telephony.records.subjects import subject_key
from telephony.settings import load_settings
from tests.support.databases import Cluster

DOCS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ADA = "+14155550123"


def commands() -> list[str]:
    """The blocks of the section: SQLite's backup and restore, and both of PostgreSQL."""
    section = DOCS.partition("\n## Backup and restore\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def run(script: str, folder: Path, **environment: str) -> None:
    ours = f"{Path(sys.executable).parent}:{environment.pop('tools', '')}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120,
        env={"PATH": ours, "HOME": str(folder), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def writing(url: str) -> Iterator[None]:
    """A process writes, one call after another."""
    stop = threading.Event()

    def write() -> None:
        with closing(DatabaseRecords(url)) as database:
            number = 0
            while not stop.is_set():
                number += 1
                database.note([CallUpdate(f"CB{number}", AT, changes={"status": "busy", "ended_at": AT})])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def begin(url: str, subject: str) -> None:
    with closing(DatabaseRecords(url)) as database:
        changes = {"sid": "CA1", "status": "completed", "ended_at": AT, "subject": subject, "result": {"people": 2}}
        database.note([CallUpdate("CA1", AT, changes=changes), CallUpdate("CA2", AT)])


def check(url: str, subject: str) -> None:
    with closing(DatabaseRecords(url)) as database:
        row = database.call("CA1")
        assert row is not None and (row.subject, row.result, row.over) == (subject, {"people": 2}, True)
        assert database.call("CA2") is not None and database.call("CA3") is None
        database.note([CallUpdate("CA4", AT)])
        assert database.interrupt(AT.replace(year=2027)) >= 1, "the calls that were open"


def test_the_commands_of_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup, restore, _ = commands()
    monkeypatch.delenv("TELEPHONY_DATA_DIR")
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    subject = subject_key(settings).of(ADA)
    url = f"sqlite:///{tmp_path}/telephony-data/records.db"
    begin(url, subject)
    with writing(url):
        run(backup, tmp_path)
    assert stat.S_IMODE((tmp_path / "records-backup.db").stat().st_mode) == 0o600
    with closing(DatabaseRecords(url)) as database:
        database.note([CallUpdate("CA3", AT)])
    database_files = sqlite3.connect(tmp_path / "telephony-data" / "records.db")  # a log that is not checkpointed
    database_files.execute("INSERT INTO telephony_claims VALUES ('k', 'h', '', '2026-01-01')")
    database_files.commit()
    shutil.copytree(tmp_path / "telephony-data", tmp_path / "crashed")
    database_files.close()
    shutil.rmtree(tmp_path / "telephony-data")
    (tmp_path / "crashed").rename(tmp_path / "telephony-data")
    (tmp_path / "telephony-data" / "number.key").unlink()
    run(restore.replace("telephony doctor\n", ""), tmp_path)
    check(url, subject)
    assert subject_key(settings).of(ADA) == subject


def test_the_commands_of_postgresql(tmp_path: Path, postgresql: Cluster) -> None:
    *_, both = commands()
    dump, restore = both.splitlines()
    url = postgresql.new_database()
    begin(url, "a subject")
    tools = str(postgresql.tools)
    with writing(url):
        run(dump, tmp_path, DATABASE_URL=url, tools=tools)
    with closing(DatabaseRecords(url)) as database:
        database.note([CallUpdate("CA3", AT)])
    run(restore, tmp_path, DATABASE_URL=url, tools=tools)
    check(url, "a subject")
    empty = postgresql.new_database()
    run(restore, tmp_path, DATABASE_URL=empty, tools=tools)
    check(empty, "a subject")


def test_a_backup_of_an_older_release_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.telephony.test_migrations import INSERT, RELEASED

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELEPHONY_DATA_DIR", "telephony-data")
    (tmp_path / "telephony-data").mkdir()
    with closing(sqlite3.connect(tmp_path / "telephony-data" / "records.db")) as old:
        for statement in (*RELEASED[2], INSERT.format("CA1")):
            old.execute(statement)
        old.commit()
    assert CliRunner().invoke(app, ["calls", "backup", "b.db"]).exit_code == 0
    with closing(DatabaseRecords("sqlite:///b.db")) as database:
        row = database.call("CA1")
        assert row is not None and row.agent == "Desk"


def test_a_backup_that_is_not_possible_ends_with_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def told(exit_code: int) -> str:
        done = CliRunner().invoke(app, ["calls", "backup", "b.db"])
        assert done.exit_code == exit_code
        return done.output

    assert "pg_dump" in told(2)
    monkeypatch.setenv("TELEPHONY_DATA_DIR", "data")
    assert "no call records yet" in told(1)
    with closing(DatabaseRecords(f"sqlite:///{tmp_path}/data.db")) as database:
        assert database.call("CA1") is None
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/data.db")
    assert "MB" in told(0)
    assert "exists already" in told(1)
