"""Adds the column `consent` of a call: whether and how the caller has agreed to the recording. Adds the table of the
decisions about canaries (new agent versions for a part of the callers), such as a rollback.
"""

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
