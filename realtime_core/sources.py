"""The source of ids, tokens, random numbers and wall-clock time. The source is injected and can have a seed.

No other code in the two packages uses `random`, `secrets`, `uuid` or the wall clock. Monotonic time comes from the
event loop.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["SYSTEM", "Sources"]

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Sources:
    """Creates ids, tokens and random numbers, and returns the wall-clock time. Without a seed, the values come from the
    operating system. With a seed, each run of a program gives the same values.

    A seeded source is for tests, replays and `--fast` demos. It is not safe for secrets. `clock` replaces the wall
    clock of a seeded source.
    """

    def __init__(self, seed: int | None = None, *, clock: Callable[[], datetime] | None = None) -> None:
        self.seed = seed
        self._clock = clock
        self.random: random.Random = random.SystemRandom() if seed is None else random.Random(seed)

    def token(self, n_bytes: int = 16) -> str:
        """Returns `n_bytes` random bytes as lower-case hexadecimal digits."""
        return secrets.token_hex(n_bytes) if self.seed is None else self.random.randbytes(n_bytes).hex()

    def id(self, prefix: str) -> str:
        """Returns a new id. A prefix of two letters gives an id in Twilio's form (`CA` and 32 hexadecimal digits).
        Other prefixes give `prefix_` and 24 digits.
        """
        return prefix + self.token(16) if len(prefix) == 2 and prefix.isupper() else f"{prefix}_{self.token(12)}"

    def now(self) -> datetime:
        """Returns the current time in UTC. With a seed and without a `clock`, the time begins at 2026-01-01 and
        advances with the clock of the event loop. With a `clock`, returns the time of this clock.
        """
        if self._clock is not None:
            return self._clock()
        if self.seed is None:
            return datetime.now(UTC)
        return _EPOCH + timedelta(seconds=asyncio.get_running_loop().time())

    def fork(self, name: str) -> Sources:
        """Returns a source for the part of the program with this name, so its random values do not depend on the values
        that other parts take. A source without a seed returns itself.
        """
        if self.seed is None:
            return self
        return Sources(random.Random(f"{self.seed}:{name}").getrandbits(63), clock=self._clock)


SYSTEM = Sources()
"""The default source without a seed: ids, tokens, random numbers and time from the operating system."""
