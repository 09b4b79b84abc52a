"""The objects that a server session uses and that other code creates, such as the player and the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ...capabilities import ModelCapabilities
from ...model_events import RealtimeModelEvent
from ...playback import Player
from ...response_outcome import RetryPolicy
from ...sources import Sources
from ...turn_policy import TurnPolicy
from ..encoding import EventIds

__all__ = ["Log", "SessionPorts"]


class Log(Protocol):
    """The methods of a log that a server session uses. `logging.Logger` has them."""

    def debug(self, msg: str, *args: object) -> None: ...
    def info(self, msg: str, *args: object) -> None: ...
    def warning(self, msg: str, *args: object, exc_info: BaseException | None = None) -> None: ...


@dataclass(slots=True)
class SessionPorts:
    """The objects that a server session uses and that other code creates, such as the player, the turn policy and the
    log, and the options of the session. They outlive the session: the next session of a conversation gets the same
    objects. All calls of these objects are synchronous. For example, `stop` of the player returns the heard position.
    """

    policy: TurnPolicy
    player: Player
    sources: Sources
    emit: Callable[[RealtimeModelEvent], None]
    log: Log
    capabilities: ModelCapabilities
    ids: EventIds = field(default_factory=EventIds)
    retry: RetryPolicy | None = None
    hold_for_tools: bool = True
    log_payloads: bool = False
    emit_raw: bool = True
    ignored_errors: Counter[str] = field(default_factory=Counter)
    """The number of errors that no event reports, by code. These errors are harmless, or are caused by this package."""
