"""Adds the columns for the details of a call: its answer, ending, agents, outcome, turns, tools, transfers, usage and
cost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for column in (
        sa.Column("subject", sa.String(64), nullable=False, server_default=""),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
        sa.Column("ending", sa.String(32), nullable=False, server_default=""),
        sa.Column("agents", sa.JSON),
        sa.Column("outcome", sa.Text, nullable=False, server_default=""),
        sa.Column("result", sa.JSON),
        sa.Column("summary", sa.Text, nullable=False, server_default=""),
        sa.Column("turns", sa.JSON),
        sa.Column("interruptions", sa.Integer),
        sa.Column("tools", sa.JSON),
        sa.Column("transfers", sa.JSON),
        sa.Column("usage", sa.JSON),
        sa.Column("model_cost", sa.Float),
        sa.Column("journal", sa.Text, nullable=False, server_default=""),
        sa.Column("variant", sa.String(64), nullable=False, server_default=""),
    ):
        op.add_column("telephony_calls", column)
    op.execute("UPDATE telephony_calls SET started_at = updated_at WHERE started_at IS NULL")
    for name, columns in {
        "started_at": ["started_at", "id"],
        "subject": ["subject", "started_at"],
    }.items():
        op.create_index(f"ix_telephony_calls_{name}", "telephony_calls", columns)
