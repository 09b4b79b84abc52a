"""The schema of the records is created and upgraded by alembic, in one transaction, from every released version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from telephony.errors import RecordsUnavailable
from telephony.records import schema
from telephony.records.call_record import CallUpdate
from telephony.records.database import DatabaseRecords
from tests.support.databases import COPIED_SCHEMA, CopiedSchema

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

VERSION_1 = (  # what the first release created
    "CREATE TABLE telephony_schema (version INTEGER NOT NULL)",
    "INSERT INTO telephony_schema VALUES (1)",
    "CREATE TABLE telephony_claims (kind VARCHAR(32) NOT NULL, key_hash VARCHAR(64) NOT NULL, value TEXT NOT NULL, "
    "expires_at TIMESTAMP WITH TIME ZONE NOT NULL, PRIMARY KEY (kind, key_hash))",
    "CREATE INDEX ix_telephony_claims_expires_at ON telephony_claims (expires_at)",
    "CREATE TABLE telephony_calls (id VARCHAR(64) NOT NULL PRIMARY KEY, sid VARCHAR(64), "
    "direction VARCHAR(32) NOT NULL, caller TEXT NOT NULL, called TEXT NOT NULL, agent TEXT NOT NULL, "
    "instance VARCHAR(64) NOT NULL, status VARCHAR(32) NOT NULL, reason TEXT NOT NULL, error TEXT NOT NULL, "
    "answered_by VARCHAR(32) NOT NULL, message_left BOOLEAN NOT NULL, started_at TIMESTAMP WITH TIME ZONE, "
    "ended_at TIMESTAMP WITH TIME ZONE, updated_at TIMESTAMP WITH TIME ZONE NOT NULL, duration_s INTEGER, cost FLOAT, "
    "currency VARCHAR(8) NOT NULL, UNIQUE (sid))",
    "CREATE INDEX ix_telephony_calls_updated_at ON telephony_calls (updated_at)",
)
VERSION_2 = (  # the second release ran this on it
    "ALTER TABLE telephony_calls ADD COLUMN process VARCHAR(64) NOT NULL DEFAULT ''",
    "ALTER TABLE telephony_calls ADD COLUMN stream VARCHAR(32) NOT NULL DEFAULT ''",
    "ALTER TABLE telephony_calls ADD COLUMN reattached INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE telephony_calls ADD COLUMN offered INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE telephony_calls ADD COLUMN document TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX ix_telephony_calls_open ON telephony_calls (process) WHERE ended_at IS NULL",
    "CREATE TABLE telephony_processes "
    "(id VARCHAR(64) NOT NULL PRIMARY KEY, expires_at TIMESTAMP WITH TIME ZONE NOT NULL)",
    "UPDATE telephony_schema SET version = 2",
)
RELEASED = {1: VERSION_1, 2: VERSION_1 + VERSION_2}
INSERT = (
    "INSERT INTO telephony_calls (id, sid, direction, caller, called, agent, instance, status, reason, error, "
    "answered_by, message_left, updated_at, currency) "
    "VALUES ('{0}', '{0}', 'inbound', '', '', 'Desk', '', 'in-progress', '', '', '', false, '2026-01-01 12:00:00', '')"
)


@pytest.fixture(autouse=True)
def migrated_by_alembic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_migrate", COPIED_SCHEMA.migrate)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with closing(DatabaseRecords(database_url, create=False)) as database:
        yield database._engine


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def version(engine: Engine) -> int:
    with engine.begin() as connection:
        return schema.version_of(connection)


def differences(connection: Connection) -> list[Any]:
    """What differs between the tables and `schema.metadata`."""

    def is_ours(name: str | None, kind: str, parents: Any) -> bool:
        return kind != "table" or name in schema.metadata.tables

    types = connection.dialect.name == "postgresql"  # SQLite has no types of its own for dates
    options = {"include_name": is_ours, "compare_type": types, "compare_server_default": False}
    found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata)
    return found


@pytest.mark.parametrize("released", [0, 1, 2])
def test_every_released_version_is_upgraded_to_the_same_schema(
    engine: Engine, database_url: str, released: int
) -> None:
    run(engine, *RELEASED.get(released, ()))
    if released:
        run(engine, INSERT.format("CA1"))
    for _ in range(2):
        with closing(DatabaseRecords(database_url)) as database:
            row = database.call("CA1")
            assert (row is not None) is bool(released)
            if row is not None:
                assert (row.agent, row.process, row.offered, row.result, row.started_at) == ("Desk", "", 0, None, NOON)
    assert version(engine) == schema.VERSION
    with engine.begin() as connection:
        assert differences(connection) == []
        revision = connection.exec_driver_sql(f"SELECT version_num FROM {schema.VERSION_TABLE}").scalar_one()
    assert int(revision) == schema.VERSION


@pytest.mark.parametrize("released", [1, 2])
def test_a_process_of_an_older_release_still_writes_after_the_upgrade(
    engine: Engine, database_url: str, released: int
) -> None:
    run(engine, *RELEASED[released])
    with closing(DatabaseRecords(database_url)) as database:
        assert database.call("CA1") is None
        run(engine, INSERT.format("CA1"))
        database.note([CallUpdate("CA1", NOON, changes={"result": {"people": 2}, "summary": "A table for two."})])
        row = database.call("CA1")
        assert row is not None and (row.agent, row.result, row.agents) == ("Desk", {"people": 2}, None)


@pytest.mark.parametrize("released", [1, 2])
def test_a_migration_that_fails_changes_nothing(engine: Engine, database_url: str, released: int) -> None:
    """The last statement of the upgrade fails, because an index of the user has this name."""
    run(engine, *RELEASED[released], "CREATE INDEX ix_telephony_calls_subject ON telephony_calls (currency)")
    columns = {each["name"] for each in sqlalchemy.inspect(engine).get_columns("telephony_calls")}
    for _ in range(2):
        with closing(DatabaseRecords(database_url)) as database, pytest.raises(RecordsUnavailable):
            database.call("CA1")
        inspected = sqlalchemy.inspect(engine)
        assert {each["name"] for each in inspected.get_columns("telephony_calls")} == columns
        assert not inspected.has_table(schema.VERSION_TABLE) and version(engine) == released
    run(engine, "DROP INDEX ix_telephony_calls_subject")
    with closing(DatabaseRecords(database_url)) as database:
        assert database.call("CA1") is None
    assert version(engine) == schema.VERSION


def test_the_user_s_own_alembic_table_is_left_alone(engine: Engine, database_url: str) -> None:
    run(engine, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    run(engine, "INSERT INTO alembic_version VALUES ('of the user')")
    with closing(DatabaseRecords(database_url)) as database:
        assert database.call("CA1") is None
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == "of the user"


def test_the_revisions_are_the_versions() -> None:
    config = Config()
    config.set_main_option("script_location", "telephony.records:migrations")
    revisions = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]
    assert sorted(revisions) == [f"{number:04}" for number in range(1, schema.VERSION + 1)]


def test_the_copied_schema_of_the_tests_is_that_of_the_migrations(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = CopiedSchema()
    monkeypatch.setattr(schema, "_migrate", copied.create)
    tables = []
    for _ in range(2):  # migrated, and then copied
        with closing(DatabaseRecords(database_url)) as database:
            assert database.call("CA1") is None
        with engine.begin() as connection:
            assert differences(connection) == []
            assert int(connection.exec_driver_sql(f"SELECT version_num FROM {schema.VERSION_TABLE}").scalar_one())
            inspected = sqlalchemy.inspect(connection)
            names = sorted(inspected.get_table_names())
            found = str([(name, inspected.get_columns(name), inspected.get_indexes(name)) for name in names])
            tables.append(re.sub("0x[0-9a-f]+", "", found))
            for name in names:
                connection.exec_driver_sql(f"DROP TABLE {name}")
    assert tables[0] == tables[1]
