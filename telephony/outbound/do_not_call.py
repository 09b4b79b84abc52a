"""Who does not want to be called, in a file."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["DoNotCall"]


class DoNotCall:
    """A file of numbers, one a line; what follows the number is a remark. Read at each question, so that others may
    write to it, too."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def __contains__(self, number: str) -> bool:
        try:
            lines = self._path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        return any(line.split(None, 1)[0] == number for line in lines if line.strip())

    def add(self, number: str, remark: str = "") -> None:
        """For good: on disk when this returns."""
        if number in self:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{number} {' '.join(remark.split())}".rstrip() + "\n")
            file.flush()
            os.fsync(file.fileno())
