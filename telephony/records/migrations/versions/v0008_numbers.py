"""Adds three columns to the table of calls: the language, the results of the configured steps (such as an agent and a
voicemail) that were tried for the caller, and a task that must be done after the call.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("telephony_calls", sa.Column("language", sa.String(16), nullable=False, server_default=""))
    op.add_column("telephony_calls", sa.Column("steps", sa.JSON(none_as_null=True)))
    op.add_column("telephony_calls", sa.Column("task", sa.JSON(none_as_null=True)))
