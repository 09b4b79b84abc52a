"""TOML files as editors on Windows write them: with a byte order mark and with CR and LF at the end of each line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from realtime_core.local.script import load_script
from telephony.cli.campaign_options import _toml
from telephony.evals.criteria import load_criteria
from telephony.evals.persona import load_persona
from telephony.numbers.number_file import read_numbers
from telephony.simulator.callers import read

PROJECT = Path(__file__).parents[2] / "telephony" / "starter" / "project"
NUMBERS = '[defaults]\nagent = "desk:agent"\n\n[numbers."+14155550100"]\nlanguage = "de"\n'


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (load_criteria, (PROJECT / "evals" / "criteria.toml").read_text("utf-8")),
        (load_persona, (PROJECT / "evals" / "personas" / "ada.toml").read_text("utf-8")),
        (load_script, (PROJECT / "simulation" / "script.toml").read_text("utf-8")),
        (read, (PROJECT / "simulation" / "caller.toml").read_text("utf-8")),
        (read_numbers, NUMBERS),
        (_toml, "concurrency = 2\n"),
    ],
)
def test_a_file_of_another_editor_is_the_same_file(reader: Callable[[Path], Any], text: str, tmp_path: Path) -> None:
    plain, other = tmp_path / "a" / "file.toml", tmp_path / "b" / "file.toml"
    for path in (plain, other):
        path.parent.mkdir()
    plain.write_text(text, encoding="utf-8")
    other.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert _shown(reader(other)) == _shown(reader(plain))


def _shown(value: Any) -> str:
    return repr(value).replace("/b/", "/a/")
