"""Writes the figures of endurance into `docs/measurements.md`, and their plot beside it.

make proof ARGS="--only virtual_hours --only soak --only storm"
python -m benchmarks.endurance.figures
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["BEGIN", "END", "draw", "section"]

BEGIN = "<!-- Written by `python -m benchmarks.endurance.figures`: -->"
END = "<!-- End of the figures of endurance. -->"
ROOT = Path(__file__).parents[2]
_WIDTH, _HEIGHT, _LEFT = 640, 130, 60


def section(figures: Mapping[str, Any]) -> str:
    """Returns the figures as Markdown. Figures that are missing are left out."""
    parts = ["", *_soak(figures.get("soak")), *_hours(figures.get("hours")), *_storm(figures.get("storm"))]
    return "\n".join(parts)


def _soak(it: Mapping[str, Any] | None) -> Iterator[str]:
    if it is None:
        return
    (per_hour, wide), (per_1000, wide_1000) = it["rss_mb_per_hour"], it["rss_mb_per_1000_calls"]
    yield "| without calls | before | after |"
    yield "|---|---|---|"
    for name in ("objects", "entries", "tasks", "threads", "descriptors", "rss_mb"):
        label = {"rss_mb": "resident set, MB", "entries": "entries of containers"}.get(name, name)
        yield f"| {label} | {it['before'][name]:,g} | {it['after'][name]:,g} |"
    yield f"| database connections | {it['database_connections'][0]} | {it['database_connections'][1]} |"
    yield ""
    rows = it["latencies"]
    halves = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    yield from _paragraph(
        f"The soak took {it['minutes']:g} minutes. {it['calls']['talking']} calls of simulated people and"
        f" {it['calls']['measured']} synthetic calls came and went, {sum(it['calls']['at_once'])} at once. The resident"
        f" set grew by {per_hour:g} MB an hour (95 %: ± {wide:g}), which is {per_1000:g} MB for 1,000 calls"
        f" (± {wide_1000:g}). The inbound delay was {_median(halves[0], 'up', 0):g} ms (p50) in the first half and"
        f" {_median(halves[1], 'up', 0):g} ms in the second, the outbound delay {_median(halves[0], 'out', 0):g} ms and"
        f" {_median(halves[1], 'out', 0):g} ms. Answers had {sum(row['underruns'] for row in halves[0])} and"
        f" {sum(row['underruns'] for row in halves[1])} holes, of {sum(row['answers'] for row in rows)} answers; the"
        f" frames of the load were up to {max(row['late'][1] for row in rows):g} ms late (p99 of 30 s). After SIGTERM"
        f" the server took {it['stopped']['after_s']:g} s to end, with the code {it['stopped']['code']}. {_when(it)}"
    )
    yield ""
    grown = ", ".join(
        f"`{name.rpartition('.')[2]}` ({n})" for name, n in it["grown"].items() if name.startswith("teleph")
    )
    yield from _paragraph(f"These types of the server grew, without calls in progress: {grown or 'none'}.")
    yield ""


def _hours(it: Mapping[str, Any] | None) -> Iterator[str]:
    if it is None:
        return
    first, last = it["hours"][0], it["hours"][-1]
    grown = ", ".join(f"{name} by {n}" for name, n in it["grown"].items()) or "nothing"
    yield from _paragraph(
        f"Ten virtual hours with {it['calls']} calls of ten kinds left {last['objects']:,} objects, after"
        f" {first['objects']:,} objects when the first hour was over; {last['tasks']} tasks ({first['tasks']}),"
        f" {last['timers']} timers ({first['timers']}), {last['threads']} threads ({first['threads']}) and"
        f" {last['descriptors']} descriptors ({first['descriptors']}). Of the types of this repository grew {grown}."
        f" It took {it['cpu_s']:g} s of CPU. {_when(it)}"
    )
    yield ""


def _storm(it: Mapping[str, Any] | None) -> Iterator[str]:
    if it is None:
        return
    yield "| how the calls of the storm ended | calls |"
    yield "|---|---|"
    for name, n in it["endings"].items():
        yield f"| {escape(name)} | {n} |"
    yield ""
    yield from _paragraph(
        f"{sum(it['injected'].values())} faults of {len(it['injected'])} kinds struck {it['calls']} calls in"
        f" {it['storms']} storms. {len(it['faults'])} promises were broken. The longest silence was"
        f" {it['longest_silence_s']:.1f} s. The bound is {it['bound_s']:g} s, because the prompt to a silent caller"
        f" comes after ten. {it['lost_records']:,} records of journals were lost while the disk was full, and the"
        f" journals say so. Of the types of this repository was left over: {it['grown'] or 'nothing'}. {_when(it)}"
    )
    yield ""


def _when(it: Mapping[str, Any]) -> str:
    return f"{it['date']}, Python {it['python']}, {it['machine']}."


def _median(rows: Sequence[Mapping[str, Any]], name: str, at: int) -> float:
    values = sorted(row[name][at] for row in rows)
    return float(values[len(values) // 2]) if values else 0.0


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)


def draw(soak: Mapping[str, Any]) -> str:
    """Returns an SVG of the soak over time: the resident set, descriptors and tasks, and the delays."""
    samples, rows = soak["samples"], soak["latencies"]
    end = max(at for at, *_ in samples) / 60
    step = end / max(1, len(rows))
    panels: list[tuple[str, Mapping[str, Sequence[tuple[float, float]]]]] = [
        ("resident set, MB", {"": [(at / 60, mb) for at, mb, *_ in samples]}),
        (
            "descriptors, threads, tasks",
            {
                name: [(sample[0] / 60, sample[n]) for sample in samples]
                for n, name in ((2, "descriptors"), (3, "threads"), (4, "tasks"))
            },
        ),
        (
            "delay p50, ms",
            {
                name: [((n + 1) * step, row[key][0]) for n, row in enumerate(rows)]
                for key, name in (("up", "in"), ("out", "out"), ("barge", "barge-in"))
            },
        ),
    ]
    height = len(panels) * (_HEIGHT + 60) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + _LEFT + 20} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{_WIDTH + _LEFT + 20}" height="{height}" fill="white"/>',
    ]
    for number, (title, lines) in enumerate(panels):
        parts += _panel(20 + number * (_HEIGHT + 60), title, lines, end)
    return "\n".join([*parts, "</svg>", ""])


_COLOURS = ("#0b62c4", "#c2410c", "#4d7c0f")


def _panel(top: int, title: str, lines: Mapping[str, Sequence[tuple[float, float]]], end: float) -> list[str]:
    highest = max((value for line in lines.values() for _, value in line), default=0.0) or 1.0
    parts = [f'<text x="{_LEFT}" y="{top}" font-weight="bold">{escape(title)}</text>']
    for quarter in range(5):
        y = top + 12 + _HEIGHT * (1 - quarter / 4)
        parts.append(f'<path d="M{_LEFT} {y}h{_WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{highest * quarter / 4:.3g}</text>')
    for minute in (0, end / 2, end):
        x = _LEFT + _WIDTH * minute / end
        parts.append(f'<text x="{x:.0f}" y="{top + _HEIGHT + 28}" text-anchor="middle">{minute:.0f} min</text>')
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number]
        path = " ".join(
            f"{_LEFT + _WIDTH * at / end:.1f},{top + 12 + _HEIGHT * (1 - value / highest):.1f}" for at, value in line
        )
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if name:
            x = _LEFT + 220 + 110 * number
            parts.append(f'<rect x="{x}" y="{top - 8}" width="14" height="4" fill="{colour}"/>')
            parts.append(f'<text x="{x + 20}" y="{top - 2}">{escape(name)}</text>')
    return parts


def main() -> None:
    figures = json.loads((ROOT / "benchmarks" / "figures" / "endurance.json").read_text())
    page = ROOT / "docs" / "measurements.md"
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} must have both marks, {BEGIN} and {END}.")
    page.write_text(f"{before}{BEGIN}\n{section(figures)}{END}{after}")
    if "soak" in figures:
        (ROOT / "docs" / "endurance.svg").write_text(draw(figures["soak"]))


if __name__ == "__main__":
    main()
