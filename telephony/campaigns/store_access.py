"""Runs the queries of the campaign dialer on the store of campaigns. A query whose result must not be lost is repeated
until the database answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import CampaignError, RecordRefused, RecordsUnavailable
from ..records.client import RecordsClient
from .database_store import DatabaseStore

__all__ = ["StoreAccess"]

_T = TypeVar("_T")

_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""The pauses between repetitions of a query, in seconds. The last pause is used again."""


class StoreAccess:
    """Runs queries on the store of campaigns in worker threads, so the event loop is not blocked. `is_draining` returns
    whether the process is about to end. In this case, repetitions of a failed query stop soon.
    """

    def __init__(self, store: DatabaseStore, client: RecordsClient, is_draining: Callable[[], bool]) -> None:
        self._store = store
        self._client = client
        self._is_draining = is_draining

    async def ask(self, query: Callable[[DatabaseStore], _T]) -> _T:
        """Calls `query(store)` in a worker thread and returns its result. Raises `RecordsUnavailable`, `RecordRefused`
        and `CampaignError`.
        """
        return await self._client.ask(lambda _: query(self._store))

    async def persist(self, query: Callable[[DatabaseStore], _T]) -> _T:
        """Calls `query(store)` in a worker thread and returns its result. Repeats the query until the database answers,
        because its result must not be lost. Raises `CampaignError` if the database refuses the query, or if the process
        ends and the database still does not answer after some repetitions.
        """
        return await self.persist_any(lambda: self.ask(query))

    async def persist_any(self, query: Callable[[], Awaitable[_T]]) -> _T:
        """Awaits `query()`, which may use any part of the database, and returns its result. Repeats the query until the
        database answers. Raises `CampaignError` if the database refuses the query, or if the process ends and the
        database still does not answer after some repetitions.
        """
        failures = 0
        while True:
            try:
                return await query()
            except RecordRefused as error:
                raise CampaignError(f"the database refuses it: {error}") from error
            except RecordsUnavailable as error:
                if self._is_draining() and failures >= len(_PAUSES_S):
                    raise CampaignError(f"the database cannot be used: {error}") from error
                await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
                failures += 1
