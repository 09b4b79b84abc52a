"""The effects of simulated calls, which change no file of the user. Pure."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Simulation"]


class Simulation:
    """Simulated calls of one application or program. Their callers and callees are not real people.

    A number that opts out in such a call is kept here, and the do-not-call file is not changed.
    """

    def __init__(self) -> None:
        self._opted_out: dict[Path | None, set[str]] = {}

    def opted_out(self, path: Path | None) -> set[str]:
        """Returns the numbers that opted out within the simulation, of the do-not-call file at this path. None: of the
        list in the records.
        """
        return self._opted_out.setdefault(None if path is None else path.resolve(), set())
