"""Calls that a supervisor takes over, in virtual time, and their journals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_core import RealtimeAgent
from realtime_core.audio import g711
from realtime_core.audio.resample import Downsampler3
from realtime_core.local import Reply, Script
from realtime_core.testing import virtual_time
from telephony.call.call import Call
from telephony.replay.call import ReplayedCall
from telephony.replay.replaying import replay_call
from telephony.simulator import Handset
from tests.support.local_client import human
from tests.support.office import office

FRAME = 160
LONG = "We are open from noon to eleven, every day but Monday, and on Sundays we also serve breakfast from nine."
Story = Callable[[Handset, Call], Awaitable[None]]


def tone(seconds: float, hz: float = 440.0) -> bytes:
    """A voice that no model has, in mu-law."""
    wave = 9000 * np.sin(2 * np.pi * hz * np.arange(int(seconds * 8000)) / 8000)
    return g711.encode(wave.astype("<i2").tobytes())


async def speak(call: Call, ulaw: bytes, *, jitter_s: float = 0.0) -> None:
    """The supervisor's browser: a piece every 20 ms, some of them late."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for n, at in enumerate(range(0, len(ulaw), FRAME)):
        await asyncio.sleep(max(0.0, began + n * 0.02 + (jitter_s if n % 7 == 3 else 0.0) - loop.time()))
        call.supervision.hear(ulaw[at : at + FRAME])


def level(ulaw: bytes | bytearray, hz: float = 440.0) -> NDArray[np.float64]:
    """How strong this tone is in each 20 ms, from 0 to 1."""
    pcm = np.frombuffer(g711.decode(bytes(ulaw)), "<i2").astype(float)
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    wave = np.exp(-2j * np.pi * hz * np.arange(FRAME) / 8000)
    energy = np.sqrt((frames**2).mean(axis=1)) + 1.0
    found: NDArray[np.float64] = np.abs(frames @ wave) / FRAME * np.sqrt(2) / energy
    return found


def run(
    folder: Path,
    story: Story,
    *,
    script: Script | None = None,
    agent: RealtimeAgent[Any] | None = None,
    seed: int = 1,
    settings_given: dict[str, Any] | None = None,
    **options: Any,
) -> Handset:
    """One call. `story` begins when the caller hears the greeting, and its end hangs up."""
    phones: list[Handset] = []
    script = script or Script(greeting=Reply(say=LONG), otherwise=Reply(say="Yes, I know what was settled."))

    given = {"telephony_journal_dir": folder, **(settings_given or {})}

    async def record() -> None:
        async with office(script, agent=agent, given=given, **options) as (twilio, app):

            async def caller(phone: Handset) -> None:
                phones.append(phone)
                await phone.agent_speaks()
                (call,) = app.state.phone.registry
                await story(phone, call)

            ringing = await twilio.ring(caller=caller)
            assert ringing.warnings == []

    virtual_time.run(record, seed=seed)
    return phones[0]


def records(folder: Path) -> list[dict[str, Any]]:
    (journal,) = folder.glob("*/journal.jsonl")
    return [json.loads(line) for line in journal.read_text().splitlines()]


def replayed(folder: Path, agent: RealtimeAgent[Any] | None = None) -> ReplayedCall:
    (journal,) = folder.glob("*/journal.jsonl")
    return replay_call(journal, agent or RealtimeAgent(name="Desk"))


def out(found: list[dict[str, Any]], *types: str) -> list[dict[str, Any]]:
    return [each for each in found if each["kind"] == "model.out" and each["message"]["type"] in types]


def voice() -> bytes:
    """A human voice, "I'm sorry", in mu-law, with a second of silence after it."""
    return g711.encode(Downsampler3().push(human())) + g711.SILENCE * 8000
