"""Writes the figures of `make proof` into `docs/measurements.md`, between two marks. Pure except for `write`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["BEGIN", "END", "section", "write"]

BEGIN = "<!-- Written by `make proof`: -->"
END = "<!-- End of the written part. -->"


def write(page: Path, steps: Mapping[str, Any]) -> None:
    """Writes the figures of the steps into `page`. Raises `ValueError` if one of its marks is missing."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} must have both marks, {BEGIN} and {END}.")
    page.write_text(f"{before}{BEGIN}\n{section(steps)}{END}{after}")


def section(steps: Mapping[str, Any]) -> str:
    """Returns the figures of the steps as Markdown: a table of the truncations, and a paragraph. Steps that are missing
    are left out.
    """
    figures = {name: step["figures"] for name, step in steps.items()}
    table = list(_table(figures.get("truncation", [])))
    paragraph = textwrap.fill(
        " ".join([*_sentences(figures), _measured(steps)]), 120, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(["", *table, "", paragraph, "", ""])


def _table(classes: list[Mapping[str, Any]]) -> Iterator[str]:
    if classes:
        yield f"| {classes[0]['calls']} calls each, five barge-ins a call | p50 | p95 | worst |"
        yield "|---|---|---|---|"
    for each in classes:
        name = each["class"] + (" (reported, without a limit)" if each["limit_ms"] is None else "")
        yield f"| {name} | {each['p50_ms']} ms | {each['p95_ms']} ms | {each['worst_ms']} ms |"


def _sentences(figures: Mapping[str, Any]) -> Iterator[str]:
    if ten := figures.get("ten_minutes"):
        yield (
            f"A call of ten minutes with {ten['barge_ins']} barge-ins takes {ten['cpu_s']} s of CPU in virtual time,"
            " session, transcoding, voice activity detection and journal included."
        )
    if replays := figures.get("replays"):
        many = replays["minutes"]
        yield (
            f"A recorded call of ten minutes replays in {replays['ten_minutes_cpu_s']} s of CPU, {many['calls']}"
            f" calls of a minute in {many['seconds']} s on {many['cores']} cores."
        )
    if same := figures.get("repeats"):
        yield f"{same['runs']} runs with one seed wrote {'the same journal' if same['same'] else 'different journals'}."
    if kills := figures.get("kills"):
        yield (
            f"{kills['times']} servers were killed during a call. Every journal was readable, and at most"
            f" {round(kills['lost_s_at_most'] * 1000)} ms of a call were missing."
        )
    if journal := figures.get("journal"):
        yield (
            f"A journal costs {journal['overhead_percent']} % of a call's CPU and {journal['mb_per_minute']} MB a"
            f" minute ({journal['mb_per_minute_compressed']} MB compressed)."
        )
    if mutation := figures.get("mutation"):
        yield (
            f"Of {mutation['mutants']} changed operators, constants and arguments of the pure modules the tests found"
            f" {mutation['killed']} ({mutation['killed_percent']} %)."
        )


def _measured(steps: Mapping[str, Any]) -> str:
    dates = sorted({step["date"] for step in steps.values()})
    when = " to ".join(dates[:: max(1, len(dates) - 1)])
    where = ", ".join(sorted({f"Python {step['python']}, {step['machine']}" for step in steps.values()}))
    return f"Figures of {when}, {where}, in `benchmarks/figures/`."
