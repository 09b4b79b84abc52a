"""Journals in object storage: `<url>/<call sid>/journal.jsonl.gz`. The library is fsspec (extra `storage`).

Any URL of fsspec can be used, such as `s3://bucket/prefix`. Credentials come from the environment variables of the
backend, such as `AWS_ACCESS_KEY_ID`, and options come from `FSSPEC_<PROTOCOL>_<OPTION>`
(https://filesystem-spec.readthedocs.io/en/latest/features.html#configuration). Each method blocks.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..errors import SettingsError, StorageError

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["ObjectStorage", "StoredObject"]

_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci"}
"""The backends without folders, in which an object appears completely and at once. In other backends, a file is copied
under another name and then renamed.
"""
_MODIFIED = ("LastModified", "last_modified", "updated", "mtime", "created")
"""The names that backends use for the time of a file's last change."""
_SID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""The valid names of a call's folder. An empty name or `..` would be the folder of other calls."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A file of a call in object storage. `written` is the time at which the file was copied to the storage."""

    sid: str
    key: str
    written: datetime
    n_bytes: int

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def is_journal(self) -> bool:
        return self.name.startswith("journal") and self.name.endswith((".jsonl", ".jsonl.gz"))


class ObjectStorage:
    """The files of calls under one URL. The library of the backend is imported at the first use."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    @cached_property
    def _fs(self) -> Any:
        """The file system of fsspec. Raises `SettingsError` if the file system is not available."""
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise SettingsError(
                ["TELEPHONY_JOURNAL_STORE: object storage needs an extra: pip install 'telephony-agent[storage]'"]
            ) from None
        try:
            # Directory listings are not cached, because another process may have changed the files.
            return url_to_fs(self.url, use_listings_cache=False)[0]
        except (ImportError, ValueError) as error:
            raise SettingsError([f"TELEPHONY_JOURNAL_STORE: {error}"]) from None

    @cached_property
    def _root(self) -> str:
        """The URL without its protocol."""
        root: str = self._fs._strip_protocol(self.url)
        return root.rstrip("/")

    @property
    def _has_folders(self) -> bool:
        return self.url.partition("://")[0] not in _OBJECT_STORES

    def connect(self) -> None:
        """Imports fsspec and the Python library for the URL of the storage, so a missing library is found before the
        first use.

        Raises:
            SettingsError: fsspec or this library is not installed, or fsspec does not know the URL.
        """
        assert self._fs is not None

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Returns the object storage of the settings, or None if no object storage is configured."""
        url = settings.telephony_journal_store
        return None if url is None else cls(url)

    def address(self, sid: str, name: str) -> str:
        """Returns the URL in object storage of the file `name` of the call with the CallSid `sid`."""
        return f"{self.url}/{sid}/{name}"

    def put(self, sid: str, file: Path) -> None:
        """Copies `file`, a file of the call with the CallSid `sid`, to the storage. If the storage has an object with
        this name and another size, the object is kept, and a number is added to the name of the new object.

        Raises `StorageError`, and `OSError` if the local file cannot be read.
        """
        n_bytes = file.stat().st_size
        for n in itertools.count(1):
            key = f"{self._root}/{sid}/{_numbered(file.name, n)}"
            with _translated(self.url):
                info = self._info(key)
                if info is None:
                    self._copy(file, key)
                    return
                if info["size"] == n_bytes:
                    return

    def find(self, sid: str) -> list[StoredObject]:
        """Returns the stored files of the call with the CallSid `sid`, or of the only call whose sid begins with this
        text. Raises `StorageError`.
        """
        if not _SID.fullmatch(sid):
            return []
        with _translated(self.url):
            names = [sid] if self._fs.exists(f"{self._root}/{sid}") else self._beginning_with(sid)
            return list(self._objects(names[0])) if len(names) == 1 else []

    def all(self) -> list[StoredObject]:
        """Returns all files in the storage, of all calls. Raises `StorageError`."""
        with _translated(self.url):
            return list(self._objects(""))

    def get(self, stored: StoredObject, folder: Path) -> Path:
        """Copies a stored file to `<folder>/<sid>/` on this machine, with mode 0600. Raises `StorageError`. Returns the
        path of the copy.
        """
        path = folder / stored.sid / stored.name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _translated(self.url):
            self._fs.get_file(stored.key, str(path))
        path.chmod(0o600)
        return path

    def delete(self, sid: str) -> int:
        """Deletes all files of the call with the CallSid `sid` in the storage. Returns the number of deleted files.
        Raises `StorageError`.
        """
        if not _SID.fullmatch(sid):
            return 0
        with _translated(self.url):
            found = list(self._objects(sid))
            for each in found:
                self._fs.rm_file(each.key)
            if found and self._has_folders:
                self._fs.rm(f"{self._root}/{sid}", recursive=True)
            return len(found)

    def check(self) -> None:
        """Checks that the storage works: writes an object and deletes the object. Raises `StorageError` if this
        fails.
        """
        key = f"{self._root}/.telephony-check-{os.getpid()}"
        with _translated(self.url):
            if self._has_folders:
                self._fs.makedirs(self._root, exist_ok=True)
            self._fs.pipe_file(key, b"telephony")
            self._fs.rm_file(key)

    def _copy(self, file: Path, key: str) -> None:
        if not self._has_folders:
            self._fs.put_file(str(file), key)
            return
        folder, _, name = key.rpartition("/")
        partial = f"{folder}/.{name}.{os.getpid()}.part"
        self._fs.makedirs(folder, exist_ok=True)
        self._fs.put_file(str(file), partial)
        if getattr(self._fs, "local_file", False):
            Path(partial).chmod(0o600)
        self._fs.mv(partial, key)

    def _beginning_with(self, sid: str) -> list[str]:
        if not self._fs.exists(self._root):
            return []
        names = {str(path).rstrip("/").rpartition("/")[2] for path in self._fs.ls(self._root, detail=False)}
        return sorted(name for name in names if name.startswith(sid))

    def _objects(self, sid: str) -> Iterator[StoredObject]:
        found: dict[str, dict[str, Any]] = self._fs.find(f"{self._root}/{sid}" if sid else self._root, detail=True)
        for key, info in sorted(found.items()):
            parts = key.removeprefix(self._root).strip("/").split("/")
            if len(parts) == 2 and not parts[1].startswith("."):
                yield StoredObject(parts[0], key, self._written(key, info), int(info["size"]))

    def _written(self, key: str, info: dict[str, Any]) -> datetime:
        value = next((info[name] for name in _MODIFIED if info.get(name)), None)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif isinstance(value, int | float):
            value = datetime.fromtimestamp(value, UTC)
        at: datetime = self._fs.modified(key) if value is None else value
        return at if at.tzinfo else at.replace(tzinfo=UTC)

    def _info(self, key: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._fs.info(key)
        except FileNotFoundError:
            return None
        return found


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Converts any exception of the backend in this block to `StorageError`. Backends raise the exceptions of their own
    libraries.
    """
    try:
        yield
    except SettingsError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:300]
        raise StorageError(f"{url}: {reason}. Check TELEPHONY_JOURNAL_STORE and its credentials.") from error


def _numbered(name: str, n: int) -> str:
    stem, dot, rest = name.partition(".")
    return name if n == 1 else f"{stem}-{n}{dot}{rest}"
