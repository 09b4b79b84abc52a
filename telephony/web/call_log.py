"""Creates the two log lines of each call: one for the start and one for the end. Phone numbers are masked. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ..masking import mask_number, mask_numbers
from ..twilio.caller_id import is_withheld

__all__ = ["ended_line", "started_line"]


def started_line(sid: str, direction: str, caller: str, called: str, agent: str) -> str:
    """Returns the log line for the start of a call. `agent` is the name of the agent, or of the function that selects
    the agent.
    """
    kind = "An inbound call" if direction == "inbound" else "A placed call"
    from_ = "a withheld number" if is_withheld(caller) else mask_number(caller)
    to = mask_number(called) or "an unknown number"
    return f"{kind} starts: {sid} from {from_} to {to}, agent {agent or 'unknown'}."


def ended_line(
    sid: str, duration_s: float, ending: str, responses_s: Sequence[float], cost: float | None, journal: str
) -> str:
    """Returns the log line for the end of a call.

    `ending` is the reason as text. `responses_s` has the response latencies in seconds, as the caller experienced them.
    `cost` is the cost of the model in US dollars, or None if the cost is not known.
    `journal` is the path or the address of the journal, or empty if there is none.
    """
    latency = "no answers"
    if responses_s:
        latency = f"{statistics.median(responses_s):.2f} s to answer (worst {max(responses_s):.2f} s)"
    price = "model cost not known" if cost is None else f"model ${cost:.4f}"
    where = f"journal {journal} (telephony calls show {sid})" if journal else "no journal"
    why = mask_numbers(ending) or "no reason"
    return f"Call {sid} ended after {duration_s:.0f} s: {why}; {latency}; {price}; {where}."
