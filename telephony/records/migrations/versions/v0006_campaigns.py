"""Adds the do-not-call list, the claims of numbers (a claimed number gets no second call at the same time), and the
tables of campaigns.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    is_pending, in_progress = sa.text("state = 'pending'"), sa.text("outcome = ''")
    op.create_table(
        "telephony_opt_outs",
        sa.Column("subject", sa.String(64), primary_key=True),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("remark", sa.Text, nullable=False),
    )
    op.create_index("ix_telephony_opt_outs_added_at", "telephony_opt_outs", ["added_at"])
    op.create_table(
        "telephony_number_claims",
        sa.Column("subject", sa.String(64), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("process", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_telephony_number_claims_expires_at", "telephony_number_claims", ["expires_at"])
    op.create_table(
        "telephony_campaigns",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("pause_reason", sa.String(16), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resumed_at", sa.DateTime(timezone=True)),
        sa.Column("last_started_at", sa.DateTime(timezone=True)),
        sa.Column("live", sa.Integer, nullable=False),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Integer, nullable=False),
        sa.Column("cost", sa.Float, nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("priced", sa.Integer, nullable=False),
        sa.Column("unpriced", sa.Integer, nullable=False),
    )
    op.create_index("ix_telephony_campaigns_status", "telephony_campaigns", ["status"])
    op.create_index("ix_telephony_campaigns_created_at", "telephony_campaigns", ["created_at"])
    op.create_table(
        "telephony_contacts",
        sa.Column("campaign", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("extension", sa.Text, nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("consent", sa.Boolean),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("members", sa.JSON(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.Column("retried_at", sa.DateTime(timezone=True)),
        sa.Column("queued_until", sa.DateTime(timezone=True)),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_telephony_contacts_state", "telephony_contacts", ["campaign", "state", "reason"])
    op.create_index("ix_telephony_contacts_position", "telephony_contacts", ["campaign", "position"])
    op.create_index("ix_telephony_contacts_subject", "telephony_contacts", ["subject"])
    op.create_index(
        "ix_telephony_contacts_due",
        "telephony_contacts",
        ["campaign", "next_at"],
        sqlite_where=is_pending,
        postgresql_where=is_pending,
    )
    op.create_table(
        "telephony_attempts",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("campaign", sa.String(64), nullable=False),
        sa.Column("contact", sa.String(200), nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("sid", sa.String(64), nullable=False),
        sa.Column("answered_by", sa.String(32), nullable=False),
        sa.Column("duration_s", sa.Integer, nullable=False),
        sa.Column("cost", sa.Float),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("result", sa.JSON()),
        sa.Column("transcript", sa.Text, nullable=False),
        sa.Column("callback_at", sa.DateTime(timezone=True)),
        sa.Column("message_left", sa.Boolean, nullable=False),
        sa.Column("inbound", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_index("ix_telephony_attempts_contact", "telephony_attempts", ["campaign", "contact", "started_at"])
    op.create_index("ix_telephony_attempts_started_at", "telephony_attempts", ["campaign", "started_at"])
    op.create_index("ix_telephony_attempts_ended_at", "telephony_attempts", ["campaign", "ended_at"])
    op.create_index("ix_telephony_attempts_outcome", "telephony_attempts", ["campaign", "outcome", "ended_at"])
    op.create_index("ix_telephony_attempts_subject", "telephony_attempts", ["subject", "started_at"])
    op.create_index(
        "ix_telephony_attempts_open",
        "telephony_attempts",
        ["owner"],
        sqlite_where=in_progress,
        postgresql_where=in_progress,
    )
