"""What users' code asked of a call, as a journal tells it. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..journal.format import Record

__all__ = ["STATES", "Asked", "AskedLog"]

STATES = frozenset({"hold", "muted", "listening"})
"""These last until the code leaves them; all others until the call has done what it was asked."""


@dataclass(slots=True)
class Asked:
    """Asked at `t`, over at `ended_t` with `outcome` (None: never). `tool`: in the tool with this `call_id`."""

    action: str
    t: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    tool: str | None = None
    ended_t: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)
    place: int = 0
    end_place: int = 0
    """The places of both among all records of such things: their order, where they have one time."""
    end_is_known: bool = True
    """Not in journals of schema 2: then the next request comes behind it, whenever that is."""

    @property
    def ends_by_itself(self) -> bool:
        """Somebody waited for its end, and nobody brought it about."""
        return self.action not in STATES and not self.outcome.get("cancelled")


class AskedLog:
    """Gathers the requests of a journal. `complete`: it has their ends, and only what users' code asked (schema 3)."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.complete = False
        self._open: dict[Any, Asked] = {}
        self._places = itertools.count()

    def take(self, record: Record, *, inside: str | None) -> None:
        """A `control` or `control.end`; `inside`: the tool that runs, where the record does not say."""
        data, place = record.data, next(self._places)
        if record.kind == "control.end":
            if (asked := self._open.pop(data.get("id"), None)) is not None:
                asked.ended_t, asked.end_place = record.t, place
                asked.outcome = {name: value for name, value in data.items() if name not in ("id", "action")}
            return
        self.complete = self.complete or "id" in data
        arguments = {name: value for name, value in data.items() if name not in ("id", "action", "tool")}
        tool = data.get("tool") if self.complete else inside
        if data.get("ours"):
            return  # it is asked again by itself
        asked = Asked(str(data.get("action")), record.t, arguments, tool, place=place, end_is_known="id" in data)
        self.asked.append(asked)
        if asked.end_is_known:
            self._open[data["id"]] = asked
