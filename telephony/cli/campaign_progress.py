"""The live progress of a campaign in the terminal: a bar, or lines if there is no terminal."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from telephony.campaigns.contact import Attempt, Contact

__all__ = ["CampaignProgress"]

_EVERY_S = 5.0
_SHOWN = 5


class CampaignProgress:
    """Shows the number of done contacts, and the outcomes of the calls, on standard error. `done` is the number of
    contacts that are already done.
    """

    def __init__(self, total: int, done: int = 0, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._total = total
        self._done = done
        self._outcomes: Counter[str] = Counter()
        self._shown_at = time.monotonic()
        self._bar: Progress | None = None
        if self._console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("Calling", total=total, completed=done)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def changed(self, contact: Contact, attempt: Attempt | None) -> None:
        """Shows a change of a contact. `attempt` is the attempt that ended, if there is one."""
        if attempt is not None and attempt.outcome is not None:
            self._outcomes[attempt.outcome.value] += 1
        self._done += contact.is_final
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=self._line())
        elif time.monotonic() >= self._shown_at + _EVERY_S:
            self._shown_at = time.monotonic()
            self._console.print(f"{self._done}/{self._total} done, {self._line()}", highlight=False, soft_wrap=True)

    def _line(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self._outcomes.most_common(_SHOWN))
        return f"calls: {counts or 'none'}"
