"""Connects a placed call to another number of the same simulated account. Each side hears the words of the other
side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .callees import Callee
from .handset import Handset
from .peer import Caller

__all__ = ["bridge"]

_ANSWER_S = 30.0


def bridge(ring: Callable[[Caller], None], *, verdict: str) -> Callee:
    """Returns the simulated callee of a call that the application makes to one of its own numbers. The callee calls the
    webhook of that number: `ring` starts this incoming call, with the given simulated caller. The audio of each call is
    then played in the other call. `verdict` is the result of the answering machine detection.
    """
    answered: asyncio.Future[Handset] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def incoming(phone: Handset) -> None:
        if not answered.done():
            answered.set_result(phone)
        try:
            await over.wait()
        finally:
            over.set()

    async def outgoing(phone: Handset) -> None:
        ring(incoming)
        try:
            async with asyncio.timeout(_ANSWER_S):
                other = await answered
            with phone.joined(other):
                await over.wait()
        except TimeoutError:
            pass
        finally:
            over.set()

    return Callee(outgoing, after_s=0.2, answered_by=verdict, verdict_after_s=2.5)
