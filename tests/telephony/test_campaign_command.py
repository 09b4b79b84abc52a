"""`telephony campaign`: rehearsals, and campaigns in the records."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from telephony.cli.app import app
from telephony.cli.call_list import opened_records
from telephony.records.access import Action, AuditQuery
from telephony.settings import load_settings

PEOPLE = "id,to,name\na,+14155550101,Ada\nb,(415) 555-0102,Bob\nc,12,Cy\na,+14155550101,Ada\n"


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEPHONY_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / "people.csv"
    path.write_text(PEOPLE)
    return path


def campaign(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["campaign", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_a_rehearsal_prints_the_funnel_and_a_row_for_each_contact(people: Path, tmp_path: Path) -> None:
    options = ("--agent", "examples.remind:agent", "--result", "examples.remind:Outcome", "--simulate", "--fast")
    out = tmp_path / "results.csv"
    result = campaign("run", people, *options, "--seed", "7", "--json", "--output", out)
    found: dict[str, Any] = json.loads(result.stdout)
    assert (found["status"], found["funnel"]["contacts"], found["funnel"]["states"]) == (
        "finished", 3, {"done": 2, "invalid": 1},
    )  # fmt: skip
    ada, bob, cy = found["contacts"]
    assert [ada["id"], ada["lines"], bob["number"]] == ["a", [2, 5], "+14155550102"]
    assert ada["attempts"]
    assert ada["outcome"] == ada["attempts"][-1]["outcome"]
    assert (cy["state"], cy["lines"]) == ("invalid", [4])
    assert "not a valid phone number" in cy["problem"]
    assert "1 lines merged" in result.stderr
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["data.name"] == "Ada"
    assert rows[0]["outcome"] == ada["outcome"]


def test_a_dry_run_shows_when_each_contact_would_be_called(people: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "no.txt").write_text("+14155550102\n")
    monkeypatch.setenv("TELEPHONY_DO_NOT_CALL", str(tmp_path / "no.txt"))
    result = campaign(
        "create", people, "--dry-run", "--windows", "mon-fri 9-17", "--start", "2026-12-25T12:00Z", "--json"
    )
    ada, bob, cy = json.loads(result.stdout)["contacts"]
    assert ada["local_time"] == "Mon 2026-12-28 09:00 PST", "not on Christmas, and not at the weekend"
    assert (bob["state"], bob["first_call_at"]) == ("do-not-call", None)
    assert (cy["state"], cy["lines"]) == ("invalid", [4])
    assert json.loads(result.stdout)["merged"] == [{"line": 5, "equals": 2}]
    assert json.loads(campaign("status", "--json").stdout) == []


@pytest.mark.parametrize("start", ["9999-12-31T23:00-12:00", "9999-12-31T10:00Z", "0001-01-01T00:00Z", "soon"])
def test_a_start_at_the_ends_of_the_calendar_is_refused(people: Path, start: str) -> None:
    refused = campaign("create", people, "--dry-run", "--start", start, code=2)
    assert "--start" in refused.output and "Traceback" not in refused.output


def test_a_campaign_in_the_records_is_paused_resumed_stopped_and_exported(people: Path, tmp_path: Path) -> None:
    campaign("create", people, "--agent", "examples.remind:agent", "--name", "spring")
    assert json.loads(campaign("status", "spring", "--json").stdout)["status"] == "created"
    assert json.loads(campaign("pause", "spring", "--json").stdout)["pause_reason"] == "user"
    assert json.loads(campaign("resume", "spring", "--json").stdout)["status"] == "running"
    assert json.loads(campaign("stop", "spring", "--json").stdout)["funnel"]["reasons"] == {"stopped": 2}
    campaign("export", "spring", "--output", out := tmp_path / "out.json")
    assert [row["reason"] for row in json.loads(out.read_text())["contacts"]] == ["stopped", "stopped", None]
    assert out.stat().st_mode & 0o777 == 0o600
    assert "was stopped" in campaign("resume", "spring", code=1).output
    assert "was stopped" in campaign("retry", "spring", code=1).output
    with opened_records(load_settings()) as records:
        assert records is not None
        audited = [each.detail for each in reversed(records.access.entries(AuditQuery(action=Action.CONFIGURE)))]
    assert audited[:4] == [
        "campaign spring: created with 3 contacts",
        *(f"campaign spring: {to}" for to in ("paused", "running", "stopped")),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_list_is_read_in_the_encodings_of_excel(encoding: str, people: Path) -> None:
    people.write_bytes("sep=;\r\nName;Phone\r\nJ\u00fcrgen;+14155550123\r\n".encode(encoding))
    result = CliRunner().invoke(app, ["campaign", "run", str(people), "--simulate", "--dry-run", "--agent",
                                      "examples.remind:agent", "--json"])  # fmt: skip
    (row,) = json.loads(result.stdout)["contacts"]
    assert (row["number"], row["state"]) == ("+14155550123", "pending")


def test_an_error_about_a_file_sends_nothing_to_the_terminal(people: Path) -> None:
    """Such as the bytes of a spreadsheet, or an escape sequence in the name of a column."""
    people.write_bytes(b"PK\x03\x04\x1b[2J\x07" + b"x" * 5000)
    result = CliRunner().invoke(app, ["campaign", "run", str(people), "--simulate", "--agent", "examples.remind:agent"])
    assert result.exit_code == 2 and "There is no column with the numbers" in result.stderr
    assert result.stderr.replace("\n", "").isprintable() and len(result.stderr) < 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "missing.csv", "--simulate", "--agent", "examples.remind:agent"], "cannot be read"),
        (["run", "PEOPLE", "--fast"], "--fast needs --simulate"),
        (["run", "PEOPLE", "--simulate", "--fast"], "has no agent"),
        (["run", "PEOPLE", "--simulate", "--agent", "examples.remind:nobody"], "has no 'nobody'"),
        (["run", "PEOPLE", "--simulate", "--set", "at_once"], "name=value"),
        (["run", "PEOPLE", "--simulate", "--set", "speed=9"], "speed"),
        (["run", "PEOPLE", "--simulate", "--retry", "reached=1/1d"], "cannot be tried again"),
        (["run", "PEOPLE", "--simulate", "--windows", "9 to 5"], "is not a window"),
        (["create", "PEOPLE", "--agent", "examples.remind:agent", "--name", "a b"], "--name"),
        (["status", "missing"], "no campaign 'missing'"),
        (["retry", "missing", "--reason", "opted-out"], "not called again"),
        (["retry", "missing", "--reason", "bored"], "choose from"),
    ],
)
def test_impossible_campaign_commands_end_with_one_line(arguments: list[str], message: str, people: Path) -> None:
    given = [str(people) if each == "PEOPLE" else each for each in arguments]
    result = CliRunner().invoke(app, ["campaign", *given])
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert "Traceback" not in result.output
