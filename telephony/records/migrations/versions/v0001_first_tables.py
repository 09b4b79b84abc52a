"""Creates the first tables: the calls, and the claims. A claim prevents a second use of a key, such as the token of a
media stream.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("telephony_schema", sa.Column("version", sa.Integer, nullable=False))
    op.create_table(
        "telephony_claims",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("key_hash", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, index=True),
    )
    op.create_table(
        "telephony_calls",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("sid", sa.String(64), unique=True),
        sa.Column("direction", sa.String(32), nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("called", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("instance", sa.String(64), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("answered_by", sa.String(32), nullable=False),
        sa.Column("message_left", sa.Boolean, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_s", sa.Integer),
        sa.Column("cost", sa.Float),
        sa.Column("currency", sa.String(8), nullable=False),
    )
    op.create_index("ix_telephony_calls_updated_at", "telephony_calls", ["updated_at"])
