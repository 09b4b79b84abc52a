"""Checks that the database can be reached and written, and that this release supports its schema."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from realtime_core.sources import Sources

from ..errors import RecordsUnavailable, SettingsError
from ..settings import Settings
from .check_result import CheckResult, ok, skipped, wrong

__all__ = ["check_records"]

_IN_MEMORY = "Set TELEPHONY_DATA_DIR or DATABASE_URL to keep records over a restart."


async def check_records(settings: Settings, sources: Sources) -> CheckResult:
    if (url := settings.records_url) is None:
        return skipped("records", "used tokens, keys and call records are in memory", _IN_MEMORY)
    if settings.database_url is None and settings.data_dir is not None and not settings.data_dir.exists():
        return ok("records", f"{settings.data_dir.absolute()} will be created")
    if (file := _file_to_be(url)) is not None:
        if os.access(file.parent, os.W_OK):
            return ok("records", f"{file} will be created")
        return wrong(
            "records",
            f"{file.parent} is not a writable folder",
            "Create it, or set TELEPHONY_DATA_DIR or DATABASE_URL.",
        )
    try:
        return ok("records", await asyncio.to_thread(_try, url, sources))
    except RecordsUnavailable as error:
        return wrong("records", str(error), "Start the database, or correct DATABASE_URL. Calls continue without it.")
    except SettingsError as error:
        return wrong("records", "cannot be used", str(error))


def _file_to_be(url: str) -> Path | None:
    """Returns the SQLite file if the file does not exist yet, because opening the file would create it."""
    parts = urlsplit(url)
    file = Path(parts.path.removeprefix("/"))
    return file.absolute() if parts.scheme == "sqlite" and not file.exists() else None


def _try(url: str, sources: Sources) -> str:
    from ..records.database import DatabaseRecords

    with closing(DatabaseRecords(url, create=False)) as records:
        said = records.check()
        if "no tables yet" not in said:
            key = sources.token()
            records.claim("doctor", key, ttl_s=60, now=sources.now())
            records.release("doctor", key)
        return said
