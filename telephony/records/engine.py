"""Connections to SQLite and PostgreSQL: time limits, transactions, and the file mode of SQLite files."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url

from ..errors import SettingsError

__all__ = ["READS", "WITHIN_S", "create_file", "engine_of", "name_of", "parse_url"]

WITHIN_S = 2
"""The time limit in seconds of one SQL statement, and of one attempt to connect."""
READS = "telephony_reads"
"""The name of an execution option of SQLAlchemy, which marks a connection that only reads. On SQLite, the transaction
of such a connection does not lock the database for writing.
"""
_FROZEN_S = 10
_creating = threading.Lock()


def parse_url(url: str) -> URL:
    parsed = make_url(url)
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername.startswith("postgres") else parsed


def name_of(url: URL) -> str:
    """Returns the name of a database for messages: the absolute path of its file, or its address without a password."""
    if url.drivername == "sqlite":
        return os.path.abspath(url.database) if url.database else "the database in memory"
    host = url.host or str(url.query.get("host", "this machine"))
    return f"PostgreSQL at {host}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def engine_of(url: URL) -> Engine:
    """Returns the SQLAlchemy engine for a database.

    Raises:
        SettingsError: PostgreSQL's driver is not installed.
    """
    if url.drivername == "sqlite":
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": WITHIN_S})
        event.listen(engine, "connect", _open_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    options = {
        "connect_timeout": WITHIN_S,
        "tcp_user_timeout": WITHIN_S * 1000,
        "application_name": "telephony",
        "prepare_threshold": None,  # a connection pooler may use another connection for each transaction
    }
    try:
        engine = create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=4,
            max_overflow=0,
            pool_timeout=WITHIN_S,
            connect_args=options,
        )
    except ModuleNotFoundError:
        cure = "DATABASE_URL: PostgreSQL needs its driver: pip install 'telephony-agent[postgres]'"
        raise SettingsError([cure]) from None
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _open_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA secure_delete=ON")  # overwrite what is deleted, and what an update replaces
        except sqlite3.OperationalError:  # SQLite does not always wait for this lock by itself
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins with a read cannot write later. A transaction that only reads does not wait for a
    # writer.
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READS) else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {WITHIN_S * 1000}")
    # A process that is suspended during a transaction must not keep its locks.
    connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {_FROZEN_S * 1000}")


def create_file(path: str) -> None:
    """Creates the SQLite file at `path` with mode 0600, like the files of journals. SQLite gives its other files the
    same mode. An existing file is not opened, because closing the file would release all POSIX locks of this process on
    the file (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """
    with _creating, contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
