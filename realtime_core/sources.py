"""Where ids, tokens, randomness and wall-clock dates come from: one source, injected, seedable.

Nothing else in the two packages calls `random`, `secrets`, `uuid` or the wall clock. Monotonic time is the event
loop's.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from datetime import UTC, datetime, timedelta

__all__ = ["SYSTEM", "Sources"]

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Sources:
    """Ids, tokens, randomness and dates. Without a seed they are the operating system's; with one, each run repeats.

    A seeded source is not fit for secrets and exists for tests, replays and `--fast` demonstrations.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.random: random.Random = random.SystemRandom() if seed is None else random.Random(seed)

    def token(self, n_bytes: int = 16) -> str:
        """`n_bytes` of randomness as lower-case hexadecimal."""
        return secrets.token_hex(n_bytes) if self.seed is None else self.random.randbytes(n_bytes).hex()

    def id(self, prefix: str) -> str:
        """An id in Twilio's form for a two-letter prefix (`CA` + 32 hexadecimal digits), else `prefix_` + 24."""
        return prefix + self.token(16) if len(prefix) == 2 and prefix.isupper() else f"{prefix}_{self.token(12)}"

    def now(self) -> datetime:
        """The date, in UTC. A seeded source counts the event loop's seconds from 2026-01-01."""
        if self.seed is None:
            return datetime.now(UTC)
        return _EPOCH + timedelta(seconds=asyncio.get_running_loop().time())

    def fork(self, name: str) -> Sources:
        """A source of its own for one part, so that what one part draws does not shift another's. Unseeded: itself."""
        return self if self.seed is None else Sources(random.Random(f"{self.seed}:{name}").getrandbits(63))


SYSTEM = Sources()
"""The unseeded source."""
