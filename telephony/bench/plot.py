"""Draws the cost and the latency as functions of the number of calls, as SVG. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from typing import Any

__all__ = ["draw"]

_WIDTH, _HEIGHT, _GAP = 360, 240, 70
_COLOURS = ("#0b62c4", "#c2410c", "#4d7c0f", "#7e22ce", "#475569")


def draw(sweeps: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Returns an SVG with two panels: CPU per call and second, and the p99 of the added inbound latency (logarithmic).
    `sweeps` has, for each system, the summaries of its measurements (see `measuring.summary`) with different numbers of
    calls. Each system has one line.
    """
    names = [name for name, points in sweeps.items() if points]
    width, height = 2 * (_WIDTH + _GAP) + 20, _HEIGHT + 70 + 18 * len(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    cost = {name: [(p["calls"], p["cpu_ms_per_call_s"]) for p in sweeps[name]] for name in names}
    delay = {name: [(p["calls"], max(0.1, p["in_ms"]["p99"])) for p in sweeps[name]] for name in names}
    parts += _panel(_GAP, "CPU, ms per call and second", cost, logarithmic=False)
    parts += _panel(2 * _GAP + _WIDTH, "inbound delay p99, ms", delay, logarithmic=True)
    for number, name in enumerate(names):
        y, colour = _HEIGHT + 74 + 18 * number, _COLOURS[number % len(_COLOURS)]
        parts.append(f'<rect x="{_GAP}" y="{y - 9}" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{_GAP + 22}" y="{y - 3}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: int, title: str, lines: Mapping[str, Sequence[tuple[int, float]]], *, logarithmic: bool) -> list[str]:
    points = [point for line in lines.values() for point in line]
    if not points:
        return []
    most_calls, top = max(calls for calls, _ in points), max(value for _, value in points)
    ticks = [0.1, 1.0, 10.0, 100.0, 1000.0] if logarithmic else [top * n / 4 for n in range(5)]
    highest = next((tick for tick in ticks if tick >= top), ticks[-1]) if logarithmic else top

    def x(calls: float) -> float:
        return round(left + _WIDTH * calls / most_calls, 1)

    def y(value: float) -> float:
        share = log10(value / ticks[0]) / log10(highest / ticks[0]) if logarithmic else value / highest
        return round(30 + _HEIGHT * (1 - share), 1)

    parts = [f'<text x="{left}" y="18" font-weight="bold">{escape(title)}</text>']
    for tick in (tick for tick in ticks if tick <= highest):
        parts.append(f'<path d="M{left} {y(tick)}h{_WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y(tick) + 4}" text-anchor="end">{tick:.3g}</text>')
    counts = sorted({calls for calls, _ in points})
    parts += [f'<text x="{x(calls)}" y="{_HEIGHT + 46}" text-anchor="middle">{calls}</text>' for calls in counts]
    parts.append(f'<text x="{left + _WIDTH}" y="{_HEIGHT + 62}" text-anchor="end">calls at once on one core</text>')
    for number, line in enumerate(lines.values()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x(calls)},{y(value)}" for calls, value in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(calls)}" cy="{y(value)}" r="3" fill="{colour}"/>' for calls, value in line]
    return parts
