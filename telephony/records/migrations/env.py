"""Runs the migrations of the database. alembic executes this file. It uses the connection and the transaction of
`telephony.records.schema.upgrade`, which calls alembic.
"""

from __future__ import annotations

from alembic import context

from telephony.records.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
