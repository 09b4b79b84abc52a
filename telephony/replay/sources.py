"""Where a replayed call's ids and dates come from."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from random import Random

from realtime_core.sources import Sources

__all__ = ["RecordedSources"]


class RecordedSources(Sources):
    """Seeded; its dates are those of the recorded call. What is drawn from a span of time to wait is the least: what
    was waited for comes at its recorded time anyway."""

    def __init__(self, seed: int, started_at: str) -> None:
        super().__init__(seed)
        self.random = _Least(seed)
        self._began = asyncio.get_running_loop().time()
        try:
            self._started_at: datetime | None = datetime.fromisoformat(started_at)
        except ValueError:
            self._started_at = None

    def now(self) -> datetime:
        if self._started_at is None:
            return super().now()
        return self._started_at + timedelta(seconds=asyncio.get_running_loop().time() - self._began)


class _Least(Random):
    def uniform(self, a: float, b: float) -> float:
        return min(a, b)
