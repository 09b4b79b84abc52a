"""Implements `telephony calls test add`, which creates tests from calls."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from ..journal.journals import redaction_of
from ..journal.store import JOURNALS
from ..replay.recording_files import make_tests
from ..settings import load_settings
from .call_list import stored_journals
from .errors import USAGE, CliError

__all__ = ["add_tests", "journals_in"]


def add_tests(call: str, name: str | None, agent: str | None, tests: Path, folder: Path | None) -> None:
    """Copies the masked journals of one call, or of all calls in a folder, to the folder `tests`. Writes a test for
    each journal. The test expects the values that a replay with the current code has. `name` is the name of the test,
    by default the name of the folder of calls. `agent` is the import string of the agent. `folder` is the folder of the
    stored journals. Raises `CliError` if one call has no `name`, or if no test can be made.
    """
    settings = load_settings()
    given = Path(call)
    many = given.is_dir() and not any((given / journal).is_file() for journal in JOURNALS)
    with stored_journals(settings, folder) as stored:
        journals = journals_in(given) if many else [stored.find(call)]
        if name is None:
            if not many:
                raise CliError("The test needs a name.", "Add --name, such as --name booking.", code=USAGE)
            name = _identifier(given.resolve().name)
        made = make_tests(
            dict(zip(_names(journals) if many else [name], journals, strict=True)),
            name, agent, tests, redaction_of(settings),
        )  # fmt: skip
    if not made.recordings:
        raise CliError(made.problems[0])
    for problem in made.problems:
        typer.echo(f"{problem} Left out.", err=True)
    size = sum(recording.stat().st_size for recording in made.recordings) / 1e6
    count = len(made.recordings)
    what = str(made.recordings[0]) if count == 1 else f"{count} recordings in {made.recordings[0].parent}"
    typer.echo(f"{what} ({size:.1f} MB) and {made.test}: edit the expectations, and run pytest.")


def journals_in(folder: Path) -> list[Path]:
    """Returns all journals in a folder and its subfolders. Raises `CliError` if there are no journals."""
    found = sorted(path for path in folder.rglob("*.jsonl*") if path.name.endswith((".jsonl", ".jsonl.gz")))
    if not found:
        raise CliError(f"There are no journals in {folder}.")
    return found


def _names(journals: list[Path]) -> list[str]:
    """Returns a name for each journal: the name of its call, or of its file."""
    names: list[str] = []
    for path in journals:
        name = _identifier(path.parent.name if path.stem.startswith("journal") else path.name.split(".")[0])
        names.append(name if name not in names else f"{name}_{len(names)}")
    return names


def _identifier(text: str) -> str:
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    return name if name.isidentifier() else f"call_{name}"
