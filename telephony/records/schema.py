"""The database tables, and how these tables are created and upgraded.

The names of the tables begin with `telephony_`, so other applications can use the same database. The first connection
of a process upgrades the schema in one transaction, under a lock. alembic runs the scripts of `migrations/versions`:
all scripts in an empty database, or the missing scripts in an older database. `telephony_schema` also contains the
version, because releases before alembic read this table. An older release refuses a newer schema.
"""

from __future__ import annotations

import threading

from sqlalchemy import (
    JSON,
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

__all__ = [
    "VERSION",
    "VERSION_TABLE",
    "attempts",
    "audit",
    "calls",
    "campaigns",
    "canary_calls",
    "claims",
    "contacts",
    "number_claims",
    "opt_outs",
    "processes",
    "tokens",
    "upgrade",
    "version_of",
    "webhooks",
]

VERSION = 9
VERSION_TABLE = "telephony_migrations"
"""The name of alembic's version table. The user's database may have its own table `alembic_version`."""
_LOCK = 7_483_115_020
"""The id of PostgreSQL's advisory lock for upgrades. The id is arbitrary and must be the same in all processes."""

_migrating = threading.Lock()
"""A lock for migrations, because alembic keeps the running migration in a global variable."""

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
"""The leases of processes, which show that a process is alive. A process that stops renewing its lease has ended or is
suspended.
"""

_is_open = text("ended_at IS NULL")
_json = JSON(none_as_null=True)

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
    Column("subject", String(MAX_CHARS["subject"]), nullable=False, server_default=""),
    Column("answered_at", DateTime(timezone=True)),
    Column("ending", String(MAX_CHARS["ending"]), nullable=False, server_default=""),
    Column("agents", _json),
    Column("outcome", Text, nullable=False, server_default=""),
    Column("result", _json),
    Column("summary", Text, nullable=False, server_default=""),
    Column("turns", _json),
    Column("interruptions", Integer),
    Column("tools", _json),
    Column("transfers", _json),
    Column("usage", _json),
    Column("model_cost", Float),
    Column("journal", Text, nullable=False, server_default=""),
    Column("variant", String(MAX_CHARS["variant"]), nullable=False, server_default=""),
    Column("consent", _json),
    Column("language", String(MAX_CHARS["language"]), nullable=False, server_default=""),
    Column("steps", _json),
    Column("task", _json),
    Column("number_key", String(MAX_CHARS["number_key"]), nullable=False, server_default=""),
    Index("ix_telephony_calls_started_at", "started_at", "id"),
    Index("ix_telephony_calls_subject", "subject", "started_at"),
    Index("ix_telephony_calls_updated_at", "updated_at"),
    Index("ix_telephony_calls_open", "process", sqlite_where=_is_open, postgresql_where=_is_open),
)

releases = Table(
    "telephony_releases",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)
"""The decisions about canaries, which are new agent versions for a part of the callers (`telephony.versions`)."""

canary_calls = Table(
    "telephony_canary_calls",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("place", String(64), nullable=False),
    Column("version", String(MAX_CHARS["variant"]), nullable=False),
    Column("failed", Boolean, nullable=False),
    Index("ix_telephony_canary_calls_place", "place", "version", "id"),
)
"""The last calls of each canary (a new agent version for a part of the callers), and whether these calls failed."""

webhooks = Table(
    "telephony_webhooks",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("call_id", String(MAX_CHARS["id"]), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("give_up_at", DateTime(timezone=True), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Index("ix_telephony_webhooks_due", "state", "due_at"),
    Index("ix_telephony_webhooks_call_id", "call_id"),
)
"""The messages about ended calls and campaigns that are delivered by webhook. Each row is one `outbox.Message`."""

tokens = Table(
    "telephony_tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("numbers", _json),
    Column("parent", String(32), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Index("ix_telephony_tokens_parent", "parent"),
)
"""The tokens and sessions of the console (`access.StoredToken`)."""

audit = Table(
    "telephony_audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("who", Text, nullable=False),
    Column("action", String(32), nullable=False),
    Column("call", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_telephony_audit_call", "call"),
)
"""The audit log (`access.AuditEntry`). The database refuses every change and deletion of a row."""
opt_outs = Table(
    "telephony_opt_outs",
    metadata,
    Column("subject", String(64), primary_key=True),
    Column("number", Text, nullable=False),
    Column("source", String(16), nullable=False),
    Column("added_at", DateTime(timezone=True), nullable=False),
    Column("remark", Text, nullable=False),
    Index("ix_telephony_opt_outs_added_at", "added_at"),
)
"""The do-not-call list (`opt_outs.OptOut`)."""

number_claims = Table(
    "telephony_number_claims",
    metadata,
    Column("subject", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("process", String(64), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)
"""The phone numbers that are being called now. While a number is in this table, no second call to it begins
(`opt_outs.NumberClaims`).
"""

campaigns = Table(
    "telephony_campaigns",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("pause_reason", String(16), nullable=False),
    Column("config", _json, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("resumed_at", DateTime(timezone=True)),
    Column("last_started_at", DateTime(timezone=True)),
    Column("live", Integer, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("seconds", Integer, nullable=False),
    Column("cost", Float, nullable=False),
    Column("currency", String(8), nullable=False),
    Column("priced", Integer, nullable=False),
    Column("unpriced", Integer, nullable=False),
    Index("ix_telephony_campaigns_status", "status"),
    Index("ix_telephony_campaigns_created_at", "created_at"),
)
"""The table of campaigns (outgoing calls to a list of contacts). A process that is about to dial locks the row of its
campaign, so the limits apply to all processes together. The row contains the number of calls so far, because counting
them again would become slower with each call.
"""

_is_pending = text("state = 'pending'")

contacts = Table(
    "telephony_contacts",
    metadata,
    Column("campaign", String(64), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("number", Text, nullable=False),
    Column("subject", String(64), nullable=False),
    Column("extension", Text, nullable=False),
    Column("timezone", String(64), nullable=False),
    Column("consent", Boolean),
    Column("data", _json, nullable=False),
    Column("members", _json, nullable=False),
    Column("lines", _json, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(16), nullable=False),
    Column("problem", Text, nullable=False),
    Column("next_at", DateTime(timezone=True)),
    Column("retried_at", DateTime(timezone=True)),
    Column("queued_until", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("ix_telephony_contacts_state", "campaign", "state", "reason"),
    Index("ix_telephony_contacts_position", "campaign", "position"),
    Index("ix_telephony_contacts_subject", "subject"),
    Index("ix_telephony_contacts_due", "campaign", "next_at", sqlite_where=_is_pending, postgresql_where=_is_pending),
)
"""The contacts of campaigns. Each row is one contact: the person, the state, and the time of the next attempt. No
process begins an attempt for the contact before `queued_until`. The time is set when an attempt waits in the queue, or
when the limits of the campaign allow no attempt.
"""

_is_in_progress = text("outcome = ''")

attempts = Table(
    "telephony_attempts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("campaign", String(64), nullable=False),
    Column("contact", String(200), nullable=False),
    Column("number", Text, nullable=False),
    Column("subject", String(64), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("requests", Integer, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("outcome", String(16), nullable=False),
    Column("sid", String(64), nullable=False),
    Column("answered_by", String(32), nullable=False),
    Column("duration_s", Integer, nullable=False),
    Column("cost", Float),
    Column("currency", String(8), nullable=False),
    Column("result", _json),
    Column("transcript", Text, nullable=False),
    Column("callback_at", DateTime(timezone=True)),
    Column("message_left", Boolean, nullable=False),
    Column("inbound", Boolean, nullable=False),
    Column("error", Text, nullable=False),
    Index("ix_telephony_attempts_contact", "campaign", "contact", "started_at"),
    Index("ix_telephony_attempts_started_at", "campaign", "started_at"),
    Index("ix_telephony_attempts_ended_at", "campaign", "ended_at"),
    Index("ix_telephony_attempts_outcome", "campaign", "outcome", "ended_at"),
    Index("ix_telephony_attempts_subject", "subject", "started_at"),
    Index("ix_telephony_attempts_open", "owner", sqlite_where=_is_in_progress, postgresql_where=_is_in_progress),
)
"""The attempts of campaigns. Each row is one attempt to reach a contact, or one inbound call of the contact. The id of
the attempt is also the id of its call record. `requests` is the number of times that Twilio may have been asked to make
the call.
"""


def version_of(connection: Connection) -> int:
    """Returns the version of the database schema, or 0 if there are no tables."""
    if not inspect(connection).has_table(schema.name):
        return 0
    return int(connection.execute(select(schema.c.version)).scalar_one())


def upgrade(connection: Connection) -> None:
    """Creates or upgrades the database tables, in the transaction of `connection`.

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
    if version == VERSION:
        return
    _migrate(connection, version)
    if version:
        connection.execute(update(schema).values(version=VERSION))
    else:
        connection.execute(insert(schema).values(version=VERSION))


def _migrate(connection: Connection, version: int) -> None:
    """Runs the missing migrations. A database of a release before alembic first gets its revision."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "telephony.records:migrations")
    with _migrating:
        if version and not inspect(connection).has_table(VERSION_TABLE):
            command.stamp(config, f"{version:04}")
        command.upgrade(config, f"{VERSION:04}")
