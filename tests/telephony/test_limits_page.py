"""docs/limits.md has the figures of the code."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
ROW = re.compile(
    r"^\| (?P<what>[^|]+) \| (?P<limit>[^|]+) \| `(?P<constant>[\w.]+)(?:\[(?P<key>\w+)\])?` \|", re.MULTILINE
)
ROWS = [match.groupdict() for match in ROW.finditer(PAGE.read_text())]


def test_every_row_is_read() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    headings = 2 * sum(line.startswith("| what |") for line in rows)
    assert len(ROWS) == len(rows) - headings > 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["what"])
def test_a_figure_is_that_of_the_code(row: dict[str, str]) -> None:
    module, _, name = row["constant"].rpartition(".")
    value = getattr(import_module(module), name)
    if row["key"]:
        value = next(limit for phase, limit in value.items() if phase.name == row["key"])
    figures = re.findall(r"\d+(?:\.\d+)?", row["limit"])
    assert [float(figure) for figure in figures] == [float(value)]


def test_every_limit_in_time_has_its_row() -> None:
    from telephony.web import phase_timeouts

    result = {f"{row['constant'].rpartition('.')[2]}[{row['key']}]" for row in ROWS if row["key"]}
    of_uvicorn = {"HTTP_LIMITS_S[IDLE]"}
    for name in ("HTTP_LIMITS_S", "WEBSOCKET_LIMITS_S"):
        assert {f"{name}[{phase.name}]" for phase in getattr(phase_timeouts, name)} - of_uvicorn <= result
