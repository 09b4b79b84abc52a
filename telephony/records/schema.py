"""The database tables, and how they are created and upgraded.

The names of the four tables begin with `telephony_`, so they can share a database with others. `telephony_schema` holds
the version. The first connection of a process upgrades the schema in one transaction, under a lock: it creates the
tables in an empty database, and runs the missing steps in an older one. An older release refuses a newer schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
    update,
)

from ..errors import RecordsUnavailable
from .call_record import MAX_CHARS

__all__ = ["VERSION", "calls", "claims", "processes", "upgrade", "version_of"]

VERSION = 2

STEPS: Mapping[int, Sequence[str]] = {
    2: [  # the defaults are for processes of the older release that still write
        "ALTER TABLE telephony_calls ADD COLUMN process VARCHAR(64) NOT NULL DEFAULT ''",
        "ALTER TABLE telephony_calls ADD COLUMN stream VARCHAR(32) NOT NULL DEFAULT ''",
        "ALTER TABLE telephony_calls ADD COLUMN reattached INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE telephony_calls ADD COLUMN offered INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE telephony_calls ADD COLUMN document TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX ix_telephony_calls_open ON telephony_calls (process) WHERE ended_at IS NULL",
        "CREATE TABLE telephony_processes "
        "(id VARCHAR(64) NOT NULL PRIMARY KEY, expires_at TIMESTAMP WITH TIME ZONE NOT NULL)",
    ]
}
"""The SQL that upgrades the schema to each version from the version before. Only add steps; never change one."""

_LOCK = 7_483_115_020
"""The number of PostgreSQL's advisory lock for upgrades: any number, the same in all processes."""

metadata = MetaData()

schema = Table("telephony_schema", metadata, Column("version", Integer, nullable=False))

claims = Table(
    "telephony_claims",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("key_hash", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)

processes = Table(
    "telephony_processes",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
"""The leases. A process that stops renewing its lease has ended or is frozen."""

_is_open = text("ended_at IS NULL")

calls = Table(
    "telephony_calls",
    metadata,
    Column("id", String(MAX_CHARS["id"]), primary_key=True),
    Column("sid", String(MAX_CHARS["sid"]), unique=True),
    Column("direction", String(MAX_CHARS["direction"]), nullable=False),
    Column("caller", Text, nullable=False),
    Column("called", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("instance", String(MAX_CHARS["instance"]), nullable=False),
    Column("process", String(MAX_CHARS["process"]), nullable=False, server_default=""),
    Column("status", String(MAX_CHARS["status"]), nullable=False),
    Column("reason", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("answered_by", String(MAX_CHARS["answered_by"]), nullable=False),
    Column("message_left", Boolean, nullable=False),
    Column("stream", String(MAX_CHARS["stream"]), nullable=False, server_default=""),
    Column("reattached", Integer, nullable=False, server_default="0"),
    Column("offered", Integer, nullable=False, server_default="0"),
    Column("document", Text, nullable=False, server_default=""),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("duration_s", Integer),
    Column("cost", Float),
    Column("currency", String(MAX_CHARS["currency"]), nullable=False),
    Index("ix_telephony_calls_updated_at", "updated_at"),
    Index("ix_telephony_calls_open", "process", sqlite_where=_is_open, postgresql_where=_is_open),
)


def version_of(connection: Connection) -> int:
    """The version of the schema. 0: there are no tables yet."""
    if not inspect(connection).has_table(schema.name):
        return 0
    return int(connection.execute(select(schema.c.version)).scalar_one())


def upgrade(connection: Connection) -> None:
    """Create or upgrade the tables, in the transaction of `connection`.

    Raises:
        RecordsUnavailable: the schema is newer than this release.
    """
    if connection.dialect.name == "postgresql":  # SQLite's transactions here are exclusive from the start
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    version = version_of(connection)
    if version > VERSION:
        raise RecordsUnavailable(
            f"its schema is of version {version}, and this release knows {VERSION}: run the newer release"
        )
    if version == 0:
        metadata.create_all(connection)
        connection.execute(insert(schema).values(version=VERSION))
        return
    for step in range(version + 1, VERSION + 1):
        for statement in STEPS[step]:
            connection.execute(text(statement))
    if version < VERSION:
        connection.execute(update(schema).values(version=VERSION))
