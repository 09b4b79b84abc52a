"""How a connection ended. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Close"]


@dataclass(frozen=True, slots=True)
class Close:
    """How a connection ended.

    `code` and `reason` are those of RFC 6455, section 7.4 (1005: the peer gave none; 1006: no closing handshake).
    `by` is the side that ended it: `"us"`, the `"peer"`, or the `"network"` (reset, time-out, end of file).
    """

    code: int
    reason: str
    by: Literal["us", "peer", "network"]
