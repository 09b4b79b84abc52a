"""`telephony calls` finds calls in the records: list, show, play and export, with the journal where there is one."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import stat
import wave
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from telephony.cli.app import app
from telephony.records.call_record import CallUpdate
from telephony.records.database import DatabaseRecords
from telephony.records.exports import noted_exports
from telephony.records.subjects import subject_key
from telephony.settings import load_settings
from tests.support.recorded_calls import recorded

ADA, OWN = "+14155550123", "+14155550199"
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def telephony(*arguments: object, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == exit_code, result.output
    return result.output


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory with three calls, and the journals of two calls: one of them has no record."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    monkeypatch.setenv("TELEPHONY_DATA_DIR", str(folder))
    monkeypatch.setenv("TELEPHONY_JOURNAL_DIR", str(tmp_path / "calls"))
    settings = load_settings()
    subject = subject_key(settings).of(ADA)
    for sid, kind in {"CA1": "breaks_in", "CA9": "demo"}.items():
        (tmp_path / "calls" / sid).mkdir(parents=True)
        shutil.copy(recorded(kind), tmp_path / "calls" / sid / "journal.jsonl")
    os.utime(tmp_path / "calls" / "CA9" / "journal.jsonl", (0, 0))
    assert settings.records_url is not None
    with closing(DatabaseRecords(settings.records_url)) as database:
        rows: list[dict[str, Any]] = [
                {"sid": "CA1", "direction": "inbound", "caller": "+14•••••••23", "called": OWN, "subject": subject,
                 "agent": "Desk", "agents": ["Night", "Desk"], "status": "completed", "ending": "hung_up",
                 "reason": "hung up", "duration_s": 83, "result": {"people": 2}, "outcome": "booked",
                 "summary": "A table for two.", "interruptions": 1, "model_cost": 0.25,
                 "turns": [{"at_ms": 0, "latency_ms": None}, {"at_ms": 900, "latency_ms": 400}],
                 "tools": {"book_table": {"calls": 2, "failures": 1}},
                 "transfers": [{"target": "kitchen", "warm": False, "succeeded": False, "result": "the line is busy"}],
                 "usage": {"responses": 2, "input": {"tokens": 10}, "output": {"tokens": 20}}},
                {"direction": "outbound-api", "caller": OWN, "called": "+49•••••••••11", "status": "busy"},
                {"sid": "CA3", "direction": "inbound", "caller": "sip:=cmd()@x", "status": "in-progress"},
            ]  # fmt: skip
        for number, changes in enumerate(rows):
            start = AT + timedelta(hours=number)
            database.note([CallUpdate(f"CA{number + 1}", start, changes={"started_at": start, **changes})])
    yield folder


def listed(*arguments: object) -> list[str]:
    return [call["id"] for call in json.loads(telephony("calls", "list", "--json", *arguments))]


def test_calls_are_listed_the_newest_last(data: Path) -> None:
    assert listed() == ["CA9", "CA1", "CA2", "CA3"]
    lines = telephony("calls", "list").splitlines()
    assert "no record" in lines[0]
    for part in ("2026-01-31 12:00 UTC", "inbound", "+14•••••••23 -> +14155550199", "Desk", "1:23", "hung up", "CA1",
                 'booked {"people": 2}'):  # fmt: skip
        assert part in lines[1], part
    assert "outbound" in lines[2] and "the line was busy" in lines[2] and "in-progress" in lines[3]
    first = json.loads(telephony("calls", "list", "--json"))[1]
    assert first["ending"] == "hung_up" and first["bytes"] > 0 and first["result"] == {"people": 2}


def test_texts_from_outside_forge_no_line_and_send_nothing_to_the_terminal(data: Path) -> None:
    """Addresses, results and texts of tools come from callers, models and other servers."""
    forged = "x\nforged \x1b[2J\x9b31m\u202e"
    row: dict[str, Any] = {"sid": "CA5", "direction": "inbound", "caller": "sip:•", "called": f"sip:{forged}",
                           "agent": forged, "agents": [forged], "status": "completed", "outcome": forged,
                           "summary": forged, "variant": forged, "tools": {forged: {"calls": 1, "failures": 1}},
                           "started_at": datetime.now(UTC)}  # fmt: skip
    url = load_settings().records_url
    assert url is not None
    with closing(DatabaseRecords(url)) as database:
        database.note([CallUpdate("CA5", datetime.now(UTC), changes=row)])
    for command in (["calls", "list"], ["calls", "show", "CA5"], ["versions", "list"]):
        printed = telephony(*command)
        assert "forged" in printed
        assert not [line for line in printed.splitlines() if line.startswith("forged")], command
        assert not set(printed) & set("\x1b\x9b\u202e"), command


def test_filters(data: Path) -> None:
    assert listed("--number", ADA) == ["CA1"]
    assert listed("--from", ADA) == ["CA1"] and listed("--to", OWN) == ["CA1"]
    assert listed("--agent", "Night") == ["CA1"] and listed("--status", "busy") == ["CA2"]
    assert listed("--from", "2026-01-31T12:30", "--to", "2026-01-31T13:30") == ["CA2"]
    assert listed("--since", "2026-01-31") == ["CA1", "CA2", "CA3"] and listed("--limit", 2) == ["CA2", "CA3"]
    assert "There are no such calls" in telephony("calls", "list", "--number", "+14155550000")
    assert "--since: write an age" in telephony("calls", "list", "--since", "x", exit_code=2)


def test_a_call_is_shown_with_its_record_and_the_cause_of_each_cut(data: Path) -> None:
    shown = telephony("calls", "show", "CA1")
    for part in ("ending: hung up (hung_up)", "agents: Night, Desk", 'result: booked {"people": 2}', "400 ms (median)",
                 "summary: A table for two.", "tool book_table: 2 calls, 1 failures", "tokens: 10 in, 20 out",
                 "transfer to kitchen: the line is busy", "cost: model 0.25 USD", "the caller interrupts"):  # fmt: skip
        assert part in shown, part
    as_json = json.loads(telephony("calls", "show", "CA1", "--json"))
    assert as_json["record"]["agents"] == ["Night", "Desk"] and as_json["cuts"]["caller"] >= 1
    assert any(entry.get("cause") == "caller" for entry in as_json["transcript"])
    without_journal = telephony("calls", "show", "CA2")
    assert "the line was busy (busy)" in without_journal and "no journal" in without_journal
    assert "cost: not known" in without_journal
    assert "no calls of that name" in telephony("calls", "show", "CA7", exit_code=1)


def test_one_call_is_exported(data: Path, tmp_path: Path) -> None:
    for name in ("call.wav", "call.json", "call.csv"):
        telephony("calls", "export", "CA1", "--output", tmp_path / name)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert file.getnchannels() == 2 and file.getnframes() > 8000
    written = json.loads((tmp_path / "call.json").read_text())
    assert written["record"]["id"] == "CA1" and written["transcript"] and written["figures"]["call_s"] > 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "call.csv").read_text())))
    assert {"agent", "caller"} <= {row["speaker"] for row in rows} and "caller" in {row["cause"] for row in rows}
    assert [each.path for each in noted_exports(data)] == [
        tmp_path / name for name in ("call.wav", "call.json", "call.csv")
    ]
    assert ".wav, .json or .csv" in telephony("calls", "export", "CA1", "--output", "x.txt", exit_code=2)
    assert "no journal of this call" in telephony("calls", "export", "CA2", "--output", "x.wav", exit_code=1)


def test_the_list_is_exported(data: Path, tmp_path: Path) -> None:
    telephony("calls", "export", "--output", tmp_path / "list.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "list.csv").read_text())))
    assert [row["id"] for row in rows] == ["CA3", "CA2", "CA1"] and json.loads(rows[2]["result"]) == {"people": 2}
    assert rows[0]["caller"] == "sip:=cmd()@x"
    telephony("calls", "export", "--output", tmp_path / "list.json", "--status", "busy")
    assert [row["id"] for row in json.loads((tmp_path / "list.json").read_text())] == ["CA2"]
    assert "no such file" in telephony("calls", "export", "--output", "/nowhere/list.csv", exit_code=1).lower()


@pytest.mark.parametrize("cell", ["=cmd()", "+cmd|' /C calc'!A0", "-cmd()", "@SUM(A1)"])
def test_a_text_in_a_table_is_no_formula(cell: str) -> None:
    from telephony.cli.call_list import csv_of

    (row,) = csv.DictReader(io.StringIO(csv_of([{"a": cell, "b": ADA}], ["a", "b"])))
    assert row == {"a": f"'{cell}", "b": ADA}


def test_a_call_is_played_by_the_player_of_the_machine(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    players = tmp_path / "bin"
    players.mkdir()
    monkeypatch.setenv("PATH", str(players))
    assert "no audio player" in telephony("calls", "play", "CA1", exit_code=1)
    (players / "aplay").write_text(f'#!/bin/sh\n/bin/cp "$2" {tmp_path}/played.wav\n')
    (players / "aplay").chmod(0o755)
    telephony("calls", "play", "CA1")
    with wave.open(str(tmp_path / "played.wav")) as file:
        assert file.getnchannels() == 2


def test_listing_calls_creates_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TELEPHONY_DATA_DIR")
    assert "There are no calls" in telephony("calls", "list")
    assert list(tmp_path.iterdir()) == []
