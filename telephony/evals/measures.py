"""Measures a call as the caller experiences it: latencies, interruptions and silences. Each measurement has a name.
Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ..journal.cuts import CutCause
from ..journal.figures import end_of_voice_ms
from ..replay.call import HeardCall
from .caller_actions import CallerAction, CallerActionKind

__all__ = ["MEASURES", "measure"]

_CUT_WITHIN_MS = 2000.0
"""The maximum time in milliseconds between an act of the caller and a cut of the agent that the act has caused."""

MEASURES = {
    "response_latency_ms": "the median time from the end of the caller's voice to the first sound of the answer",
    "response_latency_p95_ms": "the 95th percentile of these times",
    "response_latency_max_ms": "the greatest of these times",
    "first_word_ms": "the time from the start of the call to the first sound of the agent",
    "talk_over_ms": "how long both spoke at the same time",
    "dead_air_ms": "the longest time in which neither spoke, between the first speech and the last",
    "barge_in_silence_ms": "the longest time from the detection of an interruption to silence at the caller",
    "false_cuts": "how many backchannels of the caller (such as mhm) stopped the agent",
    "missed_barge_ins": "how many interruptions of the caller did not stop the agent within two seconds",
    "goodbye_heard": "1 if the caller heard the agent's last words to their end, else 0",
    "gave_up": "1 if the caller hung up for lack of patience, else 0",
    "guardrail_cuts": "how often a guardrail stopped the agent",
    "silence_prompts": "how often the agent spoke because the caller was silent",
    "underruns": "the number of gaps within answers",
    "agent_turns": "the number of the agent's turns",
    "length_s": "the length of the call",
    "cost_usd": "the cost of the speech model, if its price is known",
}
"""All measurements of a call by name, with their descriptions. A measurement has no value if the call does not show it.
For example, a call without an interruption has no `barge_in_silence_ms`.
"""


def measure(call: HeardCall, acts: Sequence[CallerAction], cost_usd: float | None = None) -> dict[str, float]:
    """Returns the measurements of one call by name. `acts` are the actions that the simulated caller has reported.
    `cost_usd` is the cost of the call, if known.
    """
    latencies = sorted(_latencies(call, acts))
    cuts = [call.recorded.ms(cut.t) for cut in call.recorded.interruptions if cut.cause is CutCause.CALLER]
    causes = [cut.cause for cut in call.recorded.interruptions]
    turns = sum(turn.speaker == "agent" for turn in call.turns)
    found: dict[str, float | None] = {
        "first_word_ms": call.figures.greeting_ms,
        "talk_over_ms": call.talk_over_ms,
        "dead_air_ms": call.longest_silence_ms,
        "goodbye_heard": float(call.goodbye_heard) if turns else None,
        "guardrail_cuts": float(causes.count(CutCause.GUARDRAIL)),
        "silence_prompts": float(call.silence_prompts),
        "underruns": float(call.underruns),
        "agent_turns": float(turns),
        "length_s": call.duration_ms / 1000,
        "cost_usd": cost_usd,
        "gave_up": float(any(act.kind is CallerActionKind.GIVES_UP for act in acts)),
    }
    if latencies:
        found |= {
            "response_latency_ms": statistics.median(latencies),
            "response_latency_p95_ms": latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))],
            "response_latency_max_ms": latencies[-1],
        }
    if cuts and call.interruptions:
        found["barge_in_silence_ms"] = max(each.silence_after_ms for each in call.interruptions)
    over = [act for act in acts if act.over_agent]
    if small := [act for act in over if act.kind is CallerActionKind.BACKCHANNEL]:
        found["false_cuts"] = float(sum(_cut_after(act, over, cuts) for act in small))
    if wanted := [act for act in over if act.kind is CallerActionKind.INTERRUPTS]:
        found["missed_barge_ins"] = float(sum(not _cut_after(act, over, cuts) for act in wanted))
    return {name: round(found[name] or 0.0, 4) for name in MEASURES if found.get(name) is not None}


def _latencies(call: HeardCall, acts: Sequence[CallerAction]) -> list[float]:
    """Returns the times in milliseconds from the end of each turn of the caller to the first sound of the answer. A
    backchannel ("mhm") is not counted as a turn. A clip that plays while the caller waits is not counted as an answer.
    """
    small = [act.at_ms for act in acts if act.kind is CallerActionKind.BACKCHANNEL]
    clips = {part_id for part_id, part in call.recorded.parts.items() if part.is_clip}
    answers = [span.at / 8 for span in call.audio.spans if span.offset == 0 and span.part not in clips]
    ends = [
        end_of_voice_ms(call.audio.caller, speech, speech.end_ms)
        for speech in call.recorded.speech
        if speech.end_ms is not None and not any(speech.start_ms <= at <= speech.end_ms for at in small)
    ]
    turn_ends = [*ends[1:], float("inf")][: len(ends)]
    pairs = zip(ends, turn_ends, strict=True)
    found = [(end, next((at for at in answers if end <= at < until), None)) for end, until in pairs]
    return [answer - end for end, answer in found if answer is not None]


def _cut_after(act: CallerAction, others: Sequence[CallerAction], cuts: Sequence[float]) -> bool:
    """Returns whether the agent was interrupted within two seconds after this act, and before the caller's next act."""
    later = min((other.at_ms for other in others if other.at_ms > act.at_ms), default=float("inf"))
    return any(act.at_ms <= cut <= min(act.at_ms + _CUT_WITHIN_MS, later) for cut in cuts)
