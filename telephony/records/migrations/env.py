"""Runs the migrations of the database on the connection of the code that upgrades the schema, in its transaction.
alembic executes this file.
"""

from __future__ import annotations

from alembic import context

from telephony.records.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
