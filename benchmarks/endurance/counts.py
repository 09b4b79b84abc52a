"""Counts what a process holds: objects by type, entries of containers, tasks, timers, threads and descriptors."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from heapq import heapify
from types import FrameType, FunctionType, ModuleType
from typing import Any

__all__ = ["Counts", "count", "growth"]

_CONTAINERS = (dict, list, set, deque, bytearray)
_Cache = type(cache(len))
_NO_OWNERS = (ModuleType, FrameType, type, FunctionType)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a process holds at one moment.

    `types` has the number of objects of each type, and `entries` the number of entries of all containers that an object
    of a type holds directly. The entries also show containers of text and numbers, which the garbage collector does not
    list.
    """

    tasks: int
    timers: int
    threads: int
    descriptors: int
    types: Mapping[str, int] = field(repr=False)
    entries: Mapping[str, int] = field(repr=False)

    @property
    def objects(self) -> int:
        return sum(self.types.values())

    def summary(self) -> dict[str, int]:
        """Returns the sums, without the types."""
        return {
            "objects": self.objects,
            "entries": sum(self.entries.values()),
            "tasks": self.tasks,
            "timers": self.timers,
            "threads": self.threads,
            "descriptors": self.descriptors,
        }


def count(loop: asyncio.AbstractEventLoop | None = None) -> Counts:
    """Counts what this process holds. Collects garbage first. `loop` is the event loop whose tasks and timers are
    counted, by default the running one. The loop may run in another thread.
    """
    loop = loop or asyncio.get_running_loop()
    _drop_cancelled_timers(loop)
    for _ in range(3):
        gc.collect()
    objects = gc.get_objects()
    timers = sum(1 for each in list(getattr(loop, "_scheduled", ())) if not each.cancelled())
    return Counts(
        tasks=len(asyncio.all_tasks(loop)),
        timers=timers,
        threads=threading.active_count(),
        descriptors=len(os.listdir("/proc/self/fd")),
        types=Counter(map(_type_name, objects)),
        entries=_entries(objects),
    )


def _drop_cancelled_timers(loop: asyncio.AbstractEventLoop) -> None:
    """Removes cancelled timers from asyncio's heap. asyncio does this when half of more than 100 timers are cancelled.
    Until then each of them keeps its context, which has the call of a log line. uvloop has no such heap.
    """
    if (heap := getattr(loop, "_scheduled", None)) is not None and loop is asyncio.events._get_running_loop():
        loop._timer_cancelled_count = 0  # type: ignore[attr-defined]
        alive = [each for each in heap if not each.cancelled()]
        for each in heap:
            each._scheduled = each in alive
        heap[:] = alive
        heapify(heap)


def growth(before: Mapping[str, int], after: Mapping[str, int], *, more_than: int = 0) -> dict[str, int]:
    """Returns what has grown by more than `more_than`, the most first."""
    grown = {name: n - before.get(name, 0) for name, n in after.items() if n - before.get(name, 0) > more_than}
    return dict(sorted(grown.items(), key=lambda item: -item[1]))


def _entries(objects: Iterable[Any]) -> dict[str, int]:
    found: defaultdict[str, int] = defaultdict(int)
    seen: set[int] = {id(objects)}
    for each in objects:
        if isinstance(each, (Counts, *_NO_OWNERS, *_CONTAINERS)):
            continue
        for held in gc.get_referents(each):
            if isinstance(held, _CONTAINERS) and id(held) not in seen:
                seen.add(id(held))
                found[_type_name(each)] += len(held)
                for inner in held.values() if type(held) is dict else ():  # the attributes may be in a dict
                    if isinstance(inner, _CONTAINERS) and id(inner) not in seen:
                        seen.add(id(inner))
                        found[_type_name(each)] += len(inner)
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType):
            continue
        for key, held in list(vars(module).items()):
            if isinstance(held, (*_CONTAINERS, OrderedDict)) and id(held) not in seen:
                seen.add(id(held))
                found[f"{name}.{key}"] += len(held)
            elif isinstance(held, _Cache) and held.__module__ == name:
                found[f"{name}.{key}()"] = held.cache_info().currsize
    return found


def _type_name(each: Any) -> str:
    kind = type(each)
    return f"{kind.__module__}.{kind.__qualname__}"
