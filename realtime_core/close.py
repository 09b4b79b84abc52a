"""Describes how a WebSocket or another connection ended: the close code, the reason, and the side that closed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Close"]


@dataclass(frozen=True, slots=True)
class Close:
    """The end of a connection.

    `code` and `reason` are those of RFC 6455, section 7.4 (1005: the peer gave no code; 1006: no closing handshake).
    `by` is the side that ended the connection: `"us"`, the `"peer"`, or the `"network"` (reset, time-out, end of file).
    """

    code: int
    reason: str
    by: Literal["us", "peer", "network"]
