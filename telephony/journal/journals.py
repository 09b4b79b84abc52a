"""Opens the journals of the calls of one application, tests whether the disk works, and decides what happens if
journals cannot be written.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..logs import Repeats
from ..masking import secrets_in
from .disk import Disk
from .format import Journal
from .object_storage import ObjectStorage
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
_MAX_BEGUN = 1_000


class JournalState(StrEnum):
    """Whether journals can be written: they are switched off (`OFF`), the disk works (`OK`), or it does not
    (`UNAVAILABLE`).
    """

    OFF = "off"
    """TELEPHONY_JOURNAL_DIR is not set."""
    OK = "ok"
    UNAVAILABLE = "unavailable"
    """The disk fails or does not respond."""


class Journals:
    """The journals of one application. The object is an async context manager. At the start of the context, it tests
    the folder. At the end, it waits at most five seconds for the disk. With `storage`, `JournalUploads` copies the
    journals to object storage and compresses them.

    Calls continue when the disk fails. `open` returns immediately, and a journal that cannot be written is switched
    off. With `required`, `takes_calls` is False while the disk fails.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        redaction: Callable[[], Redaction] = Redaction,
        compress: bool = False,
        required: bool = False,
        storage: ObjectStorage | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.folder = folder
        self.storage = storage
        self.required = required
        self._redaction = redaction
        self._compress = compress
        self._disk = disk or Disk(on_change=lambda fault: None)
        self._open: list[JournalWriter] = []
        self._changed: list[str] = []
        self._begun: OrderedDict[str, None] = OrderedDict()
        self._repeats = Repeats(log)
        self._logged_fault = ""
        self._logged_lost = 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Returns the journals that the settings configure. Raises `SettingsError` if object storage needs a library
        that is not installed.
        """
        if (storage := ObjectStorage.of(settings)) is not None:
            storage.connect()
        return cls(
            settings.telephony_journal_dir,
            redaction=lambda: redaction_of(settings),
            compress=settings.telephony_journal_compress,
            required=settings.telephony_journal_required,
            storage=storage,
        )

    @property
    def fault(self) -> str:
        """The reason why journals cannot be written. The text is empty if journals can be written or are switched
        off.
        """
        return "" if self.folder is None else self._disk.fault

    @property
    def state(self) -> JournalState:
        if self.folder is None:
            return JournalState.OFF
        return JournalState.UNAVAILABLE if self.fault else JournalState.OK

    @property
    def takes_calls(self) -> bool:
        """Whether a call may begin. False if journals are required and cannot be written."""
        return not (self.required and self.fault)

    @property
    def waiting(self) -> int:
        """The number of characters that wait to be written."""
        return self._disk.taken - self._disk.written

    @property
    def lost(self) -> int:
        """The number of records that were dropped."""
        return self._disk.lost

    def open(self, call_sid: str) -> Journal:
        """Returns the journal of a call, `<folder>/<call sid>/journal.jsonl`, or a `NullJournal` if journals are
        switched off. Returns immediately.
        """
        if (path := self.path_of(call_sid)) is None:
            return NullJournal()
        self._begun[path.parent.name] = None
        if len(self._begun) > _MAX_BEGUN:
            self._begun.popitem(last=False)
        compress = self._compress and self.storage is None
        writer = JournalWriter(path, redaction=self._redaction(), compress=compress, disk=self._disk)
        if self.storage is not None:
            self._open.append(writer)
        return writer

    def path_of(self, call_sid: str) -> Path | None:
        """Returns the path of the journal of the call with this CallSid, or None if journals are switched off."""
        if self.folder is None:
            return None
        safe = "".join(c for c in call_sid if c.isascii() and c.isalnum())[:64] or "unknown"
        return self.folder / safe / JOURNALS[0]

    def reference(self, call_sid: str, name: str = "") -> str:
        """Returns the place at which the journal of this call will be stored: a path, or a URL in object storage. With
        `name`, returns the place of the file `name` of this call. Returns an empty text if journals are switched off.
        """
        if (path := self.path_of(call_sid)) is None:
            return ""
        if self.storage is None:
            return str(path.with_name(name) if name else path)
        return self.storage.address(path.parent.name, name or JOURNALS[1])

    def has_begun(self, call_sid: str) -> bool:
        """Returns whether this process has recently created a journal of this call, or the folder contains a journal of
        this call.
        """
        path = self.path_of(call_sid)
        return path is not None and (
            path.parent.name in self._begun or any((path.parent / name).exists() for name in JOURNALS)
        )

    def changed(self, call_sid: str) -> None:
        """Lets the folder of this call be copied to object storage again, because a file was added to the folder."""
        if self.storage is not None and (path := self.path_of(call_sid)) is not None:
            self._changed.append(path.parent.name)

    def ended(self) -> list[str]:
        """Returns the CallSids of the calls whose folders must be copied to object storage, since the last call of this
        method.
        """
        closed = [writer for writer in self._open if writer.closed.is_set()]
        self._open = [writer for writer in self._open if writer not in closed]
        changed, self._changed = self._changed, []
        return [*(writer.path.parent.name for writer in closed), *changed]

    def refused(self) -> None:
        """Logs that a call was refused because it would have no journal. The first refusal is logged immediately, and
        later refusals at most once a minute.
        """
        self._repeats.error(
            "refused",
            f"A call is refused: TELEPHONY_JOURNAL_REQUIRED is set, and journals cannot be written. {self.fault}.",
        )

    async def __aenter__(self) -> Self:
        if self.folder is not None:
            self._disk.start()
            self._disk.check(self.folder)
            await asyncio.to_thread(self._disk.checked, 1.25 * self._disk.stalled_s)
            self._log_changes()
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
        """Logs when journals can no longer be written and when they can be written again. Tests a failed disk again.
        Regularly calls `report` with two values: whether journals can be written, and the number of lost records. Runs
        until the task is cancelled.
        """
        clock = asyncio.get_running_loop().time
        again = clock() + _AGAIN_S
        while True:
            self._log_changes()
            report(not self.fault, self.lost)
            if not self.fault:
                again = clock() + _AGAIN_S
            elif self.folder is not None and clock() >= again:
                again = clock() + _AGAIN_S
                self._disk.check(self.folder)
            await asyncio.sleep(_EVERY_S)

    def _log_changes(self) -> None:
        """Logs each new state, and lost records at most once a minute."""
        fault, lost = self.fault, self.lost
        if fault and not self._logged_fault:
            then = (
                "New calls are refused (TELEPHONY_JOURNAL_REQUIRED)"
                if self.required
                else "Calls continue without journals"
            )
            self._repeats.error("fault", f"Journals cannot be written: {fault}. {then}. Check TELEPHONY_JOURNAL_DIR.")
        elif not fault and self._logged_fault:
            self._repeats.warning(
                "works", f"Journals can be written again; {lost - self._logged_lost} journal records are lost."
            )
            self._logged_lost = lost
        elif not fault and lost > self._logged_lost:
            self._repeats.error("lost", f"The disk is too slow: {lost - self._logged_lost} journal records are lost.")
            self._logged_lost = lost
        self._logged_fault = fault


def redaction_of(settings: Settings) -> Redaction:
    """Returns the masking that the settings configure. The masking includes all secrets of the settings."""
    return redaction(
        on=settings.telephony_redact,
        secrets=secrets_in(settings),
        patterns=settings.telephony_redact_patterns,
        audio=settings.telephony_redact_audio,
    )
