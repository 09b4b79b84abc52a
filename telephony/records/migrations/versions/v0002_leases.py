"""Adds the table of processes with their leases, and columns about the process and the media stream to the table of
calls.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for column in (
        sa.Column("process", sa.String(64), nullable=False, server_default=""),
        sa.Column("stream", sa.String(32), nullable=False, server_default=""),
        sa.Column("reattached", sa.Integer, nullable=False, server_default="0"),
        sa.Column("offered", sa.Integer, nullable=False, server_default="0"),
        sa.Column("document", sa.Text, nullable=False, server_default=""),
    ):
        op.add_column("telephony_calls", column)
    is_open = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_telephony_calls_open", "telephony_calls", ["process"], sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_table(
        "telephony_processes",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
