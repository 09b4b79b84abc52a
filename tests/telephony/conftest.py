"""Databases for the tests that use them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import Cluster, postgresql_cluster, postgresql_tools


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
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    cluster: Cluster = request.getfixturevalue("postgresql")
    return cluster.new_database()


@pytest.fixture(params=["sqlite", "postgresql"] if os.environ.get("PROOF") else ["one"])
def shared_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of several processes: PostgreSQL where it is installed, else an SQLite file. `make proof` takes
    both. What differs between the databases is tested with `database_url`."""
    if request.param == "sqlite" or (request.param == "one" and postgresql_tools() is None):
        return f"sqlite:///{tmp_path}/records.db"
    cluster: Cluster = request.getfixturevalue("postgresql")
    return cluster.new_database()
