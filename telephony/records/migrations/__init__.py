"""The migrations of the database tables, with alembic. `env.py` runs the scripts of `versions/` in their order.

The id of a revision is the version of the schema in four digits. A released script must never be changed. A change
needs a new script, and `telephony.records.schema.VERSION` must be set to the number of this script. The defaults of new
columns are for processes of the older release, which may still write.
"""
