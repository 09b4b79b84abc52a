"""The journal of a call goes to object storage, and the commands reach it there: they show, play, export, replay, make
tests, purge and erase."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from realtime_core import RealtimeAgent
from realtime_core.local import Call as ToolCall
from telephony.cli.app import app
from telephony.journal.collector import collect
from telephony.journal.object_storage import ObjectStorage
from telephony.journal.reader import read_journal
from telephony.journal.stored_journals import StoredJournals
from telephony.journal.uploads import send
from telephony.records.database import DatabaseRecords
from telephony.settings import load_settings
from tests.support.office import office
from tests.support.recorded_calls import recorded
from tests.telephony.test_erasure import (
    ADA,
    BEN,
    EVERYTHING,
    NAME,
    OTHERS,
    SIDS,
    SPOKEN,
    found_in,
    journal,
    plant,
    telephony,
)
from tests.telephony.test_every_call_is_recorded import asks, record_of, script, works


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELEPHONY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TELEPHONY_JOURNAL_DIR", str(tmp_path / "calls"))
    monkeypatch.setenv("TELEPHONY_JOURNAL_STORE", f"file://{tmp_path}/store")
    return tmp_path


def refused(*arguments: object) -> str:
    """Returns the output of a command that fails."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 1, result.output
    return result.output


def sent(place: Path) -> ObjectStorage:
    """Send all journals of the folder, and leave none."""
    storage = ObjectStorage(f"file://{place}/store")
    for folder in sorted((place / "calls").iterdir()):
        assert send(folder, storage, keeps_local=False)
    assert not any((place / "calls").iterdir())
    return storage


@pytest.mark.virtual_time
async def test_the_journal_of_a_call_goes_to_object_storage(tmp_path: Path) -> None:
    store, calls = f"file://{tmp_path}/store", tmp_path / "calls"
    given = {"telephony_journal_dir": calls, "telephony_journal_store": store, "telephony_journal_keep_local": False}
    agent = RealtimeAgent(name="Desk", tools=[works])
    async with office(script(ToolCall("works", "{}")), agent=agent, given=given) as (twilio, app):
        call = await twilio.ring(caller=asks)
        row = await record_of(app, call.sid)
        while (calls / call.sid).exists():  # noqa: ASYNC110 - of virtual time
            await asyncio.sleep(1.0)
        metrics = app.state.phone.metrics.registry
        assert metrics.get_sample_value("telephony_journal_uploads_total", {"outcome": "sent"}) == 1
        assert metrics.get_sample_value("telephony_journal_uploads_total", {"outcome": "failed"}) == 0
    assert row.journal == f"{store}/{call.sid}/journal.jsonl.gz"
    with StoredJournals(calls, ObjectStorage(store)) as journals:
        heard = collect(read_journal(journals.find(call.sid)))
    assert heard.frames > 100 and [tool.name for tool in heard.tools] == ["works"]


def test_commands_read_a_journal_in_object_storage(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "calls" / "CA1").mkdir(parents=True)
    (place / "calls" / "CA1" / "journal.jsonl").write_bytes(recorded("demo").read_bytes())
    sent(place)
    (place / "bin").mkdir()
    (place / "bin" / "aplay").write_text(f'#!/bin/sh\n/bin/cp "$2" {place}/played.wav\n')
    (place / "bin" / "aplay").chmod(0o755)
    monkeypatch.setenv("PATH", str(place / "bin"))
    monkeypatch.setenv("TMPDIR", str(place / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(place / "tmp"))
    (place / "tmp").mkdir()
    assert "tool book_table" in telephony("calls", "show", "CA1")
    telephony("calls", "play", "CA1")
    telephony("calls", "export", "CA1", "--output", place / "call.wav")
    assert (place / "played.wav").read_bytes() == (place / "call.wav").read_bytes()
    assert "no divergence" in telephony("replay", "CA1")
    (place / "tests").mkdir()
    made = telephony("calls", "test", "add", "CA1", "--name", "booking", "--into", place / "tests")
    assert "edit the expectations" in made and (place / "tests" / "calls" / "booking.jsonl.gz").exists()
    assert json.loads(telephony("doctor", "--trace", "CA1"))
    assert not any((place / "tmp").iterdir()), "the copies are deleted"
    assert "no calls of that name" in refused("calls", "show", "CA2")
    assert "no calls of that name" in refused("calls", "show", "CA1", "--folder", place / "calls")
    assert "1 calls older" in telephony("calls", "purge", "--days", 0, "--dry-run")
    assert "CA1" in telephony("calls", "purge", "--days", 0)
    assert ObjectStorage(f"file://{place}/store").all() == []


def test_a_storage_that_fails_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "store").write_text("no folder")
    monkeypatch.setenv("TELEPHONY_JOURNAL_STORE", f"file://{place}/store/below")
    assert "TELEPHONY_JOURNAL_STORE" in refused("calls", "purge")


def test_no_byte_of_a_person_is_left_in_object_storage(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPHONY_DO_NOT_CALL", str(place / "lists" / "no.txt"))
    url = load_settings().records_url
    assert url is not None
    with closing(DatabaseRecords(url)) as database:
        plant(place, database)
        journal(place / "calls", "CAmentions", f"Please call {ADA}, she is {NAME}.")
    (place / "calls" / SIDS[0] / "voicemail.wav").write_bytes(f"RIFF {SPOKEN}".encode())
    storage = sent(place)
    (place / "calls").rmdir()
    assert len(found_in(place / "store", NAME, SPOKEN, ADA)) > 5, "the test finds what it has planted"
    receipt = json.loads(telephony("calls", "erase", "--number", ADA))
    assert found_in(place, *EVERYTHING[:5]) == []
    assert receipt["complete"] and receipt["journals"] == 0 and receipt["objects"] == 5
    assert any("old versions" in remains for remains in receipt["remains"])
    (left,) = storage.all()
    assert left.sid == SIDS[3] and OTHERS in gzip.decompress(Path(left.key).read_bytes()).decode()
    assert json.loads(telephony("calls", "erase", "--number", BEN))["objects"] == 1


def test_a_storage_that_cannot_be_erased_is_in_the_receipt(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPHONY_JOURNAL_STORE", f"file://{place}/store/below")
    journal(place / "calls", SIDS[5], f"Call {ADA}.")
    (place / "store").write_text("no folder")
    receipt = json.loads(telephony("calls", "erase", "--number", ADA, exit_code=1))
    assert receipt["journals"] == 1 and not receipt["complete"]
    assert "TELEPHONY_JOURNAL_STORE" in receipt["failures"][0]
