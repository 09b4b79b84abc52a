"""Mixes the audio of the simulated calls in a conference, or of the two calls of a `<Dial>`.

https://www.twilio.com/docs/voice/twiml/conference
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce

from realtime_core.audio import g711

from .handset import FRAME_S
from .playout import FRAME, SILENCE
from .ports import Leg

__all__ = ["Member", "Room"]

_SILENT_FRAME = SILENCE * FRAME


@dataclass(eq=False)
class Member:
    """A participant of a conference.

    While on hold, the member hears `holding` in a loop, and the other members do not hear this member. Before the
    conference starts, the member hears `waiting`. `coaches` is the SID of the only call that hears this member.
    `announcement` replaces all other audio.
    """

    call: Leg
    label: str = ""
    muted: bool = False
    hold: bool = False
    starts: bool = True
    ends: bool = False
    coaches: str | None = None
    waiting: bytes = b""
    holding: bytes = b""
    announcement: bytes = b""
    _at: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def announced(self) -> bytes | None:
        """Returns the next frame of the announcement that the member hears, or None if there is no announcement."""
        frame, self.announcement = self.announcement[:FRAME], self.announcement[FRAME:]
        return frame.ljust(FRAME, SILENCE) if frame else None

    def again(self, music: bytes) -> bytes:
        """Returns the next frame of `music`, which plays in a loop for the member."""
        if not music:
            return _SILENT_FRAME
        self._at = 0 if self._at >= len(music) else self._at
        frame = music[self._at : self._at + FRAME].ljust(FRAME, SILENCE)
        self._at += FRAME
        return frame


class Room:
    """A conference, or the connection of a `<Dial>`. `on_change(event, member)` is called with `participant-join`,
    `participant-leave`, `conference-start` and `conference-end`."""

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
        """Adds the member to the conference, and waits until the member has left or the conference has ended. Audio is
        exchanged in this time.
        """
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
                member.call.phone.hear(self._heard_by(member, said))

    def _heard_by(self, member: Member, said: dict[Member, bytes]) -> bytes:
        if (frame := member.announced()) is not None:
            return frame
        if member.hold:
            return member.again(member.holding)
        if not self.started:
            return member.again(member.waiting)
        return _mixed(
            frame for other, frame in said.items() if other is not member and other.coaches in (None, member.call.sid)
        )

    def _said(self, member: Member) -> bytes:
        frame = member.call.phone.speak()
        return _SILENT_FRAME if member.muted or member.hold else frame


def _mixed(frames: Iterable[bytes]) -> bytes:
    return reduce(g711.mix, (frame for frame in frames if frame != _SILENT_FRAME), _SILENT_FRAME)
