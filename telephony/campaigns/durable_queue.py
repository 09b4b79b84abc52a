"""The durable queue of attempts, on DBOS Transact (https://docs.dbos.dev/python): an SQLite file, or PostgreSQL for
several machines.

One workflow is one attempt. It has only the ids of the attempt, the campaign and the contact, because DBOS stores what
a workflow gets. The state of an attempt is in the records, so a workflow that runs twice changes nothing the second
time. A workflow never sleeps: a contact that has to wait is enqueued when it is due.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol, Self

from sqlalchemy import Engine, create_engine, event

from ..errors import SettingsError
from ..records.engine import create_file, parse_url

__all__ = ["DirectQueue", "DurableQueue", "Queue", "Work"]

log = logging.getLogger(__name__)

Work = Callable[[str, str, str], Awaitable[None]]
"""Makes an attempt: the ids of the attempt, of the campaign and of the contact."""

_NAME = "telephony"
_QUEUE = "telephony-attempts"
_WORKFLOW = "telephony.attempt"
_VERSION = "1"
"""The application version for DBOS, the same in all releases: a release finishes the attempts of the one before.
By default DBOS makes it from the source, and workflows of another version are never run again."""
_POLL_S = 0.25
_SUBSECONDS_SINCE = (3, 42)


class Queue(Protocol):
    """Makes attempts, in this process or in another one."""

    async def put(self, attempt_id: str, campaign_id: str, contact_id: str) -> None: ...


class DirectQueue:
    """A queue without a database: attempts run in this process, and end with it. An async context manager."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._group.__aexit__(None, None, None)

    async def put(self, attempt_id: str, campaign_id: str, contact_id: str) -> None:
        self._group.create_task(self._run(attempt_id, campaign_id, contact_id), name=f"attempt {attempt_id}")

    async def _run(self, attempt_id: str, campaign_id: str, contact_id: str) -> None:
        await self._work(attempt_id, campaign_id, contact_id)


class DurableQueue:
    """The queue of a process. An async context manager, on the event loop that serves. One process has one.

    Args:
        url: The database of DBOS.
        executor: The name of this process. It stays the same when the process starts again.
        work: Makes an attempt.
        at_once: How many attempts this process makes at once.

    Raises:
        SettingsError: DBOS is not installed.
    """

    def __init__(self, url: str, executor: str, work: Work, *, at_once: int) -> None:
        self._url = url
        self._executor = executor
        self._work = work
        self._at_once = at_once

    async def __aenter__(self) -> Self:
        try:
            from dbos import DBOS
        except ModuleNotFoundError:
            raise SettingsError(["Campaigns need their engine: pip install 'telephony-agent[campaigns]'"]) from None
        url = parse_url(self._url)
        config: Any = {
            "name": _NAME,
            "application_version": _VERSION,
            "executor_id": self._executor,
            "system_database_url": url.render_as_string(hide_password=False),
            "dbos_system_schema": "telephony_dbos",
            "use_listen_notify": False,  # the connections may go through a pooler
            "log_level": "WARNING",
            "sys_db_pool_size": 4,
            "run_migrations": True,
        }
        if url.drivername == "sqlite":
            if url.database:
                create_file(url.database)
            config["system_database_engine"] = _sqlite_engine(self._url)
        global _work  # the workflow is a function that DBOS finds by its name
        _work = self._work
        _register()
        DBOS(config=config)
        DBOS.launch()  # here, and not in a thread: workflows run on the loop of the thread that launches
        await DBOS.register_queue_async(
            _QUEUE, worker_concurrency=self._at_once, polling_interval_sec=_POLL_S, on_conflict="always_update"
        )
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        from dbos import DBOS

        global _work
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="dbos-end") as thread:
            await loop.run_in_executor(thread, lambda: DBOS.destroy(workflow_completion_timeout_sec=0))
        loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))  # DBOS had replaced it by its own
        _work = _nothing

    async def put(self, attempt_id: str, campaign_id: str, contact_id: str) -> None:
        """Enqueue an attempt. An attempt that was enqueued before is not enqueued again."""
        from dbos import DBOS, SetWorkflowID

        with SetWorkflowID(attempt_id):
            await DBOS.enqueue_workflow_async(_QUEUE, _workflow(), attempt_id, campaign_id, contact_id)


async def _nothing(attempt_id: str, campaign_id: str, contact_id: str) -> None:
    raise RuntimeError("The queue of attempts is closed.")


_work: Work = _nothing
_registered: list[Any] = []


def _register() -> None:
    """Register the workflow, once in a process."""
    from dbos import DBOS

    if _registered:
        return

    @DBOS.workflow(name=_WORKFLOW)
    async def attempt(attempt_id: str, campaign_id: str, contact_id: str) -> None:
        await _work(attempt_id, campaign_id, contact_id)

    _registered.append(attempt)


def _workflow() -> Any:
    return _registered[0]


def _sqlite_engine(url: str) -> Engine:
    """The engine of DBOS, as DBOS makes it for SQLite, with the function that SQLite before 3.42 does not have."""
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        if sqlite3.sqlite_version_info < _SUBSECONDS_SINCE:
            connection.create_function("unixepoch", -1, lambda *_: time.time())

    return engine
