"""A text file that several processes change: each change holds a lock, so no line that another process adds is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..journal.file_lock import lock

__all__ = ["append_line", "locked", "replace_lines"]


@contextmanager
def locked(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for appending, and creates the file if it does not exist. No other process gets the lock of this
    file until the end of the block. The lock belongs to the file itself (`flock`, see
    https://man7.org/linux/man-pages/man2/flock.2.html), so a file that another process replaced is opened again.

    Raises:
        OSError: the file cannot be opened.
    """
    while True:
        with path.open("a+b") as file:
            lock(file.fileno(), wait=True)
            if _is_at(file, path):
                yield file
                return


def append_line(file: BinaryIO, line: str) -> None:
    """Appends a line in UTF-8. The line is on the disk when the function returns."""
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":  # the last line has no end
            line = f"\n{line}"
    file.write(line.encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())


def replace_lines(path: Path, lines: list[str]) -> None:
    """Replaces the content of a file, in UTF-8. After a crash, the file has the old or the new lines. The calling code
    must hold the lock of the file (`locked`).
    """
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, path.stat().st_mode & 0o777)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
