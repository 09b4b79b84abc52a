"""The consent to a recording: nothing of before the notice's end, and nothing after a refusal, is in any record."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from realtime_core.audio import g711
from realtime_core.local import Reply, Script, Turn
from telephony.call.consent import Answer, Consent
from telephony.simulator import Handset, Line
from telephony.simulator.tones import tone
from tests.support.phone_calls import PhoneCall, phone_call

NOTICE = tone((350,), 2.0)
BEFORE, AFTER = tone((1209,), 0.6), tone((697,), 0.6)
SCRIPT = Script(
    greeting=Reply(say="Hello. How can I help you?"),
    turns=[Turn(Reply(say="One."), heard="I want a table."), Turn(Reply(say="Two."), heard="Thank you.")],
    otherwise=Reply(say="Yes."),
)


def strength(pcm: np.ndarray, hz: float) -> float:
    """The share of a tone in a piece of audio, at its strongest 100 ms (1: nothing else)."""
    best = 0.0
    for at in range(0, max(1, len(pcm) - 800), 400):
        block = pcm[at : at + 800].astype(float)
        energy = float((block**2).sum())
        if energy < 800 * 100**2:
            continue
        wave = np.exp(-2j * np.pi * hz * np.arange(len(block)) / 8000)
        best = max(best, abs((block * wave).sum()) ** 2 * 2 / (len(block) * energy))
    return best


def caller_audio(call: PhoneCall) -> np.ndarray:
    import base64

    payloads = [message["media"]["payload"] for _, message in call.records.of("twilio.in", "media")]
    return np.frombuffer(g711.decode(b"".join(map(base64.b64decode, payloads))), "<i2")


async def speaks_early(phone: Handset) -> None:
    await phone.say(BEFORE)  # over the notice
    await phone.agent_speaks()
    await phone.say(BEFORE)
    await phone.agent_silent(1.0)
    await phone.say(AFTER)
    await asyncio.sleep(3)


@pytest.mark.virtual_time
@pytest.mark.parametrize("round_trip_s", [0.0, 0.2])
async def test_nothing_of_before_the_end_of_the_notice_is_recorded(round_trip_s: float) -> None:
    consent = Consent("two-party", notice=NOTICE, text="This call is recorded.")
    evidence: list[Any] = []
    call = await phone_call(
        speaks_early,
        script=SCRIPT,
        consent=consent,
        line=Line(seed=1, round_trip_s=round_trip_s),
        on_consent=lambda call, it: evidence.append(it.to_json()),
    )
    audio = caller_audio(call)
    assert strength(audio, 1209) < 0.2
    assert strength(audio, 697) > 0.8
    assert strength(np.frombuffer(g711.decode(call.peer.heard), "<i2"), 350) > 0.8
    last = evidence[-1]
    assert last["heard"] and last["answer"] == Answer.STAYED and last["notice"] == "This call is recorded."
    assert last["position"] >= len(NOTICE)
