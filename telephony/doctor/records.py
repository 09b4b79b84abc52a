"""Checks that the database can be reached and written, and that this release supports its schema."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing

from realtime_core.sources import Sources

from ..errors import RecordRefused, RecordsUnavailable, SettingsError
from ..records.opening import missing_file
from ..settings import Settings
from .check_result import CheckResult, ok, skipped, wrong

__all__ = ["check_records"]

_IN_MEMORY = "Set TELEPHONY_DATA_DIR or DATABASE_URL to keep the call records after a restart."


async def check_records(settings: Settings, sources: Sources) -> CheckResult:
    if (url := settings.records_url) is None:
        return skipped("database", "used tokens, keys and call records are in memory", _IN_MEMORY)
    if settings.database_url is None and settings.data_dir is not None and not settings.data_dir.exists():
        return ok("database", f"{settings.data_dir.absolute()} will be created")
    if (file := missing_file(url)) is not None:
        if file.parent.is_dir() and os.access(file.parent, os.W_OK):
            return ok("database", f"{file} will be created")
        return wrong(
            "database",
            f"{file.parent} is not a writable folder",
            "Create it, or set TELEPHONY_DATA_DIR or DATABASE_URL.",
        )
    try:
        return ok("database", await asyncio.to_thread(_try, url, sources))
    except (RecordsUnavailable, RecordRefused) as error:
        name = "TELEPHONY_DATA_DIR" if settings.database_url is None else "DATABASE_URL"
        cure = f"Start or repair the database, or correct {name}. Calls continue without it."
        return wrong("database", f"{error.database} cannot be used: {error}", cure)
    except SettingsError as error:
        return wrong("database", "cannot be used", str(error))


def _try(url: str, sources: Sources) -> str:
    from ..records.database import DatabaseRecords

    with closing(DatabaseRecords(url, create=False)) as records:
        said = records.check()
        if "no tables yet" not in said:
            key = sources.token()
            records.claim("doctor", key, ttl_s=60, now=sources.now())
            records.release("doctor", key)
        return said
