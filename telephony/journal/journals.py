"""The journals of one application: where they go, whether they can be written, and what follows where they cannot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..logs import Repeats
from ..masking import secrets_in
from .disk import Disk
from .format import Journal
from .redaction import Redaction, redaction
from .store import JOURNALS
from .writer import JournalWriter, NullJournal

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["JournalState", "Journals", "redaction_of"]

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_AGAIN_S = 5.0
_CLOSE_S = 5.0


class JournalState(StrEnum):
    """Whether calls leave journals."""

    OFF = "off"
    """TELEPHONY_JOURNAL_DIR is not set."""
    OK = "ok"
    UNAVAILABLE = "unavailable"
    """The disk fails or does not answer."""


class Journals:
    """An async context manager. Entered, it tries the folder; left, it waits five seconds at most for the disk.

    A disk that fails costs no call: `open` returns at once, and a journal that cannot be written is off. With
    `required`, `takes_calls` says no instead, as long as the disk fails.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        redaction: Callable[[], Redaction] = Redaction,
        compress: bool = False,
        required: bool = False,
        disk: Disk | None = None,
    ) -> None:
        self.folder = folder
        self.required = required
        self._redaction = redaction
        self._compress = compress
        self._disk = disk or Disk(on_change=lambda fault: None)
        self._repeats = Repeats(log)
        self._told = ""
        self._told_lost = 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        return cls(
            settings.telephony_journal_dir,
            redaction=lambda: redaction_of(settings),
            compress=settings.telephony_journal_compress,
            required=settings.telephony_journal_required,
        )

    @property
    def fault(self) -> str:
        """Why journals cannot be written; empty while they can, and where they are off."""
        return "" if self.folder is None else self._disk.fault

    @property
    def state(self) -> JournalState:
        if self.folder is None:
            return JournalState.OFF
        return JournalState.UNAVAILABLE if self.fault else JournalState.OK

    @property
    def takes_calls(self) -> bool:
        """May a call begin? Not without a journal, where one is required."""
        return not (self.required and self.fault)

    @property
    def lost(self) -> int:
        """How many records are in no journal."""
        return self._disk.lost

    def open(self, call_sid: str) -> Journal:
        """The journal of a call, `<folder>/<call sid>/journal.jsonl`, or none. Returns at once."""
        if self.folder is None:
            return NullJournal()
        safe = "".join(c for c in call_sid if c.isascii() and c.isalnum())[:64] or "unknown"
        path = self.folder / safe / JOURNALS[0]
        return JournalWriter(path, redaction=self._redaction(), compress=self._compress, disk=self._disk)

    def refused(self) -> None:
        """Log that a call was turned away for want of a journal: at once, then once a minute."""
        self._repeats.error(
            "refused",
            f"A call is turned away: TELEPHONY_JOURNAL_REQUIRED is set, and journals cannot be written. {self.fault}.",
        )

    async def __aenter__(self) -> Self:
        if self.folder is not None:
            self._disk.start()
            self._disk.check(self.folder)
            await asyncio.to_thread(self._disk.checked, 1.25 * self._disk.stalled_s)
            self._tell()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.folder is None:
            return
        if not await asyncio.to_thread(self._disk.settle, _CLOSE_S):
            log.error("The last records of some journals are not on the disk: %s.", self.fault or "it is too slow")
        self._disk.stop()

    async def watch(self, report: Callable[[bool, int], None]) -> None:
        """Log what changes, try a disk that failed again, and `report` whether journals can be written and how many
        records are lost. Runs until it is cancelled."""
        clock = asyncio.get_running_loop().time
        again = clock() + _AGAIN_S
        while True:
            self._tell()
            report(not self.fault, self.lost)
            if not self.fault:
                again = clock() + _AGAIN_S
            elif self.folder is not None and clock() >= again:
                again = clock() + _AGAIN_S
                self._disk.check(self.folder)
            await asyncio.sleep(_EVERY_S)

    def _tell(self) -> None:
        """Log a new state once, and from time to time that records are lost."""
        fault, lost = self.fault, self.lost
        if fault and not self._told:
            then = "New calls are turned away (TELEPHONY_JOURNAL_REQUIRED)" if self.required else "Calls go on without"
            self._repeats.error("fault", f"Journals cannot be written: {fault}. {then}. Check TELEPHONY_JOURNAL_DIR.")
        elif not fault and self._told:
            self._repeats.warning("works", f"Journals can be written again; {lost - self._told_lost} records are lost.")
            self._told_lost = lost
        elif not fault and lost > self._told_lost:
            self._repeats.error("lost", f"The disk is too slow: {lost - self._told_lost} records are in no journal.")
            self._told_lost = lost
        self._told = fault


def redaction_of(settings: Settings) -> Redaction:
    """What the settings say that no journal may hold; every secret of theirs is among it."""
    return redaction(
        on=settings.telephony_redact,
        secrets=secrets_in(settings),
        patterns=settings.telephony_redact_patterns,
        audio=settings.telephony_redact_audio,
    )
