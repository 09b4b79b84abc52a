"""Adds the tokens of the console, and the audit log. Rows of the audit log cannot be changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_REFUSAL = "the audit cannot be changed"


def upgrade() -> None:
    op.create_table(
        "telephony_tokens",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("numbers", sa.JSON),
        sa.Column("parent", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_telephony_tokens_parent", "telephony_tokens", ["parent"])
    op.create_table(
        "telephony_audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("call", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("ix_telephony_audit_call", "telephony_audit", ["call"])
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER telephony_audit_{event.lower()} BEFORE {event} ON telephony_audit "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
        return
    # Rules belong to the table, so a dump of the tables contains the rules. The dump would not contain the function of
    # a trigger.
    for event in ("UPDATE", "DELETE"):
        op.execute(f"CREATE RULE telephony_audit_{event.lower()} AS ON {event} TO telephony_audit DO INSTEAD NOTHING")
