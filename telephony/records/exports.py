"""Stores the paths of exported calls. The exports can then be deleted when the data of a phone number are erased."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["EXPORTS_FILE", "Export", "note_export", "noted_exports", "rewrite_exports"]

EXPORTS_FILE = "exports.txt"


@dataclass(frozen=True, slots=True)
class Export:
    """A file to which one or several calls were exported. `str()` returns the export as one line of text."""

    path: Path
    call_id: str = ""
    """The id of the call in the file. The text is empty if the file contains several calls."""

    def __str__(self) -> str:
        return f"{self.call_id}\t{self.path}"

    @classmethod
    def parse(cls, line: str) -> Export:
        call_id, _, path = line.partition("\t")
        return cls(Path(path), call_id)


def note_export(folder: Path | None, path: Path, call_id: str = "") -> None:
    """Adds a file with exported calls to the list of exports in the data directory `folder`, so that an erasure finds
    the file. `path` is the path of the file, and `call_id` is the id of the call if the file contains only one call.
    Does nothing if `folder` is None.

    Raises:
        OSError: the data directory is not writable.
    """
    if folder is None or (export := Export(path.absolute(), call_id)) in noted_exports(folder):
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / EXPORTS_FILE).open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{export}\n")


def noted_exports(folder: Path | None) -> list[Export]:
    """Returns the list of exports (the files to which calls were exported) in the data directory `folder`, including
    files that do not exist any more.
    """
    if folder is None or not (folder / EXPORTS_FILE).exists():
        return []
    text = (folder / EXPORTS_FILE).read_text("utf-8", "surrogateescape")
    return [Export.parse(line) for line in text.splitlines() if line]


def rewrite_exports(folder: Path, exports: list[Export]) -> None:
    """Replaces the list of exports (the files to which calls were exported) in the data directory `folder` by
    `exports`.
    """
    text = "".join(f"{export}\n" for export in exports)
    (folder / EXPORTS_FILE).write_text(text, encoding="utf-8", errors="surrogateescape")
