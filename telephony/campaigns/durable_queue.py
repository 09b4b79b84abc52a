"""The durable queue of attempts, on DBOS Transact (https://docs.dbos.dev/python). The queue is an SQLite file, or a
PostgreSQL database for several machines.

One workflow is one attempt. The workflow gets the id of the attempt, the id of the campaign, and the position of the
contact in the list of contacts. The workflow does not get the id of the contact, because that id may be a phone number
and DBOS stores the arguments of a workflow. The state of an attempt is in the records, so a workflow that runs twice
changes nothing the second time. A workflow never sleeps: a contact that must wait is queued when the contact is due.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Protocol, Self

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from realtime_core.daemon_threads import DaemonThreads

from ..errors import QueueUnavailable, SettingsError
from ..records.engine import create_file, parse_url
from ..task_owner import TaskOwner, ignore_exception

__all__ = ["DirectQueue", "DurableQueue", "Queue", "Work"]

log = logging.getLogger(__name__)

Work = Callable[[str, str, int], Coroutine[Any, Any, None]]
"""A function that makes an attempt to reach a contact. Its arguments are the id of the attempt, the id of the campaign,
and the position of the contact.
"""

_NAME = "telephony"
_QUEUE = "telephony-attempts"
_WORKFLOW = "telephony.attempt"
_SCHEMA = "telephony_dbos"
"""The name of DBOS's schema in PostgreSQL."""
_VERSION = "1"
"""The application version for DBOS. The version is the same in all releases, so a new release finishes the attempts of
the old release. By default DBOS computes the version from the source code, and never runs the workflows of another
version again.
"""
_POLL_S = 0.25
_WITHIN_S = 15.0
"""The time in seconds after which a request to DBOS counts as failed. DBOS repeats a request without a limit while its
database cannot be reached.
"""
_KEPT_S = 7 * 86_400.0
_MAX_DELETED = 10_000
_SUBSECONDS_SINCE = (3, 42)


class Queue(Protocol):
    """A queue of attempts to reach contacts. The attempts run in this process or in another process."""

    async def open(self) -> bool:
        """Starts to take attempts from the queue and to run them in this process. An attempt is one call to a contact
        of a campaign. Returns False if the queue was open. Raises `QueueUnavailable` if the queue cannot be used.
        """

    async def put(self, attempt_id: str, campaign_id: str, position: int) -> None:
        """Puts an attempt for the contact at `position` of the campaign into the queue. An attempt with the same
        `attempt_id` that was queued before is not queued again. Raises `QueueUnavailable`.
        """


class DirectQueue(TaskOwner):
    """A queue of attempts to reach contacts, without a database. Attempts run in this process, and stop when the
    process ends. The object is an async context manager.
    """

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    async def open(self) -> bool:
        return False

    async def put(self, attempt_id: str, campaign_id: str, position: int) -> None:
        self.start_task(self._work(attempt_id, campaign_id, position), name=f"attempt {attempt_id}")


class DurableQueue:
    """The queue of attempts to call the contacts of campaigns, stored in a database by DBOS. A process has at most one
    such queue. The object is an async context manager.

    DBOS starts in `open`, and runs in its own threads with its own event loop. Attempts run on the event loop of the
    server. Therefore DBOS does not block the event loop of the server, and does not replace its default executor.

    Args:
        url: The URL of DBOS's database.
        executor: The name of this process. The name must stay the same when the process starts again.
        work: A function that makes an attempt.
        at_once: The maximum number of attempts that this process makes at the same time.

    Raises:
        SettingsError: DBOS is not installed.
    """

    def __init__(self, url: str, executor: str, work: Work, *, at_once: int) -> None:
        if find_spec("dbos") is None:
            raise SettingsError(["Campaigns need their engine: pip install 'telephony-agent[campaigns]'"])
        self._url = url
        self._executor = executor
        self._work = work
        self._at_once = at_once
        self._thread = DaemonThreads(1, "campaigns")  # a database that never answers does not keep the process
        self._request: asyncio.Future[None] | None = None
        """The last request to DBOS. At most one request is in progress."""
        self._is_open = False
        self._engine: Engine | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._request is not None:  # the launch may still be in progress, also if `open` was cancelled
            closed = asyncio.get_running_loop().run_in_executor(self._thread, self._close_launched)
            closed.add_done_callback(ignore_exception)
            done, _ = await asyncio.wait({closed}, timeout=_WITHIN_S)
            if done:
                closed.result()
            else:
                log.warning("The queue of attempts was not closed, because its database does not answer.")

    async def open(self) -> bool:
        if self._is_open:
            return False
        loop = asyncio.get_running_loop()

        async def work(attempt_id: str, campaign_id: str, position: int) -> None:
            await asyncio.wrap_future(
                asyncio.run_coroutine_threadsafe(self._work(attempt_id, campaign_id, position), loop)
            )

        await self._in_thread(self._launch, work)
        return True

    async def put(self, attempt_id: str, campaign_id: str, position: int) -> None:
        await self._in_thread(_enqueue, attempt_id, campaign_id, position)

    async def _in_thread(self, function: Callable[..., None], *arguments: Any) -> None:
        """Runs a function that uses DBOS. Raises `QueueUnavailable` if the database refuses or does not answer."""
        if self._request is not None and not self._request.done():
            raise QueueUnavailable("its database does not answer.")
        self._request = asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        self._request.add_done_callback(ignore_exception)
        done, _ = await asyncio.wait({self._request}, timeout=_WITHIN_S)
        if not done:
            raise QueueUnavailable(f"its database has not answered within {_WITHIN_S:g} s.")
        from dbos import error as dbos_errors  # imported by now: the import takes a second, and ran in the thread

        try:
            self._request.result()
        except (SQLAlchemyError, dbos_errors.DBOSException, OSError) as error:
            raise QueueUnavailable(f"{type(error).__name__}: {error}") from error

    def _launch(self, work: Work) -> None:
        from dbos import DBOS

        url = parse_url(self._url)
        config: Any = {
            "name": _NAME,
            "application_version": _VERSION,
            "executor_id": self._executor,
            "system_database_url": url.render_as_string(hide_password=False),
            "dbos_system_schema": _SCHEMA,
            "use_listen_notify": False,  # the connections may go through a pooler
            "log_level": "WARNING",
            "sys_db_pool_size": 4,
        }
        if url.drivername == "sqlite":
            if url.database:
                create_file(url.database)
            self._engine = config["system_database_engine"] = _sqlite_engine(self._url)
        global _work  # DBOS finds the workflow by its name, so it is a function of this module
        _work = work
        _register()
        DBOS(config=config)
        try:
            DBOS.launch()
            _forget_old()
            DBOS.register_queue(
                _QUEUE, worker_concurrency=self._at_once, polling_interval_sec=_POLL_S, on_conflict="always_update"
            )
        except BaseException:
            self._close()
            raise
        self._is_open = True

    def _close_launched(self) -> None:
        if self._is_open:
            self._close()

    def _close(self) -> None:
        """Stops DBOS, and closes the connections of an engine that DBOS did not create."""
        from dbos import DBOS

        global _work
        DBOS.destroy(workflow_completion_timeout_sec=0)
        _work = _nothing
        if self._engine is not None:
            _close_connections(self._engine)
            self._engine = None


def _enqueue(attempt_id: str, campaign_id: str, position: int) -> None:
    from dbos import DBOS, SetWorkflowID

    with SetWorkflowID(attempt_id):
        DBOS.enqueue_workflow(_QUEUE, _workflows[0], attempt_id, campaign_id, position)


def _forget_old() -> None:
    """Deletes workflows that ended more than a week ago."""
    from dbos import DBOS

    before = datetime.fromtimestamp(time.time() - _KEPT_S, UTC).isoformat()
    ended = ["SUCCESS", "ERROR", "CANCELLED"]
    old = DBOS.list_workflows(
        status=ended, end_time=before, limit=_MAX_DELETED, load_input=False, load_output=False, queue_name=_QUEUE
    )
    if old:
        DBOS.delete_workflows([each.workflow_id for each in old])


async def _nothing(attempt_id: str, campaign_id: str, position: int) -> None:
    raise RuntimeError("The queue of attempts is closed.")


_work: Work = _nothing
_workflows: list[Any] = []


def _register() -> None:
    """Registers the DBOS workflow, once in a process."""
    from dbos import DBOS

    if _workflows:
        return

    @DBOS.workflow(name=_WORKFLOW)
    async def attempt(attempt_id: str, campaign_id: str, position: int) -> None:
        await _work(attempt_id, campaign_id, position)

    _workflows.append(attempt)


def _sqlite_engine(url: str) -> Engine:
    """Returns an SQLite engine for DBOS, like the engine that DBOS creates. The engine has the function `unixepoch`,
    which SQLite before 3.42 does not have.
    """
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


def _close_connections(engine: Engine) -> None:
    """Closes the connections of an engine: idle connections immediately, and each other connection when its thread
    returns the connection. DBOS does not close an engine that it did not create, and does not wait for all of its
    threads.
    """

    @event.listens_for(engine, "checkin")
    def returned(_: Any, record: Any) -> None:
        record.invalidate()

    engine.dispose()
