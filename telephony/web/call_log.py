"""The two lines of each call in the log: when it starts, and when it ends. Numbers are masked. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from ..masking import mask_number, mask_numbers

__all__ = ["ended_line", "started_line"]


def started_line(sid: str, direction: str, caller: str, called: str, agent: str) -> str:
    """Returns the log line for the start of a call. `agent` is the name of the agent, or of the function that picks
    it.
    """
    kind = "An inbound call" if direction == "inbound" else "A placed call"
    from_, to = mask_number(caller) or "a withheld number", mask_number(called) or "an unknown number"
    return f"{kind} starts: {sid} from {from_} to {to}, agent {agent or 'unknown'}."


def ended_line(
    sid: str, duration_s: float, ending: str, responses_s: Sequence[float], cost: float | None, journal: Path | None
) -> str:
    """Returns the log line for the end of a call.

    `ending` is in words. `responses_s` are the response latencies at the caller's ear. `cost` is the cost of the model
    in US dollars; None means that it is unknown.
    """
    latency = "no answers"
    if responses_s:
        latency = f"{statistics.median(responses_s):.2f} s to answer (worst {max(responses_s):.2f} s)"
    price = "model cost not known" if cost is None else f"model ${cost:.4f}"
    where = "no journal" if journal is None else f"journal {journal} (telephony calls show {sid})"
    why = mask_numbers(ending) or "no reason"
    return f"Call {sid} ended after {duration_s:.0f} s: {why}; {latency}; {price}; {where}."
