"""Opens the database of the settings, in which the call records are stored."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import SettingsError
from ..settings import Settings
from . import Records

__all__ = ["missing_file", "open_records"]

log = logging.getLogger(__name__)


def missing_file(url: str) -> Path | None:
    """Returns the path of the SQLite file of this URL if there is no such file. Returns None if there is one, or if the
    URL is that of another database.
    """
    parts = urlsplit(url)
    file = Path(parts.path.removeprefix("/"))
    return file.absolute() if parts.scheme == "sqlite" and not os.path.lexists(file) else None


def open_records(settings: Settings) -> Records | None:
    """Returns the database of the settings, without connecting to the database. Returns None if records are kept only
    in the memory of this process. This is the case if the settings say so, or if the default data directory is not
    writable. In the second case a warning is logged.

    Raises:
        SettingsError: the driver of the database is not installed, or TELEPHONY_DATA_DIR is not writable.
    """
    url, folder = settings.records_url, settings.data_dir
    if url is None:
        return None
    if settings.database_url is None and folder is not None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            problem = f"TELEPHONY_DATA_DIR: {folder.absolute()} cannot be written to ({error.strerror})"
            if "telephony_data_dir" in settings.model_fields_set:
                raise SettingsError([f"{problem}: set a writable folder, or `off`"]) from None
            log.warning("%s. Call records are kept in memory, and are lost when this process ends.", problem)
            return None
    from .database import DatabaseRecords

    return DatabaseRecords(url)
