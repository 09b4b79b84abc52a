"""Kills servers with `kill -9` during a call, and checks what is left of the call."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from random import Random

from telephony.demo.environment import child_environment
from telephony.demo.processes import child
from telephony.journal.audio import rebuild
from telephony.journal.collector import collect
from telephony.journal.reader import read_journal
from telephony.journal.transcript import events_of
from telephony.journal.wav import write_stereo
from telephony.simulator import Handset, Line, MediaPeer, ring

__all__ = ["Survivor", "kill_in_mid_call"]


@dataclass(frozen=True, slots=True)
class Survivor:
    """The remains of one call. `lost_s` is the time before the kill that is missing in the journal."""

    killed_at_s: float
    lost_s: float
    wav_s: float
    turns: int

    @property
    def wav_is_whole(self) -> bool:
        """Whether the WAV holds everything that the journal holds."""
        return abs(self.wav_s - (self.killed_at_s - self.lost_s)) < 0.03


def kill_in_mid_call(times: int, *, seed: int, at_once: int = 3) -> list[Survivor]:
    """Kills `times` servers, each in its first call. Exceptions of the journal reader pass through."""

    async def run() -> list[Survivor]:
        room = asyncio.Semaphore(at_once)
        random = Random(seed)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_kill(random.uniform(1.5, 4.0), room)) for _ in range(times)]
        return [task.result() for task in tasks]

    return asyncio.run(run())


async def _kill(after_s: float, room: asyncio.Semaphore) -> Survivor:
    async with room:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            return _survivor(folder, await _call(folder, after_s))


def _survivor(folder: Path, killed_at_s: float) -> Survivor:
    (journal,) = folder.rglob("journal.jsonl")
    call = collect(read_journal(journal))
    audio = rebuild(call)
    write_stereo(folder / "call.wav", audio)
    with wave.open(os.fspath(folder / "call.wav")) as file:
        wav_s = file.getnframes() / file.getframerate()
    return Survivor(killed_at_s, killed_at_s - call.duration_ms / 1000, wav_s, len(events_of(call, audio)))


async def _call(folder: Path, after_s: float) -> float:
    """Calls a server of our own and kill it after `after_s`. Returns the time of the kill on the phone's clock."""
    ours = {"TELEPHONY_JOURNAL_DIR": os.fspath(folder), "LOG_LEVEL": "error"}
    serve = ["-m", "telephony", "serve", "--port", "0", "--json"]
    async with child("server", serve, child_environment(os.environ, ours), verbose=False) as server:
        address = (await server.ready())["listening"]
        started: asyncio.Future[MediaPeer] = asyncio.get_running_loop().create_future()

        async def talks(phone: Handset) -> None:
            while True:
                await phone.say("busy")

        ringing = asyncio.create_task(
            ring(f"{address}/incoming-call", talks, line=Line(seed=1), on_start=started.set_result)
        )
        peer = await started
        await asyncio.sleep(after_s)
        at_s = peer.now
        os.kill(server.pid, signal.SIGKILL)
        await ringing
        return at_s
