"""Real databases for tests: an SQLite file, and a PostgreSQL cluster of our own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from telephony.records import client, engine, schema

PASSWORD = "of-the-tests"
_NOBODY = pwd.getpwnam("nobody")


def wait_for_slow_databases() -> None:
    """Give databases a minute to answer. On a busy machine they are late, and would count as down.

    This changes the process. Tests of these limits set them themselves.
    """
    client._CLAIM_S = client._QUERY_S = engine.WITHIN_S = 60


class CopiedSchema:
    """Creates the schema of new databases from the statements of the first migration in this process.

    A migration takes 60 ms of the processor, nearly all of it in alembic, and the tests make hundreds of databases. The
    first new database of each kind is migrated by alembic, and the statements that change the database are kept. Each
    further database gets these statements. Databases with tables of an older release are always migrated.
    """

    def __init__(self) -> None:
        self.migrate = schema._migrate
        self._statements: dict[str, list[tuple[str, Any]]] = {}

    def create(self, connection: Connection, version: int) -> None:
        kind = connection.dialect.name
        if version:
            self.migrate(connection, version)
        elif kind in self._statements:
            for statement, values in self._statements[kind]:
                connection.exec_driver_sql(statement, values)
        else:
            self._statements[kind] = self._migrated(connection)

    def _migrated(self, connection: Connection) -> list[tuple[str, Any]]:
        run: list[tuple[str, Any]] = []

        def keep(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
            if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "SHOW")):
                run.append((statement, values))

        event.listen(connection, "before_cursor_execute", keep)
        try:
            self.migrate(connection, 0)
        finally:
            event.remove(connection, "before_cursor_execute", keep)
        return run


COPIED_SCHEMA = CopiedSchema()


def create_schemas_quickly() -> None:
    """Lets this process migrate one new database of each kind, and copy its schema to the others. Tests of the
    migrations go without (`COPIED_SCHEMA.migrate`)."""
    schema._migrate = COPIED_SCHEMA.create


def postgresql_tools() -> Path | None:
    """Returns the folder of initdb and pg_ctl, which Debian does not put on PATH."""
    found = shutil.which("initdb")
    folders = (
        [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    return next((it for it in folders if (it / "initdb").exists() and (it / "pg_ctl").exists()), None)


@dataclass
class Cluster:
    """A running database cluster. `stop` and `start` can be called at any time."""

    folder: Path
    tools: Path
    port: int
    _names: Iterator[int] = field(default_factory=lambda: count(1))

    def new_database(self) -> str:
        """The address of an empty database."""
        import psycopg

        name = f"records_{next(self._names)}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._address(name)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "start", "-w", "-D", self.folder / "data", "-l", self.folder / "log", "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", self.folder / "data")

    def _address(self, name: str) -> str:
        return f"postgresql://tests:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def _run(self, tool: str, *arguments: Any) -> None:
        # PostgreSQL refuses to run as root.
        user = {"user": _NOBODY.pw_uid, "group": _NOBODY.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        subprocess.run(
            [self.tools / tool, *arguments],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=60,
            **user,  # type: ignore[call-overload]
        )


def new_database(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The address of an empty database of this kind: an SQLite file in the folder, or a database of the fixture
    `postgresql`."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/records.db"
    cluster: Cluster = request.getfixturevalue("postgresql")
    return cluster.new_database()


@contextmanager
def database(kind: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """An empty database of this kind, with the folder of all its files. It is the only database in this folder."""
    if kind == "sqlite":
        (folder / "database").mkdir()
        yield f"sqlite:///{folder}/database/records.db", folder / "database"
        return
    if (tools := postgresql_tools()) is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    with postgresql_cluster(tools) as cluster:
        yield cluster.new_database(), cluster.folder / "data"


@contextmanager
def postgresql_cluster(tools: Path) -> Iterator[Cluster]:
    """A private cluster in a temporary folder, on a free port of this machine."""
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(folder, _NOBODY.pw_uid, _NOBODY.pw_gid)
            shutil.chown(password, _NOBODY.pw_uid, _NOBODY.pw_gid)
        cluster = Cluster(folder, tools, free_port())
        cluster._run(
            "initdb", "-D", folder / "data", "-U", "tests", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync"
        )
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
