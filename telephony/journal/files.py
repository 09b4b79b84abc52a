"""What journals ask of the file system. Every function here may block for as long as the disk likes."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from pathlib import Path

__all__ = ["Files"]

_PROBE = bytes(2**16)


class Files:
    """The real file system. Only the journals' thread calls these. All raise `OSError`."""

    def create(self, path: Path) -> tuple[Path, int]:
        """Make a new file (mode 0600) and its folders. Returns its path and a file descriptor to append to it.

        Where `path` exists, the name gets a number: a journal is never written over.
        """
        _make(path.parent)
        for n in itertools.count(1):
            candidate = path if n == 1 else path.with_name(f"{path.stem}-{n}{path.suffix}")
            try:
                return candidate, os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            except FileExistsError:
                continue
        raise AssertionError("unreachable")

    def write(self, fd: int, data: memoryview) -> int:
        """Write some of it. Returns how many bytes."""
        return os.write(fd, data)

    def truncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)

    def close(self, fd: int) -> None:
        os.close(fd)

    def probe(self, folder: Path) -> None:
        """Make a file in this folder, write 64 KiB and remove it. The folder is made where it does not exist."""
        _make(folder)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            view = memoryview(_PROBE)
            while view:
                view = view[file.write(view) :]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # a file has its name
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
