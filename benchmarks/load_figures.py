"""Writes the figures of `telephony bench` into `docs/measurements.md`, and its plot beside it.

telephony bench --seconds 8 --prove --search --sweep 10,25,50,100,150,200 --out benchmarks/figures
python -m benchmarks.load_figures
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from telephony.bench.plot import draw

__all__ = ["BEGIN", "END", "section"]

BEGIN = "<!-- Written by `python -m benchmarks.load_figures`: -->"
END = "<!-- End of the figures of the load. -->"
_COLUMNS = (
    "system", "CPU (range)", "ratio", "MB/call", "in p50 / p99", "oldest p99", "out p50 / p99", "barge p99",
    "heard p99", "underruns",
)  # fmt: skip
ROOT = Path(__file__).parents[1]


def section(report: Mapping[str, Any]) -> str:
    """Returns the figures as Markdown: a table, and what was measured where."""
    return "\n".join(["", *_table(report), "", *_paragraph(report), ""])


def _table(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|---" * len(_COLUMNS) + "|"
    for name, each in report["systems"].items():
        low, high = each["cpu_ms_per_call_s_range"]
        heard = each["heard_error_ms"]
        cells = [
            name,
            f"{each['cpu_ms_per_call_s']:.2f} ({low:.2f}-{high:.2f})",
            f"{report['ratios'][name]:.2f}",
            f"{each['rss_mb_per_call']:.2f}",
            f"{each['in_ms']['p50']:.1f} / {each['in_ms']['p99']:.1f}",
            f"{each['in_oldest_ms']['p99']:.1f}",
            f"{each['out_ms']['p50']:.1f} / {each['out_ms']['p99']:.1f}",
            f"{each['barge_ms']['p99']:.1f}",
            f"{heard['p99']:.1f}" if heard["n"] else "-",
            str(each["underruns"]),
        ]
        yield f"| {' | '.join(cells)} |"


def _paragraph(report: Mapping[str, Any]) -> list[str]:
    proof = report.get("load_proof")
    text = (
        f"{report['calls']} calls at once, {report['rounds']} rounds of {report['seconds']:g} s; CPU in ms per call and"
        f" second, times in ms. {report['date'][:10]}, Python {report['python']}, {report['machine']}, load"
        f" average {report['load_average']} before the run, server and load with `chrt -f 1`."
    )
    if proof is not None:
        text += (
            f" The load generator {'sustains' if proof['holds'] else 'does not sustain'} {proof['calls']} calls against"
            f" an echo: {proof['load_busy']:.0%} busy, its frames {proof['load_late_ms']['p99']:.1f} ms late (p99)."
        )
    if most := report.get("most_calls"):
        found = ", ".join(f"{calls} ({name})" for name, calls in most.items())
        text += f" The most calls on one core with a p99 under 20 ms and no underrun: {found}."
    return textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    report = json.loads((ROOT / "benchmarks" / "figures" / "load.json").read_text())
    page = ROOT / "docs" / "measurements.md"
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} must have both marks, {BEGIN} and {END}.")
    page.write_text(f"{before}{BEGIN}\n{section(report)}{END}{after}")
    (ROOT / "docs" / "load.svg").write_text(draw(report["sweep"]))


if __name__ == "__main__":
    main()
