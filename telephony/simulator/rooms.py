"""Where legs hear each other: a conference, or the two ends of a `<Dial>`.

https://www.twilio.com/docs/voice/twiml/conference
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from realtime_core.audio import g711

from .phone import FRAME_S
from .playout import FRAME, SILENCE

if TYPE_CHECKING:
    from .calls import SimulatedCall

__all__ = ["Member", "Room"]

_SILENT_FRAME = SILENCE * FRAME


@dataclass(eq=False)
class Member:
    """Somebody in a room. On hold they hear silence, and are not heard."""

    call: SimulatedCall
    label: str = ""
    muted: bool = False
    hold: bool = False
    starts: bool = True
    ends: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)


class Room:
    """`on_change(event, member)` is told `participant-join`, `participant-leave`, `conference-start`, `-end`."""

    def __init__(
        self, sid: str = "", name: str = "", on_change: Callable[[str, Member], None] = lambda event, member: None
    ) -> None:
        self.sid = sid
        self.name = name
        self.members: dict[str, Member] = {}
        self.started = False
        self.over = False
        self._on_change = on_change
        self._mixing: asyncio.Task[None] | None = None

    @property
    def status(self) -> str:
        return "completed" if self.over else "in-progress" if self.started else "init"

    async def stay(self, member: Member) -> None:
        """Be in the room until taken out of it, or until it ends."""
        self.members[member.call.sid] = member
        self._on_change("participant-join", member)
        if not self.started and member.starts and len(self.members) > 1:
            self.started = True
            self._on_change("conference-start", member)
        if self._mixing is None:
            self._mixing = asyncio.create_task(self._mix(), name=f"room {self.name}")
        try:
            await member.left.wait()
        finally:
            self._leave(member)

    def end(self) -> None:
        for member in self.members.values():
            member.left.set()

    def _leave(self, member: Member) -> None:
        del self.members[member.call.sid]
        self._on_change("participant-leave", member)
        if member.ends:
            self.end()
        if not self.members:
            self.over = True
            self._on_change("conference-end", member)
            if self._mixing is not None:
                self._mixing.cancel()

    async def _mix(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += FRAME_S
            await asyncio.sleep(due - loop.time())
            members = list(self.members.values())
            said = {member: self._said(member) for member in members}
            for member in members:
                others = (frame for other, frame in said.items() if other is not member and not other.hold)
                member.call.phone.hear(_SILENT_FRAME if member.hold or not self.started else _mixed(others))

    def _said(self, member: Member) -> bytes:
        frame = member.call.phone.speak()
        return _SILENT_FRAME if member.muted or member.hold else frame


def _mixed(frames: Iterable[bytes]) -> bytes:
    return reduce(g711.mix, (frame for frame in frames if frame != _SILENT_FRAME), _SILENT_FRAME)
