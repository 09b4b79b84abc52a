"""What users' code asked of a call, done again at its recorded places. The users' code itself never runs.

A request comes as long after the one before it (its begin, or its end where somebody waited for it) as it did then:
over another line a sentence takes another time, and what follows it follows it still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from realtime_core.errors import RealtimeCoreError

from ..errors import CallError
from .asked import STATES, Asked

if TYPE_CHECKING:
    from ..call.call import Call

__all__ = ["SOME_NUMBER", "Repeated", "Repeats"]

_BEHIND_S = 0.001
"""What is cancelled by the call's end is so by itself."""
_LIMITS = ("max_digits", "terminator", "first_s", "between_s")
SOME_NUMBER = "+15550100000"
"""Journals hold no targets of transfers; nobody is called."""


@dataclass(slots=True)
class Repeated:
    """The moment up to which asked were repeated: `then` in the recording is `now` on the loop's clock."""

    then: float
    now: float

    async def until(self, t: float) -> None:
        """In no time where the time has come: what was one step then is one step again."""
        if (left := self.now + t - self.then - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(left)
        self.reached(t)

    def reached(self, t: float) -> None:
        self.then, self.now = t, asyncio.get_running_loop().time()


class Repeats:
    """Askeds of one tool (or of the code beside the tools), in their order."""

    def __init__(self, asked: Sequence[Asked], clips: Mapping[str, bytes]) -> None:
        self._clips = clips
        moments = [(each.place, each.t, True, n, each) for n, each in enumerate(asked)]
        for n, each in enumerate(asked):
            if each.ended_t is not None:
                moments.append((each.end_place, each.ended_t, False, n, each))
        self._moments = sorted(moments, key=lambda moment: moment[0])

    async def run(self, call: Call, place: Repeated) -> None:
        """Ask the same things of `call`. Moves `place` to the last of them."""
        tasks, states = dict[int, asyncio.Task[None]](), dict[int, ExitStack]()
        with ExitStack() as leaving:
            async with asyncio.TaskGroup() as group:
                for at, (_, t, begins, n, asked) in enumerate(self._moments):
                    if not begins:
                        await self._end(t, asked, place, tasks.get(n), states.get(n))
                        continue
                    await place.until(t)
                    if asked.action in STATES:
                        states[n] = leaving.enter_context(ExitStack())
                        states[n].enter_context(self._state(call, asked))
                    elif self._is_alone(at, n, asked):
                        await self._ask(call, asked)
                    else:
                        tasks[n] = group.create_task(self._ask(call, asked))

    async def _end(
        self, t: float, asked: Asked, place: Repeated, task: asyncio.Task[None] | None, state: ExitStack | None
    ) -> None:
        if asked.ends_by_itself:
            if task is not None:
                await task
            place.reached(t)
            return
        if state is not None:
            await place.until(t)
            state.close()
        elif task is not None:
            await place.until(t + _BEHIND_S)
            task.cancel()

    def _is_alone(self, at: int, n: int, asked: Asked) -> bool:
        """Nothing else was asked before it was over."""
        if not asked.end_is_known:
            return True
        following = self._moments[at + 1] if at + 1 < len(self._moments) else None
        return following is None or (following[3] == n and asked.ends_by_itself)

    def _state(self, call: Call, asked: Asked) -> AbstractContextManager[None]:
        match asked.action:
            case "hold":
                return call.hold(self._clip(asked.arguments))
            case "muted":
                return call.muted()
        return call.listening()

    async def _ask(self, call: Call, asked: Asked) -> None:
        with suppress(CallError, RealtimeCoreError):  # as then, or told by the comparison
            await self._perform(call, asked.action, asked.arguments)

    async def _perform(self, call: Call, action: str, given: Mapping[str, Any]) -> None:
        """What this version does not know is left alone."""
        match action:
            case "hang_up":
                await call.hang_up(goodbye=given.get("goodbye"), within_s=float(given.get("within_s", 10.0)))
            case "transfer":
                call.transfer_targets.setdefault(str(given["target"]), SOME_NUMBER)
                await call.transfer(str(given["target"]), summary="" if given.get("warm") else None)
            case "say":
                await call.say(str(given["instructions"]), interruptible=bool(given.get("interruptible", True)))
            case "play" if (clip := self._clip(given)) is not None:
                await call.play(clip, interruptible=bool(given.get("interruptible", True)))
            case "send_digits":
                keys = given.get("keys", 1)
                await call.send_digits(keys if isinstance(keys, str) else "0" * int(keys))
            case "collect_digits":
                limits = {name: given[name] for name in _LIMITS if name in given}
                prompt = given.get("prompt")
                words = b"\xff" * prompt if isinstance(prompt, int) else prompt
                await call.collect_digits(self._clip(given) or words, **limits)
            case "machine_found":
                call.machine_found()
            case _ if action.startswith("session."):
                await getattr(call.session, action.partition(".")[2])(**given)

    def _clip(self, given: Mapping[str, Any]) -> bytes | None:
        return self._clips.get(str(given.get("clip")))
