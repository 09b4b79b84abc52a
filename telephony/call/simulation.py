"""The effects of simulated calls, which change no file of the user. Pure."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Simulation"]


class Simulation:
    """Simulated calls of one application or program. Their callers and callees are not real people.

    A number that opts out in such a call is kept here, and the do-not-call file is not changed.
    """

    def __init__(self) -> None:
        self._opted_out: dict[Path, set[str]] = {}

    def opted_out(self, path: Path) -> set[str]:
        """The numbers of the do-not-call list at this path that opted out within the simulation."""
        return self._opted_out.setdefault(path.resolve(), set())
