"""Adds the evidence about the consent to a recording, and the decisions about versions of agents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("telephony_calls", sa.Column("consent", sa.JSON(none_as_null=True)))
    op.create_table(
        "telephony_releases",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
