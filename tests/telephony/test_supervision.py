"""A supervisor takes over a live call and hands it back: the caller's ear, the model, the journal and its replay."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime_core import RealtimeAgent, function_tool
from realtime_core.audio import g711
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from telephony.call.call import Call
from telephony.call.line.latency import Latency, LatencyKind
from telephony.call.line.live_voice import LiveVoice
from telephony.errors import CallError
from telephony.journal.reader import read_journal
from telephony.journal.redaction import redaction
from telephony.replay.call import HeardCall
from telephony.simulator import Handset
from telephony.web.observed_call import ObservedCall
from tests.support.take_overs import (
    FRAME,
    level,
    out,
    records,
    replayed,
    run,
    speak,
    tone,
)


async def taken_over_and_asked(phone: Handset, call: Call) -> None:
    """A take-over in which the caller speaks with the supervisor, and then a question to the agent."""
    await taken_over(phone, call)
    await phone.say("hello")
    await phone.agent_speaks()
    await phone.heard(0.5)


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


def silence(ulaw: bytes | bytearray) -> float:
    """The longest silence between the first sound and the last, in seconds."""
    pcm = np.frombuffer(g711.decode(bytes(ulaw)), "<i2").astype(float)
    frames = np.sqrt((pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME) ** 2).mean(axis=1))
    loud = np.flatnonzero(frames > 60)
    return float(np.diff(loud).max() * 0.02)


def test_a_supervisor_whose_connection_is_lost_leaves_no_silence(tmp_path: Path) -> None:
    times: list[float] = []

    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(1.0)
        await call.supervision.take_over()
        await speak(call, tone(1.0))
        times.append(len(phone.received) / 8000)
        await call.supervision.away()
        await asyncio.sleep(4.0)
        times.append(len(phone.received) / 8000)
        await call.supervision.hand_back()
        await phone.agent_speaks()
        await asyncio.sleep(2.0)
        times.append(len(phone.received) / 8000)
        await phone.agent_silent(1.0)

    phone = run(tmp_path, story)
    lost, _, spoke = (round(each * 8000) for each in times)
    assert silence(phone.received[lost - 1600 : spoke]) < 1.0, "a filler, then the agent"
    assert replayed(tmp_path).divergence is None
    note = out(records(tmp_path), "conversation.item.create")[-1]["message"]["item"]["content"][0]["text"]
    assert "took over" in note and "said:" not in note


def test_a_supervisor_who_comes_back_continues(tmp_path: Path) -> None:
    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(1.0)
        await call.supervision.take_over()
        await speak(call, tone(0.5))
        await call.supervision.away()
        call.supervision.hear(tone(0.1))
        await asyncio.sleep(2.0)
        await call.supervision.back()
        await speak(call, tone(1.0))
        await call.supervision.hand_back("Bye.")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)

    phone = run(tmp_path, story)
    assert (level(phone.received) > 0.8).sum() * 0.02 == pytest.approx(1.5, abs=0.25)
    again = replayed(tmp_path)
    assert again.divergence is None, again.divergence


def test_only_one_supervisor_speaks_at_a_time(tmp_path: Path) -> None:
    async def story(phone: Handset, call: Call) -> None:
        await call.supervision.take_over()
        with pytest.raises(CallError, match="Another supervisor"):
            await call.supervision.take_over()
        with pytest.raises(CallError, match="silent"):
            await call.supervision.say("Hello.")
        assert await call.say("Hello.") is False, "users' code cannot speak either"
        await call.supervision.hand_back()
        assert await call.say("Hello.") is True

    run(tmp_path, story)


def test_a_tool_that_returns_meanwhile_a_key_and_a_silent_caller_make_the_agent_say_nothing(tmp_path: Path) -> None:
    returned = asyncio.Event()

    @function_tool
    async def slow() -> str:
        await asyncio.sleep(3.0)
        returned.set()
        return "done"

    agent = RealtimeAgent(name="Desk", tools=[slow])
    script = Script(
        greeting=Reply(say="Hello."),
        turns=[Turn(Reply(say="The tool has returned."), calls=[ToolCall("slow", "{}")])],
        otherwise=Reply(say="Yes, I know what was settled."),
    )

    async def story(phone: Handset, call: Call) -> None:
        await phone.agent_silent(1.0)
        await phone.say("sorry_hours")
        await asyncio.sleep(2.0)
        await call.supervision.take_over()
        await speak(call, tone(0.5))
        phone.press("5")
        await speak(call, tone(1.0))
        await asyncio.sleep(40.0)
        assert returned.is_set() and call.supervision.is_active
        await call.supervision.hand_back("The tool has returned.")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)

    phone = run(tmp_path, story, script=script, agent=agent)
    found = records(tmp_path)
    begun = next(n for n, each in enumerate(found) if each.get("action") == "supervisor.take_over")
    back = next(n for n, each in enumerate(found) if each.get("action") == "supervisor.hand_back")
    assert out(found[begun:back], "response.create") == []
    assert [each for each in found[begun:back] if each["kind"] == "timer"] == [], "no filler, no prompt"
    assert len(out(found[back:], "response.create")) == 1, "one answer for all that waited"
    assert (level(phone.received) > 0.8).sum() * 0.02 == pytest.approx(1.5, abs=0.25), "the key cut nothing"
    again = replayed(tmp_path, agent)
    assert again.divergence is None, again.divergence


def test_a_server_that_does_not_agree_leaves_the_call_to_the_agent(tmp_path: Path) -> None:
    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(1.0)
        model: Any = call.session.model
        client = model._transport._link.session._client
        send = client._send

        def refuse(text: str) -> None:
            send(text.replace('"create_response":false', '"create_response":"no"'))

        client._send = refuse
        with pytest.raises(CallError, match="could not be silenced"):
            await call.supervision.take_over()
        client._send = send
        assert not call.supervision.is_active
        await phone.say("sorry_hours")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)

    phone = run(tmp_path, story)
    assert not (level(phone.received) > 0.8).any()


def test_latencies_leave_out_what_the_caller_said_to_the_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Latency] = []
    monkeypatch.setattr(ObservedCall, "on_latency", lambda self, latency: measured.append(latency))
    run(tmp_path, taken_over_and_asked)
    (answered,) = [each.seconds * 1000 for each in measured if each.kind is LatencyKind.RESPONSE]
    (journal,) = tmp_path.glob("*/journal.jsonl")
    (latency,) = HeardCall(lambda: read_journal(journal)).figures.latencies
    assert latency.ms == pytest.approx(answered, abs=40)
    assert answered < 2000


def test_the_model_s_connection_is_lost_during_a_take_over(tmp_path: Path) -> None:
    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(1.0)
        await call.supervision.take_over()
        await speak(call, tone(0.5))
        model: Any = call.session.model
        model._transport._link.connection.inner._drop()
        await speak(call, tone(2.0))
        await phone.say("sorry_hours")
        await asyncio.sleep(2.0)
        await call.supervision.hand_back("Your table is booked.")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)

    phone = run(tmp_path, story)
    found = records(tmp_path)
    assert sum(each["kind"] == "open" for each in found) == 2
    begun = next(n for n, each in enumerate(found) if each.get("action") == "supervisor.take_over")
    back = next(n for n, each in enumerate(found) if each.get("action") == "supervisor.hand_back")
    assert out(found[begun:back], "response.create") == []
    assert not any(each["kind"] == "model.in" and each["message"]["type"] == "response.created"
                   for each in found[begun:back])  # fmt: skip
    assert (level(phone.received) > 0.8).sum() * 0.02 == pytest.approx(2.5, abs=0.3), "the voice was not disturbed"


def test_a_supervisor_hangs_up_after_the_last_word(tmp_path: Path) -> None:
    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(1.0)
        await call.supervision.take_over()
        await speak(call, tone(1.0))
        await call.supervision.hang_up()
        await asyncio.sleep(60)

    phone = run(tmp_path, story)
    assert (level(phone.received) > 0.8).sum() * 0.02 == pytest.approx(1.0, abs=0.1)
    assert records(tmp_path)[-1]["reason"] == "supervisor hung up"


def test_the_voice_is_masked_where_audio_is(tmp_path: Path) -> None:
    line = json.dumps({"t": 1.0, "kind": "supervisor", "item_id": "supervisor:1",
                       "payload": base64.b64encode(tone(0.1)).decode()}, separators=(",", ":"))  # fmt: skip
    masked = json.loads(redaction(audio=True).line(line))
    assert len(masked["payload"]) == len(json.loads(line)["payload"]) and masked["payload"] not in line
    assert redaction(audio=False).line(line) == line


@pytest.mark.parametrize("late_s", [0.0, 0.1, 0.5])
def test_a_voice_that_comes_late_does_not_fall_behind(late_s: float) -> None:
    """The pieces of a network stall arrive together, and audio that would be heard too late is dropped."""
    voice, ahead, played = LiveVoice(), 0, 0
    for n in range(200):
        stalled = 50 <= n < 50 + late_s * 50
        pieces = 0 if stalled else 1 + (round(late_s * 50) if n == 50 + round(late_s * 50) else 0)
        for _ in range(pieces):
            piece = voice.push(b"\x00" * FRAME, ahead)
            ahead, played = ahead + len(piece), played + len(piece)
        assert ahead <= 0.25 * 8000, "never more than 250 ms behind"
        ahead = max(0, ahead - FRAME)
    assert played + voice.dropped >= 198 * FRAME
    assert (voice.dropped > 0) is (late_s > 0.2)
