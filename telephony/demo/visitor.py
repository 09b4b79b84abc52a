"""A caller for any agent: speaks where it is silent, breaks in once, presses a key, and says goodbye."""

from __future__ import annotations

import contextlib

from telephony.errors import CallerTimeout
from telephony.simulator import Phone

__all__ = ["visitor"]

_PATIENCE_S = 12.0


async def visitor(phone: Phone) -> None:
    """Waits for what it hears, but for no longer than a caller would: an agent may have nothing to say."""
    await _hear_out(phone)
    await phone.say("booking")
    await _hear_out(phone)
    await phone.say("hello")
    with contextlib.suppress(CallerTimeout):
        await phone.agent_speaks(within_s=_PATIENCE_S)
        await phone.heard(2.0, within_s=_PATIENCE_S)
    await phone.say("sorry_hours")
    await _hear_out(phone)
    phone.press("1")
    await _hear_out(phone)
    await phone.say("goodbye")
    await _hear_out(phone)
    phone.hang_up()


async def _hear_out(phone: Phone) -> None:
    with contextlib.suppress(CallerTimeout):
        await phone.agent_speaks(within_s=_PATIENCE_S)
        await phone.agent_silent(1.2, within_s=3 * _PATIENCE_S)
