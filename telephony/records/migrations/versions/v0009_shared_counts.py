"""Adds the configured number to the calls, and a table with the results of the last calls of each canary (a new agent
version for a part of the callers).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("telephony_calls", sa.Column("number_key", sa.String(64), nullable=False, server_default=""))
    op.create_table(
        "telephony_canary_calls",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("failed", sa.Boolean, nullable=False),
    )
    op.create_index("ix_telephony_canary_calls_place", "telephony_canary_calls", ["place", "version", "id"])
