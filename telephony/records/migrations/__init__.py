"""The migrations of the records' tables, by alembic. `env.py` runs the scripts of `versions/` in their order.

The id of a revision is the version of the schema in four digits. Never change a script that was released; add one, and
set `telephony.records.schema.VERSION` to its number. The defaults of new columns are for processes of the older
release, which may still write.
"""
