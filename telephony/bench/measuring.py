"""The steps of the benchmark: alternating rounds, a sweep over the number of calls, and a search for the maximum number
of calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from ..errors import BenchmarkFailed
from .processes import System, running

__all__ = ["LATE_LIMIT_S", "P99_LIMIT_S", "prove", "quantile", "rounds", "search", "summary", "sweep"]

P99_LIMIT_S = 0.020
"""The limit in seconds of the p99 of the latency that the measured server adds to audio, in each direction. The server
can handle a number of calls only if the p99 stays below this limit and no playback runs out of audio (underrun).
"""
LATE_LIMIT_S = 0.005
"""The maximum lateness in seconds of the load generator's frames. At most 1 % of the frames may be later."""
_LATENCIES = {
    "in": "up",
    "in_oldest": "up_oldest",
    "out": "out",
    "barge": "barge",
    "heard_error": "heard_error",
    "load_late": "late",
}
Say = Callable[[str], None]


def rounds(
    systems: Mapping[str, System], *, calls: int, seconds: float, count: int, say: Say
) -> dict[str, list[dict[str, Any]]]:
    """Measures each system once in each of `count` rounds. A measurement has `calls` calls at the same time, and takes
    `seconds` seconds. `say` is called with a line of text before each measurement, to show the progress. Returns the
    measurements of each system (see `Load.measure`) by the name of the system.

    The order of the systems alternates from round to round, so other work on the machine affects all systems about
    equally.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}
    for number in range(count):
        for name in list(systems) if number % 2 == 0 else list(systems)[::-1]:
            say(f"round {number + 1} of {count}: {name}, {calls} calls")
            with running(systems[name]) as target:
                runs[name].append(target.measure(calls, seconds))
    return runs


def sweep(
    systems: Mapping[str, System], *, counts: Sequence[int], seconds: float, say: Say
) -> dict[str, list[dict[str, Any]]]:
    """Measures each system with each number of calls in `counts`. A measurement takes `seconds` seconds. `say` is
    called with a line of text before each measurement, to show the progress. The numbers are measured one after the
    other in the same process. Returns the summaries of each system (see `summary`) by the name of the system.
    """
    return {name: list(_steps(name, system, counts, seconds, say)) for name, system in systems.items()}


def _steps(name: str, system: System, counts: Sequence[int], seconds: float, say: Say) -> Iterable[dict[str, Any]]:
    with running(system) as target:
        for calls in counts:
            say(f"sweep: {name}, {calls} calls")
            try:
                result = summary([target.measure(calls, seconds)])
            except BenchmarkFailed:
                return  # more calls than the core can connect
            yield {"calls": calls, **result}
            if result["server_busy"] > 0.98:
                return


def search(name: str, system: System, *, seconds: float, start: int, steps: int, say: Say) -> int:
    """Returns the maximum number of calls that one core serves within the limits, found by bisection. The limits are a
    p99 of the added latency below `P99_LIMIT_S`, and no playback that runs out of audio. The first measurement has
    `start` calls. There are at most `steps` measurements, each of `seconds` seconds. `say` is called with a line about
    each measurement. `name` is the name of the system in these lines.
    """
    good, bad, calls = 0, 0, start
    for _ in range(steps):
        holds = _holds(system, calls, seconds)
        say(f"search: {name}, {calls} calls: {'within' if holds else 'beyond'} the limits")
        good, bad = (calls, bad) if holds else (good, calls)
        calls = (good + bad) // 2 if bad else round(good * 1.4)
        if bad and bad - good <= max(2, good // 20):
            break
    return good


def _holds(system: System, calls: int, seconds: float) -> bool:
    try:
        with running(system) as target:
            figures = target.measure(calls, seconds)["figures"]
    except BenchmarkFailed:
        return False
    p99 = max(quantile(sorted(figures[name]), 0.99) for name in ("up", "out"))
    return p99 < P99_LIMIT_S and not figures["underruns"]


def prove(system: System, *, calls: int, seconds: float) -> dict[str, Any]:
    """Measures for `seconds` seconds whether the load generator can make `calls` calls at the same time, with a system
    that does as little as possible. Returns the summary of the measurement (see `summary`). Its field `holds` is True
    if the load generator is fast enough.
    """
    with running(system) as target:
        result = summary([target.measure(calls, seconds)])
    late = result["load_late_ms"]["p99"]
    return {"calls": calls, "holds": late < 1000 * LATE_LIMIT_S and result["load_busy"] < 0.95, **result}


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns a summary of several measurements (`runs`) of one system: CPU time and memory per call as medians, the
    range of the CPU time, and the median and the p99 of each latency in milliseconds over all measurements.
    """
    cpu = [run["cpu_ms_per_call_second"] for run in runs]
    result: dict[str, Any] = {
        "cpu_ms_per_call_s": round(median(cpu), 3),
        "cpu_ms_per_call_s_range": [round(min(cpu), 3), round(max(cpu), 3)],
        "rss_mb_per_call": round(median(run["rss_mb_per_call"] for run in runs), 3),
        "server_busy": round(max(run["server_busy"] for run in runs), 3),
        "load_busy": round(max(run["load_busy"] for run in runs), 3),
    }
    for key, name in _LATENCIES.items():
        seconds = sorted(value for run in runs for value in run["figures"][name])
        result[f"{key}_ms"] = {
            "p50": _ms(quantile(seconds, 0.5)),
            "p99": _ms(quantile(seconds, 0.99)),
            "n": len(seconds),
        }
    for name in ("answers", "underruns", "underrun_s", "frames_sent", "frames_received"):
        result[name] = round(sum(run["figures"][name] for run in runs), 3)
    return result


def quantile(ordered: Sequence[float], q: float) -> float:
    """Returns the quantile `q` (0 to 1) of the sorted values `ordered`, or 0 if there are no values."""
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)
