"""Implements `telephony calls backup`, which copies the database with the call records to a file."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import typer

from ..settings import load_settings
from .errors import USAGE, CliError

__all__ = ["back_up"]


def back_up(output: Path) -> None:
    """Copies the SQLite file with the call records to the file `output`, with SQLite's backup interface. The copy is
    consistent even if other processes write.
    """
    url = load_settings().records_url
    if url is None or not url.startswith("sqlite:"):
        raise CliError(
            "The database is no SQLite file.",
            "PostgreSQL: pg_dump --format=custom --table='telephony_*' --file=records.dump \"$DATABASE_URL\"",
            code=USAGE,
        )
    source = Path(urlsplit(url).path.removeprefix("/"))
    if not source.exists():
        raise CliError(f"{source} does not exist, so there are no call records yet.")
    try:
        os.close(os.open(output, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        address = f"{source.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as records, closing(sqlite3.connect(output)) as backup:
            records.backup(backup)
            (checked,) = backup.execute("PRAGMA integrity_check").fetchone()
    except FileExistsError:
        raise CliError(f"{output} exists already.", "Choose another file.") from None
    except (OSError, sqlite3.Error) as error:
        raise CliError(f"{output}: {error}.") from error
    if checked != "ok":
        raise CliError(f"{source} is damaged, and so is the backup: {checked}")
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB.")
