"""Simulated callers that repeat the caller of a recorded call, for a replay on a simulated phone.

*Verbatim*: the recorded audio is played at its recorded times, independent of the agent. *Re-timed*: the audio is
played turn by turn. Each turn keeps its interval from the end of the agent's speech, its position within the agent's
speech, or its interval from the caller's turn before it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

from ..errors import CallerTimeout
from ..journal.audio import CallAudio
from ..journal.detected_speech import detected_speech
from ..journal.recorded import RecordedCall
from ..simulator import Caller, Handset
from ..simulator.handset import KEYS

__all__ = ["Cue", "Turn", "last_words", "retimed", "turns_of", "verbatim", "wait_for"]

_BEFORE_MS, _AFTER_MS = 240, 240
"""The audio in milliseconds before and after the detected speech that also belongs to a turn."""
_MASKED_KEY = "0"
"""The key that replaces a masked key."""
_PATIENCE_S = 20.0
_LET_GO_S = 60.0
_TALKS_S = 60.0
"""The maximum length of the agent's turn in seconds."""
_PAUSE_S = 0.6
"""The maximum length in seconds of a silence of the agent within its turn."""
_BREATH_MS = 300.0
_STOPPED_S = 0.3
"""The length in seconds of a silence after which an interrupted agent has stopped."""
_STOPS_S = 1.0
_NO_ANSWER_S = 3.0
"""The time in seconds for which the caller waits for an answer if the interruption did not stop the agent, because the
agent may have nothing to answer.
"""
_SHORTER_S = 1.0
"""The length in seconds of a silence after which the caller speaks, if the agent's turn is shorter than the turn that
was interrupted.
"""
_LAST_GAP_S = 1.2
_MAX_GAP_S = 4.0
"""The maximum pause of the caller in seconds. A longer pause in the recording is shortened."""


class Cue(Enum):
    """The kind of event for which the caller's next turn waits in a replay."""

    INTO = "into"
    """The turn interrupts the agent. The turn begins when the agent has spoken for `wait_s` seconds, counted from the
    start of the agent's speech or from the end of the caller's previous turn, whichever is later.
    """
    AFTER = "after"
    """The turn begins when the agent has been silent for `wait_s` seconds."""
    FOLLOWS = "follows"
    """The turn begins `wait_s` seconds after the caller's previous turn, or after the start of the call, because the
    agent did not speak between the two turns.
    """


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the recorded caller (audio or a key), and the event for which the turn waits. `anew` is True if the
    agent began to speak after the caller's previous turn. `interrupted` is True if the previous turn began during the
    agent's speech.
    """

    voice: bytes = b""
    key: str = ""
    cue: Cue = Cue.AFTER
    wait_s: float = 0.0
    anew: bool = True
    interrupted: bool = False


def verbatim(call: RecordedCall, *, hangs_up: bool = True) -> Caller:
    """Returns a simulated caller that plays the whole audio of the recorded caller at its recorded times. With
    `hangs_up=False`, the caller waits up to a minute for the agent to hang up.
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
    """Returns a simulated caller that speaks these turns one after the other. Before each turn, the caller waits at
    most 20 s for the agent.
    """

    async def caller(phone: Handset) -> None:
        speeches = 0
        for turn in turns:
            await wait_for(phone, turn, speeches)
            speeches = phone.speeches
            if turn.key:
                phone.press(turn.key)
            else:
                await phone.say(turn.voice)
        await last_words(phone)
        phone.hang_up()

    return caller


async def wait_for(phone: Handset, turn: Turn, speeches: int) -> None:
    """Waits until the simulated caller on `phone` must begin its next turn, `turn`. A turn that interrupted the agent
    in the recording also interrupts the agent now. If the agent says less than in the recording, the turn begins when
    the agent is silent. All other turns begin while the agent is silent.

    `speeches` is the value of `phone.speeches` (the number of times that the agent has begun to speak) at the start of
    the caller's previous turn. If the number is still the same, and the agent spoke between the two turns in the
    recording, the function first waits for the agent to speak.
    """
    with contextlib.suppress(CallerTimeout):
        if turn.anew and phone.speeches == speeches:
            stops = await _stops(phone) if turn.interrupted else True
            await phone.agent_speaks(within_s=_PATIENCE_S if stops else _NO_ANSWER_S)
        match turn.cue:
            case Cue.INTO:
                await phone.heard_or_silent(turn.wait_s, _SHORTER_S, within_s=_TALKS_S)
            case Cue.AFTER:
                await phone.agent_silent(max(_PAUSE_S, turn.wait_s), within_s=_TALKS_S)
            case Cue.FOLLOWS:
                await asyncio.sleep(turn.wait_s)
                if phone.hears_voice:
                    await phone.agent_silent(_PAUSE_S, within_s=_TALKS_S)


async def _stops(phone: Handset) -> bool:
    """Waits until the agent is silent after an interruption. Returns whether the interruption stopped the agent."""
    before = phone.now
    await phone.agent_silent(_STOPPED_S, within_s=_TALKS_S)
    return phone.now - before < _STOPS_S


async def last_words(phone: Handset) -> None:
    """Waits on the simulated phone until the agent has answered the caller's last turn."""
    with contextlib.suppress(CallerTimeout):
        await phone.agent_speaks(within_s=_PATIENCE_S)
        await phone.agent_silent(_LAST_GAP_S, within_s=_TALKS_S)


def turns_of(call: RecordedCall, audio: CallAudio) -> list[Turn]:
    """Returns the turns of the recorded caller. The time of each turn is relative to the agent's speech and to the
    caller's turn before it.

    In an imported call, which has no recorded model, the agent's speech is detected in the agent's audio. If the agent
    never spoke, each turn waits until the agent speaks.
    """
    moments = [_Moment(call.ms(key.t), call.ms(key.t), key=_key(key.digit)) for key in call.keys]
    for speech in call.speech:
        end_ms = speech.end_ms if speech.end_ms is not None else call.duration_ms
        first, last = max(0, round((speech.start_ms - _BEFORE_MS) * 8)), round((end_ms + _AFTER_MS) * 8)
        moments.append(_Moment(speech.start_ms, end_ms, voice=bytes(call.caller[first:last])))
    moments.sort(key=lambda moment: moment.start_ms)
    if "imported" in call.header:
        agent = detected_speech(audio.agent)
    else:
        spans = [(span.at / 8, (span.at + span.length) / 8) for span in audio.spans]
        agent = _speeches(spans, [moment.end_ms for moment in moments])
    return _turns(moments, agent)


@dataclass(frozen=True, slots=True)
class _Moment:
    """A turn of the caller in the recording."""

    start_ms: float
    end_ms: float
    voice: bytes = b""
    key: str = ""


def _turns(moments: Sequence[_Moment], agent: Sequence[tuple[float, float]]) -> list[Turn]:
    """Returns the turns of the caller. `agent` has the times of the agent's speech in milliseconds."""
    if not agent:
        return [Turn(moment.voice, moment.key) for moment in moments]
    turns: list[Turn] = []
    for previous, moment in pairwise([_Moment(-1.0, 0.0), *moments]):
        turn = _turn(moment, previous, agent)
        turns.append(replace(turn, interrupted=bool(turns) and turns[-1].cue is Cue.INTO))
    return turns


def _turn(moment: _Moment, previous: _Moment, agent: Sequence[tuple[float, float]]) -> Turn:
    at_ms, done_ms = moment.start_ms, previous.end_ms
    start, end = next((speech for speech in reversed(agent) if speech[0] < at_ms), (-1.0, -1.0))
    anew = start > previous.start_ms
    if at_ms < end:
        return Turn(moment.voice, moment.key, Cue.INTO, max(0.0, at_ms - max(start, done_ms)) / 1000, anew)
    cue = Cue.AFTER if anew or end > done_ms else Cue.FOLLOWS
    return Turn(moment.voice, moment.key, cue, min(_MAX_GAP_S, max(0.0, at_ms - max(end, done_ms)) / 1000), anew)


def _speeches(spans: Sequence[tuple[float, float]], turn_ends: Sequence[float]) -> list[tuple[float, float]]:
    """Returns the times in milliseconds at which the agent spoke. A gap that is shorter than a pause is part of the
    speech, unless the caller's turn ended in this gap. In this case the agent answers after the gap.
    """
    found: list[tuple[float, float]] = []
    for start, end in spans:
        gap = start - found[-1][1] if found else _PAUSE_S * 1000
        answers = gap >= _BREATH_MS and any(found[-1][1] - _BREATH_MS <= at <= start for at in turn_ends if found)
        if gap < _PAUSE_S * 1000 and not answers:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _key(digit: str) -> str:
    return digit if digit in KEYS else _MASKED_KEY
