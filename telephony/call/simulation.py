"""Stores the effects of simulated calls in memory, so no file of the user is changed. Pure."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Simulation"]


class Simulation:
    """The simulated calls of one application or program. The callers and callees are not real people.

    If a number opts out in a simulated call, this object stores the number, and the do-not-call file is not changed.
    """

    def __init__(self) -> None:
        self._opted_out: dict[Path | None, set[str]] = {}

    def opted_out(self, path: Path | None) -> set[str]:
        """Returns the set of the phone numbers that opted out in simulated calls. `path` is the do-not-call file to
        which the numbers would be added in real calls. None means the do-not-call list in the database. Numbers that
        are added to the returned set are kept.
        """
        return self._opted_out.setdefault(None if path is None else path.resolve(), set())
