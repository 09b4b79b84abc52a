"""The page about campaigns: the newcomer's path runs as written, and the page names every setting."""

from __future__ import annotations

import csv
import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import Outcome
from telephony.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "campaigns.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_a_newcomer_gets_from_a_list_to_results_in_five_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("TELEPHONY_DATA_DIR")  # the tests turn it off
    monkeypatch.setitem(sys.modules, "remind", None)  # other pages have one; this one is removed at the end
    del sys.modules["remind"]
    (tmp_path / "remind.py").write_text(block("python"))
    (tmp_path / "people.csv").write_text(block("text"))
    commands = block("sh").splitlines()
    assert len(commands) == 5
    printed = []
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "telephony"
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        printed.append(done.output)
    assert "3 of 4 contacts would be called" in printed[0]
    assert "Campaign people: finished" in printed[1]
    for name in ("results.csv", "contacts.csv"):
        with (tmp_path / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["id"] for row in rows] == ["101", "102", "103", "104"]
        assert (rows[3]["state"], rows[3]["line"]) == ("invalid", "5")
    with (tmp_path / "results.csv").open(newline="") as file:
        assert all(int(row["attempts"]) > 0 for row in list(csv.DictReader(file))[:3])


def test_the_page_names_every_setting_and_every_outcome() -> None:
    names = set(re.findall(r"`([a-z_-]+)`", PAGE))
    assert set(CampaignConfig.model_fields) <= names
    assert {outcome.value for outcome in Outcome} <= names
