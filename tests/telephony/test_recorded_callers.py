"""A recorded caller meets an agent that speaks otherwise: it does not talk over this agent where it did not in the
recording, and it interrupts where it did."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from realtime_core.testing import virtual_time
from telephony.audio.files import Clip
from telephony.replay.callers import Cue, Turn, _Moment, _speeches, _turn, _turns, retimed
from telephony.simulator import Handset
from telephony.simulator.handset import FRAME_S

VOICE, SILENT = bytes([0x80]) * 160, b"\xff" * 160
WORD = b"\x90" * 1600
Spoken = Sequence[tuple[float, float]]


class Phone(Handset):
    """A handset that hears an agent speak at fixed times. `began`: when the caller's turns began."""

    def __init__(self) -> None:
        super().__init__(on_press=lambda key: self.began.append(self.at_s), on_hang_up=lambda: None)
        self.began: list[float] = []
        self.at_s = 0.0

    def say(self, clip: str | Clip) -> asyncio.Future[None]:
        self.began.append(round(self.at_s, 2))
        return super().say(clip)

    async def listen(self, agent: Spoken) -> None:
        while True:
            self.speak()
            self.hear(VOICE if any(start <= self.at_s < end for start, end in agent) else SILENT)
            await asyncio.sleep(FRAME_S)
            self.at_s += FRAME_S


def begins(turns: list[Turn], agent: Spoken) -> list[float]:
    """When the turns of the caller begin, with an agent that speaks at these times (in seconds)."""

    async def call() -> list[float]:
        phone = Phone()
        line = asyncio.ensure_future(phone.listen(agent))
        await retimed(turns)(phone)
        line.cancel()
        return phone.began

    return virtual_time.run(call, seed=1)


def turns(recorded: Spoken, agent: Spoken) -> list[Turn]:
    """The turns of a recording with a caller and an agent who spoke at these times (in seconds)."""
    moments = [_Moment(start * 1000, end * 1000, WORD) for start, end in recorded]
    speeches = [(start * 1000, end * 1000) for start, end in agent]
    return _turns(moments, _speeches(speeches, [moment.end_ms for moment in moments]))


@pytest.mark.parametrize(
    ("recorded", "agent", "new", "expected"),
    [
        # After the agent's turn: never in a pause within the turn of the new agent.
        ([(2.1, 3.0)], [(0, 2)], [(0, 2), (2.4, 5)], [5.6]),
        ([(3.5, 4.0)], [(0, 2)], [(0, 3)], [4.5]),
        ([(9.0, 9.5)], [(0, 2)], [(0, 3)], [7.0]),
        # An interruption: at the same point of the agent's turn, also after a pause within this turn.
        ([(1.0, 2.0)], [(0, 1.3)], [(0.5, 9)], [1.5]),
        ([(5.0, 6.0)], [(0, 2), (2.4, 5.3)], [(0, 3), (3.2, 9)], [5.0]),
        # A turn that is shorter than the point of the interruption: soon after it, not after 20 s.
        ([(6.0, 7.0)], [(0, 6.3)], [(0, 3)], [4.0]),
        # "Mhm" and then an interruption of the same turn.
        ([(1.0, 1.4), (3.0, 4.0)], [(0, 3.3)], [(0, 9)], [1.0, 2.8]),
        # "Mhm", and the next turn after the agent has ended.
        ([(1.0, 1.4), (5.0, 6.0)], [(0, 4)], [(0, 6)], [1.0, 7.0]),
        # The caller speaks first; the new agent has a greeting.
        ([(1.0, 2.0)], [(3, 5)], [(0.5, 3)], [3.6]),
        ([(1.0, 2.0)], [(3, 5)], [], [1.0]),
        # The caller hesitates: the second part does not wait for an answer, and does not talk over one.
        ([(3.0, 4.0), (4.8, 5.5)], [(0, 2), (7, 8)], [(0, 2)], [3.0, 4.0]),
        ([(3.0, 4.0), (4.8, 5.5)], [(0, 2), (7, 8)], [(0, 2), (3.4, 6)], [3.0, 6.6]),
        # The same, and the new agent is not stopped, says all, and waits: the caller goes on.
        ([(1.0, 1.3), (4.0, 5.0)], [(0, 1.2), (2.3, 3)], [(0, 6)], [1.0, 9.3]),
        # A short interruption: the next turn waits for the answer, not for the rest of the interrupted speech.
        ([(1.0, 1.3), (4.0, 5.0)], [(0, 1.2), (2.3, 3)], [(0, 1.6), (3, 5)], [1.0, 6.0]),
    ],
    ids=str,
)  # fmt: skip
def test_a_turn_keeps_its_place(recorded: Spoken, agent: Spoken, new: Spoken, expected: list[float]) -> None:
    assert begins(turns(recorded, agent), new) == pytest.approx(expected, abs=0.07)


def test_an_agent_that_begins_again_during_the_callers_turn_is_not_waited_for() -> None:
    """The agent stops for a long "mhm", continues, and has said everything when the caller is silent."""
    mhm = Turn(b"\x90" * 12_000, cue=Cue.INTO, wait_s=1.0)
    then = Turn(WORD, cue=Cue.AFTER, wait_s=0.8, anew=True, interrupted=True)
    assert begins([mhm, then], [(0, 1.3), (1.9, 2.4)]) == pytest.approx([1.0, 3.2], abs=0.07)


def test_the_answer_to_a_key_is_new_speech() -> None:
    spoken = _speeches([(0, 1000), (1450, 3000)], [900.0])
    assert spoken == [(0, 1000), (1450, 3000)]
    assert _turn(_Moment(3500, 4000), _Moment(900, 900, key="1"), spoken) == Turn(cue=Cue.AFTER, wait_s=0.5, anew=True)
    assert _speeches([(0, 1000), (1450, 3000)], []) == [(0, 3000)]
