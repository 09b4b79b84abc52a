"""Statistics of the calls with each version of an agent, such as failures and latencies. Pure."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .call_record import CallRecord

__all__ = ["VersionFigures", "figures_of"]


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """Statistics of the calls with one version of an agent. Times are in milliseconds."""

    version: str
    calls: int
    """The number of calls that are over."""
    live: int
    failed: int
    """The number of calls in which a tool failed, or which the agent could not continue."""
    transferred: int
    latency_ms: float | None
    """The median time in milliseconds from the end of the caller's speech until the caller heard the answer, or None if
    no answer was measured.
    """
    slow_ms: float | None
    """The latency in milliseconds that 95 of 100 answers of the agent do not exceed (the 95th percentile), or None if
    no answer was measured.
    """
    answers: int
    """The number of the agent's answers whose latency was measured."""
    endings: dict[str, int]
    """The reasons why the calls ended: maps the code of an ending (`CallRecord.ending_code`) to the number of calls
    that ended in this way. The most frequent code comes first.
    """
    outcomes: dict[str, int]
    """The outcomes of the calls: maps an outcome (`CallRecord.outcome`) to the number of calls with this outcome. The
    most frequent outcome comes first.
    """


def figures_of(rows: Iterable[CallRecord]) -> list[VersionFigures]:
    """Returns the statistics of each version of an agent, computed from these calls and sorted by version. Calls
    without a version are left out.
    """
    by_version: defaultdict[str, list[CallRecord]] = defaultdict(list)
    for row in rows:
        if row.variant:
            by_version[row.variant].append(row)
    return [_figures(version, by_version[version]) for version in sorted(by_version)]


def _figures(version: str, rows: list[CallRecord]) -> VersionFigures:
    over = [row for row in rows if row.over]
    latencies = sorted(
        turn["latency_ms"] for row in over for turn in row.turns or () if turn.get("latency_ms") is not None
    )
    return VersionFigures(
        version=version,
        calls=len(over),
        live=len(rows) - len(over),
        failed=sum(map(_has_failed, over)),
        transferred=sum(any(each.get("succeeded") for each in row.transfers or ()) for row in over),
        latency_ms=statistics.median(latencies) if latencies else None,
        slow_ms=latencies[-(-len(latencies) * 95 // 100) - 1] if latencies else None,
        answers=len(latencies),
        endings=dict(Counter(row.ending_code for row in over).most_common()),
        outcomes=dict(Counter(row.outcome for row in over if row.outcome).most_common()),
    )


def _has_failed(row: CallRecord) -> bool:
    return row.ending == "failed" or any(counts.get("failures") for counts in (row.tools or {}).values())
