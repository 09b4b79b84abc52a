"""The do-not-call list of an application: the list in the database, which all processes share, and the file that the
setting `TELEPHONY_DO_NOT_CALL` names.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from realtime_core.sources import Sources

from ..call.simulation import Simulation
from ..errors import CallRefused, RecordRefused, RecordsUnavailable
from ..records import Records
from ..records.client import RecordsClient
from ..records.opt_outs import OptOut, OptOutSource
from ..records.subjects import SubjectKey
from ..twilio.phone_forms import forms_of_one_phone, subjects_of_phone
from .do_not_call import DoNotCall

__all__ = ["OptOutList"]

log = logging.getLogger(__name__)

_WATCH_S = 0.5
_COPY_S = 10.0
_WRITE_S = 60.0


class OptOutList:
    """Adds numbers to the do-not-call list, and checks whether a number is on the list.

    While the database cannot be reached, a copy of the list is used. The copy is at most ten seconds older than the
    start of the outage. Without a copy, no number is called. `file` is the do-not-call file (TELEPHONY_DO_NOT_CALL). If
    `simulation` is given, the calls of this application are simulated, and added numbers are only kept in memory.
    """

    def __init__(
        self,
        client: RecordsClient,
        subjects: SubjectKey,
        sources: Sources,
        *,
        file: DoNotCall | None = None,
        simulation: Simulation | None = None,
    ) -> None:
        self.file = file
        self._client = client
        self._subjects = subjects
        self._sources = sources
        self._simulation = simulation
        self._copy: set[str] | None = None
        self._version = ""

    async def problem(self, number: str) -> str:
        """Returns why this number must not be called, or an empty text if the number is not on the list."""
        try:
            found = await self.has(number)
        except (RecordsUnavailable, RecordRefused) as error:
            if self._copy is None:
                return f"the do-not-call list cannot be read, so no number is called: {error}"
            found = not self._copy.isdisjoint(subjects_of_phone(number, self._subjects.of))
        return f"{number} is on the do-not-call list" if found else ""

    async def has(self, number: str) -> bool:
        """Returns whether this number is on the list.

        Raises:
            RecordsUnavailable, RecordRefused: the list cannot be read.
        """
        if self._simulation is not None and not self._simulation.opted_out(None).isdisjoint(forms_of_one_phone(number)):
            return True
        subjects = subjects_of_phone(number, self._subjects.of)
        return bool(await self._client.ask(lambda records: records.opt_outs.among(subjects)))

    async def add(
        self, number: str, source: OptOutSource, remark: str = "", *, simulation: Simulation | None = None
    ) -> bool:
        """Adds a number in E.164 to the list in the database and to the file. `source` says how the person opted out,
        and `remark` is a note for the list. With `simulation` (the number belongs to a simulated call), the number is
        only kept in memory. Returns False if the number was already on the list.

        Raises:
            RecordsUnavailable, RecordRefused, OSError, CallRefused: the list cannot be written. The number may be in
                one of the two places.
        """
        if simulation is None and source in (OptOutSource.PHONE, OptOutSource.KEYPAD):
            simulation = self._simulation
        if simulation is not None:
            known = simulation.opted_out(None)
            is_new = known.isdisjoint(forms_of_one_phone(number))
            known.add(number)
            if self.file is not None:
                self.file.simulated(simulation).add(number, remark)
            return is_new
        entry = OptOut(self._subjects.of(number), number, source, self._sources.now(), remark)
        try:
            is_new = await self._client.ask(lambda records: self._added(records, entry))
        finally:
            if self.file is not None and self._simulation is None:
                await asyncio.to_thread(self.file.add, number, remark)
        return is_new

    def _added(self, records: Records, entry: OptOut) -> bool:
        subjects = subjects_of_phone(entry.number, self._subjects.of)
        return not records.opt_outs.among(subjects) and records.opt_outs.add([entry]) == 1

    async def remove(self, number: str) -> bool:
        """Removes a number from the list in the database. Returns False if the number was not on this list. A line of
        the file is not removed.

        Raises:
            RecordsUnavailable, RecordRefused: the list cannot be written.
        """
        subjects = subjects_of_phone(number, self._subjects.of)
        return await self._client.ask(lambda records: sum(map(records.opt_outs.remove, subjects)) > 0)

    async def listed(self, *, limit: int = 100, before: datetime | None = None) -> Sequence[OptOut]:
        """Returns at most `limit` entries of the list, the newest first. With `before`, returns only entries that were
        added before this time (UTC). Raises `RecordsUnavailable` if the database cannot be reached.
        """
        return await self._client.ask(lambda records: records.opt_outs.listed(limit=limit, before=before))

    async def load(self) -> None:
        """Reads the list from the database into the copy in memory, at the start of the process. If the database cannot
        be reached, there is no copy.
        """
        with suppress(RecordsUnavailable, RecordRefused):  # the client has logged why
            await self._copy_list()

    async def watch(self) -> None:
        """Keeps the do-not-call list up to date until the task is cancelled. Reads the list again and again from the
        database into the copy in memory. Adds the numbers of the do-not-call file, if there is one, to the database, so
        other machines find them. A number that is removed from the file stays in the database.
        """
        if self._simulation is not None:
            return
        loop = asyncio.get_running_loop()
        added, copied_at = frozenset[str](), loop.time() if self._copy is not None else -math.inf
        while True:
            try:
                if self.file is not None and (new := await asyncio.to_thread(self.file.numbers) - added):
                    await self._add_all(sorted(new))
                    added |= new
                if loop.time() >= copied_at + _COPY_S:
                    await self._copy_list()
                    copied_at = loop.time()
            except (RecordsUnavailable, RecordRefused) as error:
                log.debug("The do-not-call list is not up to date: %s", error)  # the client has logged why
            except CallRefused as error:
                log.warning("%s", error)
            await asyncio.sleep(_WATCH_S if self.file is not None else _COPY_S)

    async def _add_all(self, numbers: Sequence[str]) -> None:
        now = self._sources.now()
        entries = [OptOut(self._subjects.of(each), each, OptOutSource.FILE, now) for each in numbers]
        await self._client.ask(lambda records: records.opt_outs.add(entries), _WRITE_S)

    async def _copy_list(self) -> None:
        version = await self._client.ask(lambda records: records.opt_outs.version())
        if self._copy is None or version != self._version:
            self._copy = await self._client.ask(lambda records: records.opt_outs.subjects(), _WRITE_S)
            self._version = version
