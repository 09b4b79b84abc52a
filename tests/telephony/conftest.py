"""Databases for the tests that use them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from telephony.records import Records
from telephony.records.database import DatabaseRecords
from telephony.records.memory import MemoryRecords
from tests.support.databases import Cluster, new_database, postgresql_cluster, postgresql_tools


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A cluster of our own, or a skip that says why."""
    if (tools := postgresql_tools()) is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    with postgresql_cluster(tools) as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, of each kind."""
    return new_database(request.param, request, tmp_path)


@pytest.fixture
def database(database_url: str) -> Iterator[DatabaseRecords]:
    """Empty records in a database of each kind."""
    with closing(DatabaseRecords(database_url)) as database:
        yield database


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    """Empty records: in memory, and in a database of each kind."""
    kind = request.param
    made: Records = MemoryRecords() if kind == "memory" else DatabaseRecords(new_database(kind, request, tmp_path))
    with closing(made):
        yield made


@pytest.fixture(params=["sqlite", "postgresql"] if os.environ.get("PROOF") else ["one"])
def shared_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of several processes: PostgreSQL where it is installed, else an SQLite file. `make proof` takes
    both. What differs between the databases is tested with `database_url`."""
    if request.param == "one":
        return new_database("sqlite" if postgresql_tools() is None else "postgresql", request, tmp_path)
    return new_database(request.param, request, tmp_path)
