"""The recorded caller on a simulated phone.

*Verbatim*: the recorded audio is played at its recorded times, independent of the agent. *Re-timed*: the audio is
played turn by turn. Each turn keeps its time interval from the end of the agent's speech, or its position within the
agent's speech.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from ..errors import CallerTimeout
from ..journal.audio import CallAudio
from ..journal.detected_speech import detected_speech
from ..journal.recorded import RecordedCall
from ..simulator import Caller, Handset
from ..simulator.handset import KEYS

__all__ = ["Turn", "retimed", "turns_of", "verbatim"]

_BEFORE_MS, _AFTER_MS = 240, 240
"""The audio in milliseconds before and after the detected speech that also belongs to a turn."""
_MASKED_KEY = "0"
"""The key that replaces a masked key."""
_PATIENCE_S = 20.0
_LET_GO_S = 60.0


@dataclass(frozen=True, slots=True)
class Turn:
    """The next turn of the caller. The turn begins `into_s` seconds after the agent begins to speak. If `into_s` is
    None, the turn begins `after_s` seconds after the agent stops.
    """

    voice: bytes = b""
    key: str = ""
    into_s: float | None = None
    after_s: float = 0.0


def verbatim(call: RecordedCall, *, hangs_up: bool = True) -> Caller:
    """Returns a caller that plays the whole recording at its recorded times. With `hangs_up=False`, the caller waits up
    to a minute for the agent to hang up.
    """
    keys = [(call.ms(key.t) / 1000, _key(key.digit)) for key in call.keys]

    async def caller(phone: Handset) -> None:
        said = phone.say(bytes(call.caller)) if call.caller else None
        for at_s, key in keys:
            await asyncio.sleep(max(0.0, at_s - phone.now))
            phone.press(key)
        if said is not None:
            await said
        if not hangs_up:
            await phone.agent_silent(_LET_GO_S, within_s=2 * _LET_GO_S)
        phone.hang_up()

    return caller


def retimed(turns: list[Turn]) -> Caller:
    """Returns a caller that speaks turn by turn. Before each turn, the caller waits at most 20 s for the agent."""

    async def caller(phone: Handset) -> None:
        for turn in turns:
            with contextlib.suppress(CallerTimeout):
                await phone.agent_speaks(within_s=_PATIENCE_S)
                if turn.into_s is not None:
                    await phone.heard(turn.into_s, within_s=_PATIENCE_S)
                else:
                    await phone.agent_silent(turn.after_s, within_s=3 * _PATIENCE_S)
            if turn.key:
                phone.press(turn.key)
            else:
                await phone.say(turn.voice)
        with contextlib.suppress(CallerTimeout):
            await phone.agent_speaks(within_s=_PATIENCE_S)
            await phone.agent_silent(1.2, within_s=3 * _PATIENCE_S)
        phone.hang_up()

    return caller


def turns_of(call: RecordedCall, audio: CallAudio) -> list[Turn]:
    """Returns the turns of the caller. The time of each turn is relative to the agent's speech before the turn.

    In a call without a model, the agent's speech is detected in the agent's audio.
    """
    agent = detected_speech(audio.agent) if "imported" in call.header else _stretches(audio)
    moments: list[tuple[float, bytes, str]] = [(call.ms(key.t), b"", _key(key.digit)) for key in call.keys]
    for speech in call.speech:
        end_ms = speech.end_ms if speech.end_ms is not None else call.duration_ms
        first, last = max(0, round((speech.start_ms - _BEFORE_MS) * 8)), round((end_ms + _AFTER_MS) * 8)
        moments.append((speech.start_ms, bytes(call.caller[first:last]), ""))
    return [_turn(at_ms, voice, key, agent) for at_ms, voice, key in sorted(moments)]


def _turn(at_ms: float, voice: bytes, key: str, agent: list[tuple[float, float]]) -> Turn:
    before = [(start, end) for start, end in agent if start < at_ms]
    if not before:
        return Turn(voice, key)
    start, end = before[-1]
    if at_ms < end:
        return Turn(voice, key, into_s=(at_ms - start) / 1000)
    return Turn(voice, key, after_s=min(4.0, max(0.2, (at_ms - end) / 1000)))


def _stretches(audio: CallAudio) -> list[tuple[float, float]]:
    """Returns the time spans in milliseconds in which the caller heard the agent. Gaps shorter than 300 ms are
    ignored.
    """
    found: list[tuple[float, float]] = []
    for span in audio.spans:
        start, end = span.at / 8, (span.at + span.length) / 8
        if found and start - found[-1][1] < 300:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _key(digit: str) -> str:
    return digit if digit in KEYS else _MASKED_KEY
