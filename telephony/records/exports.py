"""Where exports of calls were written, so that they can be deleted when a number is erased."""

from __future__ import annotations

from pathlib import Path

__all__ = ["EXPORTS_FILE", "note_export", "noted_exports", "rewrite_exports"]

EXPORTS_FILE = "exports.txt"


def note_export(folder: Path | None, path: Path) -> None:
    """Note the path of an export in the data directory. Without a data directory nothing is noted.

    Raises:
        OSError: the data directory cannot be written to.
    """
    if folder is None or (line := str(path.absolute())) in map(str, noted_exports(folder)):
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / EXPORTS_FILE).open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{line}\n")


def noted_exports(folder: Path | None) -> list[Path]:
    """The exports that were noted, also those that do not exist any more."""
    if folder is None or not (folder / EXPORTS_FILE).exists():
        return []
    text = (folder / EXPORTS_FILE).read_text("utf-8", "surrogateescape")
    return [Path(line) for line in text.splitlines() if line]


def rewrite_exports(folder: Path, paths: list[Path]) -> None:
    """Keep only these paths."""
    text = "".join(f"{path}\n" for path in paths)
    (folder / EXPORTS_FILE).write_text(text, encoding="utf-8", errors="surrogateescape")
