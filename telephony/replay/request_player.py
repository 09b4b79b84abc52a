"""Repeats the recorded requests of users' code, such as to say something or to play a clip, at their recorded times.
The users' code does not run.

A request follows the request before it after the recorded interval. The interval counts from the start of the earlier
request, or from its end if users' code waited for the end. Therefore a request that followed the end of a sentence also
follows it in the replay, even if the sentence now takes longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from realtime_core.errors import RealtimeCoreError

from ..errors import CallError
from .recorded_requests import STATES, RecordedRequest

if TYPE_CHECKING:
    from ..call.call import Call

__all__ = ["SOME_NUMBER", "ReplayClock", "RequestPlayer"]

_AFTER_END_S = 0.001
"""The delay in seconds of a repeated cancellation, because the end of the call cancels open requests itself."""
_LIMITS = ("max_digits", "terminator", "first_s", "between_s")
SOME_NUMBER = "+15550100000"
"""The phone number to which transfers go in a replay, because journals contain no phone numbers. No real call is
made.
"""


@dataclass(slots=True)
class ReplayClock:
    """Converts times of the recording to times of the event loop. `recorded` (in seconds since the start of the
    recorded call) and `now` (in seconds on the event loop's clock) are the same moment.
    """

    recorded: float
    now: float

    async def until(self, t: float) -> None:
        """Waits for the recorded time `t`. If `t` has passed, returns without running other tasks."""
        if (left := self.now + t - self.recorded - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(left)
        self.reached(t)

    def reached(self, t: float) -> None:
        """Sets the relation between the two times: the recorded time `t`, in seconds, is the current time of the event
        loop.
        """
        self.recorded, self.now = t, asyncio.get_running_loop().time()


class RequestPlayer:
    """Makes the recorded requests of the user's code to `Call` (such as `say` or `transfer`) again during a replay, in
    their order and at their times. The requests are those of one tool call, or those of the code outside of tools.
    """

    def __init__(self, requests: Sequence[RecordedRequest], clips: Mapping[str, bytes]) -> None:
        self._clips = clips
        moments = [(each.order, each.t, True, n, each) for n, each in enumerate(requests)]
        for n, each in enumerate(requests):
            if each.ended_t is not None:
                moments.append((each.end_order, each.ended_t, False, n, each))
        self._moments = sorted(moments, key=lambda moment: moment[0])

    async def run(self, call: Call, clock: ReplayClock) -> None:
        """Repeats the recorded commands of users' code (for example play a clip, or hang up) on `call`, at their
        recorded times. `clock` converts the recorded times, and is corrected when a command ends earlier or later than
        in the recording.
        """
        tasks, states = dict[int, asyncio.Task[None]](), dict[int, AsyncExitStack]()
        async with AsyncExitStack() as leaving, asyncio.TaskGroup() as group:
            for at, (_, t, begins, n, request) in enumerate(self._moments):
                if not begins:
                    await self._end(t, request, clock, tasks.get(n), states.get(n))
                    continue
                await clock.until(t)
                if request.action in STATES:
                    states[n] = await leaving.enter_async_context(AsyncExitStack())
                    if request.action == "secret":
                        await states[n].enter_async_context(call.secret())
                    else:
                        states[n].enter_context(self._state(call, request))
                elif self._is_alone(at, n, request):
                    await self._make(call, request)
                else:
                    tasks[n] = group.create_task(self._make(call, request))

    async def _end(
        self,
        t: float,
        request: RecordedRequest,
        clock: ReplayClock,
        task: asyncio.Task[None] | None,
        state: AsyncExitStack | None,
    ) -> None:
        if request.ends_by_itself:
            if task is not None:
                await task
            clock.reached(t)
            return
        if state is not None:
            await clock.until(t)
            await state.aclose()
        elif task is not None:
            await clock.until(t + _AFTER_END_S)
            task.cancel()

    def _is_alone(self, at: int, n: int, request: RecordedRequest) -> bool:
        """Returns whether no other request was made before this request ended."""
        if not request.end_is_known:
            return True
        following = self._moments[at + 1] if at + 1 < len(self._moments) else None
        return following is None or (following[3] == n and request.ends_by_itself)

    def _state(self, call: Call, request: RecordedRequest) -> AbstractContextManager[None]:
        match request.action:
            case "hold":
                return call.hold(self._clip(request.arguments))
            case "muted":
                return call.muted()
        return call.listening()

    async def _make(self, call: Call, request: RecordedRequest) -> None:
        with suppress(CallError, RealtimeCoreError):  # the recording has the same error, or the comparison shows it
            await self._perform(call, request.action, request.arguments)

    async def _perform(self, call: Call, action: str, given: Mapping[str, Any]) -> None:
        """Makes one request to the call. Actions that this version does not know are ignored."""
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
            case "mark_verified":
                await call.mark_verified(str(given["level"]))
            case "ring_with_code":
                await call.ring_with_code(SOME_NUMBER)
            case "refuse_recording":
                call.refuse_recording()
            case "supervisor.voice":
                call.supervision.voice(given["ulaw"], given["part"])
            case "supervisor.words":
                call.supervision.words(**given)
            case "supervisor.transfer":
                await call.supervision.transfer(str(given["target"]), SOME_NUMBER, warm=bool(given.get("warm")))
            case _ if action.startswith("supervisor."):
                await getattr(call.supervision, action.partition(".")[2])(**given)
            case _ if action.startswith("session."):
                await getattr(call.session, action.partition(".")[2])(**given)

    def _clip(self, given: Mapping[str, Any]) -> bytes | None:
        return self._clips.get(str(given.get("clip")))
