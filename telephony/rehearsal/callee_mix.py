"""The simulated callees of a rehearsal. For each attempt, the kind of callee is drawn at random."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from ..simulator import callees
from ..simulator.callees import Callee
from ..simulator.handset import Handset

__all__ = ["MIX", "CalleeMix"]

MIX: Mapping[str, float] = {
    "person": 34,
    "hangs-up": 6,
    "voicemail": 20,
    "screening": 5,
    "busy": 10,
    "no-answer": 18,
    "failed": 2,
    "menu": 5,
}
"""The percentage of each kind of callee in a rehearsal."""

_PATIENCE_S = 30.0


async def _wait_for_silence(phone: Handset) -> None:
    """A callee that says hello, answers the agent, hears one more turn, and says goodbye."""
    await phone.say("hello")
    await _converse(phone, interrupts=False)


async def _interrupts(phone: Handset) -> None:
    """A callee that answers the agent like `_wait_for_silence`, but speaks while the agent speaks."""
    await phone.say("hello")
    await _converse(phone, interrupts=True)


async def _converse(phone: Handset, *, interrupts: bool) -> None:
    for words in ("booking", "goodbye"):
        await phone.agent_speaks()
        await (phone.heard(2.5) if interrupts else phone.agent_silent(1.0))
        await phone.say(words)
    phone.hang_up()


async def _hangs_up(phone: Handset) -> None:
    """A callee that hangs up in the middle of the agent's first sentence."""
    await phone.say("hello")
    await phone.agent_speaks()
    await phone.heard(1.5)
    phone.hang_up()


async def _menu(phone: Handset) -> None:
    """A recorded menu of a company. The menu waits for a key, repeats itself once, and hangs up."""
    for _ in range(2):
        await phone.say("no_service")
        await asyncio.sleep(_PATIENCE_S / 6)
    phone.hang_up()


class CalleeMix:
    """Draws the simulated callees of a rehearsal at random. The draws for one number do not depend on the draws for
    other numbers, so the order of calls does not matter.
    """

    def __init__(self, seed: int, mix: Mapping[str, float] = MIX) -> None:
        self._seed = seed
        self._mix = mix
        self._drawn: dict[str, int] = {}

    def draw(self, number: str) -> Callee:
        """Returns the simulated callee that the next call to this number reaches."""
        count = self._drawn[number] = self._drawn.get(number, 0) + 1
        source = random.Random(f"{self._seed}:{number}:{count}")
        kind = source.choices(list(self._mix), list(self._mix.values()))[0]
        ringing_s = source.uniform(1.0, 12.0)
        match kind:
            case "person":
                return callees.person(_wait_for_silence if source.random() < 0.2 else _interrupts, after_s=ringing_s)
            case "hangs-up":
                return callees.person(_hangs_up, after_s=ringing_s)
            case "menu":
                return callees.person(_menu, after_s=ringing_s, verdict_after_s=4.0)
            case "voicemail":
                return callees.voicemail(after_s=20.0)
            case "screening":
                return callees.screening(after_s=ringing_s, accepts=source.random() < 0.5, then=_interrupts)
            case _:
                return callees.find(kind)
