"""A supervisor takes over a live call and hands it back: the caller's ear, the model, the journal and its replay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime_core import RealtimeAgent
from realtime_core.audio import g711
from realtime_core.local import Reply, Script
from realtime_core.testing import virtual_time
from telephony.call.call import Call
from telephony.replay.call import ReplayedCall
from telephony.replay.replaying import replay_call
from telephony.simulator import Handset
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
    **options: Any,
) -> Handset:
    """One call. `story` begins when the caller hears the greeting, and its end hangs up."""
    phones: list[Handset] = []
    script = script or Script(greeting=Reply(say=LONG), otherwise=Reply(say="Yes, I know what was settled."))

    async def record() -> None:
        async with office(script, agent=agent, given={"telephony_journal_dir": folder}, **options) as (twilio, app):

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


async def taken_over(phone: Handset, call: Call) -> None:
    """A whole take-over: interrupt, speak, hear the caller, hand back."""
    await phone.heard(1.0)
    await call.supervision.take_over()
    await speak(call, tone(2.0))
    await phone.say("sorry_hours")
    await asyncio.sleep(1.5)
    await call.supervision.hand_back("Your table is booked for eight.")
    await phone.agent_speaks()
    await phone.agent_silent(1.0)


def test_the_order_is_interrupt_and_truncate_then_pause_then_the_supervisor(tmp_path: Path) -> None:
    run(tmp_path, taken_over)
    found = records(tmp_path)
    kinds = ("conversation.item.truncate", "session.update", "conversation.item.create", "response.create")
    begun = next(n for n, each in enumerate(found) if each.get("action") == "supervisor.take_over")
    agreed = next(n for n, each in enumerate(found) if each["kind"] == "control.end")
    spoke = next(n for n, each in enumerate(found) if each["kind"] == "supervisor")
    back = next(n for n, each in enumerate(found) if each.get("action") == "supervisor.hand_back")
    before = [each["message"]["type"] for each in out(found[begun:agreed], *kinds)]
    assert before == ["conversation.item.truncate", "session.update"]
    assert [each["cause"] for each in found[begun:agreed] if each["kind"] == "interruption"] == ["supervisor"]
    assert any(each["kind"] == "model.in" and each["message"]["type"] == "session.updated"
               for each in found[begun:agreed])  # fmt: skip
    assert begun < agreed < spoke < back
    assert out(found[begun:back], "response.create") == [], "the model says nothing"
    assert not any(each["kind"] == "model.in" and each["message"]["type"] == "response.created"
                   for each in found[begun:back])  # fmt: skip
    assert [each["message"]["type"] for each in out(found[back:], *kinds)] == [
        "conversation.item.create", "session.update", "response.create",
    ]  # fmt: skip
    note = out(found[back:], "conversation.item.create")[0]["message"]["item"]
    assert note["role"] == "system" and "Your table is booked for eight." in note["content"][0]["text"]


def test_the_caller_hears_the_supervisor_at_once_and_the_model_hears_the_caller(tmp_path: Path) -> None:
    spoken: list[float] = []

    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(1.0)
        await call.supervision.take_over()
        spoken.append(len(phone.received) / 8000)
        await speak(call, tone(2.0), jitter_s=0.05)
        spoken.append(len(phone.received) / 8000)
        await phone.say("sorry_hours")
        await asyncio.sleep(1.5)

    phone = run(tmp_path, story)
    heard = level(phone.received) > 0.8
    first, last = np.flatnonzero(heard)[[0, -1]] * 0.02
    assert 0 <= first - spoken[0] < 0.3, "within 300 ms"
    assert last - spoken[1] < 0.3, "the voice does not fall behind"
    assert heard.sum() * 0.02 == pytest.approx(2.0, abs=0.2)
    found = records(tmp_path)
    begun = next(n for n, each in enumerate(found) if each.get("action") == "supervisor.take_over")
    taken = [each["message"]["type"] for each in found[begun:] if each["kind"] == "model.in"]
    assert "input_audio_buffer.committed" in taken and "response.created" not in taken


@pytest.mark.parametrize("seed", range(3))
def test_a_call_that_was_taken_over_is_the_same_in_its_replay(tmp_path: Path, seed: int) -> None:
    run(tmp_path, taken_over, seed=seed)
    again = replayed(tmp_path)
    assert again.divergence is None, again.divergence
    assert again.audio.mismatches == again.original.audio.mismatches == 0
    assert level(again.audio.agent).max() > 0.8, "the rebuilt audio has the supervisor's voice"
