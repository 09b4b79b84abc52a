"""The noise and backchannel suite: measures which sounds of a caller stop the agent. A backchannel is a word such as
"mhm", with which the caller shows that the caller listens.

Each clip is played over the agent's voice in a simulated call that runs the real code. `TurnClip.turn` is True if the
person in the clip wants to speak. *False cut*: a clip in which no person wants to speak stopped the agent. *Miss*: a
clip in which a person wants to speak did not stop the agent.

The speech detector is that of the embedded server (WebRTC's detector and a minimum level), and not OpenAI's detector.
Therefore the results compare turn policies. The results do not say how often a real model is interrupted.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from realtime_core import OpenAIRealtimeWebSocketModel, RealtimeAgent
from realtime_core.connection.memory import memory_pair
from realtime_core.local import LocalRealtimeServer, Reply, Script
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from realtime_core.turn_policy import OurTurns

from ..audio.files import read_ulaw
from ..call.options import CallOptions
from ..call.session import run_call
from ..call.simulation import Simulation
from ..journal.cuts import CutCause
from ..journal.memory import MemoryJournal
from ..simulator import Handset, Line, MediaPeer

__all__ = ["Policy", "TurnClip", "TurnFigures", "figures_of", "is_cut_by", "turn_clips"]

_BEFORE_S, _AFTER_S = 1.5, 1.5
_ANSWER = (
    "Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage, then fresh "
    "tagliatelle with mushrooms, or sea bass from the oven with lemon and potatoes. For dessert there is tiramisu, "
    "made this morning. Our house wine comes from a small village near Verona. Would you like to hear more?"
)
"""A sentence of about 18 seconds that is stored with the voice of the embedded server."""


class Policy(StrEnum):
    """The turn policies that this suite compares. A turn policy decides when a turn of the caller begins and ends, and
    which speech interrupts the agent.
    """

    SERVER = "server"
    """The server decides when a turn begins and ends. Any speech interrupts the agent."""
    OURS = "ours"
    """`OurTurns`: speech of at least 300 ms interrupts the agent."""
    OURS_LONGER = "ours, 600 ms"
    """`OurTurns(0.6)`: speech of at least 600 ms interrupts the agent."""


@dataclass(frozen=True, slots=True)
class TurnClip:
    """A sound of a caller. `turn` is True if the person wants to speak, so the agent must stop."""

    name: str
    kind: str
    turn: bool
    source: str
    licence: str
    ulaw: bytes


@dataclass(frozen=True, slots=True)
class TurnFigures:
    """The errors of a turn policy (the rule by which a caller's sound stops the agent), each as (number of errors,
    number of clips). `false_cuts` has the clips that stopped the agent and should not. `misses` has the clips that
    should stop the agent and did not. `by_kind` has the errors for each kind of clip.
    """

    false_cuts: tuple[int, int]
    misses: tuple[int, int]
    by_kind: dict[str, tuple[int, int]]


@cache
def turn_clips() -> tuple[TurnClip, ...]:
    """Returns the caller's sounds that come with the package, each with the label whether the agent should stop."""
    folder = files(__package__) / "clips"
    listed = tomllib.loads((folder / "index.toml").read_text("utf-8"))["clip"]
    return tuple(TurnClip(**clip, ulaw=read_ulaw((folder / f"{clip['name']}.wav").read_bytes())) for clip in listed)


def is_cut_by(clip: TurnClip, policy: Policy, *, noise_suppression: bool = False) -> bool:
    """Plays the clip of a caller to an agent that speaks, in one simulated call. Returns whether the clip interrupts
    the agent under this turn policy. `noise_suppression` is the option of this name of the call (`CallOptions`).
    """
    journal = MemoryJournal()

    async def call() -> None:
        here, there = memory_pair()
        peer = MediaPeer(here, line=Line(seed=1), sources=Sources(1))
        async with LocalRealtimeServer(
            Script(greeting=Reply(say=_ANSWER)), in_memory=True, sources=Sources(2)
        ) as model:
            options = CallOptions(
                greeting="Greet the caller.",
                model_config=model.model_config,
                model=None if policy is Policy.SERVER else lambda: _ours(policy),
                journal=lambda info: journal,
                sources=Sources(3),
                simulation=Simulation(),
                noise_suppression=noise_suppression,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(run_call(there, RealtimeAgent(name="Suite"), options))
                await peer.run(lambda handset: _play(handset, clip.ulaw))

    virtual_time.run(call, seed=1)
    return any(
        record.kind == "interruption" and record.data.get("cause", CutCause.CALLER) == CutCause.CALLER
        for record in journal.records()
    )


def figures_of(
    policy: Policy, clips: Sequence[TurnClip] | None = None, *, noise_suppression: bool = False
) -> TurnFigures:
    """Plays `clips`, or all clips of the package, to an agent with this turn policy. Returns how many decisions of the
    policy were wrong.
    """
    wrong: dict[bool, list[bool]] = {True: [], False: []}
    by_kind: dict[str, tuple[int, int]] = {}
    for clip in turn_clips() if clips is None else clips:
        cut = is_cut_by(clip, policy, noise_suppression=noise_suppression)
        wrong[clip.turn].append(cut is not clip.turn)
        bad, of = by_kind.get(clip.kind, (0, 0))
        by_kind[clip.kind] = (bad + (cut is not clip.turn), of + 1)
    return TurnFigures((sum(wrong[False]), len(wrong[False])), (sum(wrong[True]), len(wrong[True])), by_kind)


async def _play(phone: Handset, ulaw: bytes) -> None:
    await phone.agent_speaks()
    await phone.heard(_BEFORE_S)
    await phone.say(ulaw)
    await asyncio.sleep(_AFTER_S)
    phone.hang_up()


def _ours(policy: Policy) -> OpenAIRealtimeWebSocketModel:
    return OpenAIRealtimeWebSocketModel(turn_policy=OurTurns(0.6 if policy is Policy.OURS_LONGER else 0.3))
