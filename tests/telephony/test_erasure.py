"""`telephony calls erase` leaves no byte of a person: names, numbers and spoken digits are planted everywhere, and then
every file is searched, decompressed and as it is."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from telephony.cli.app import app
from telephony.errors import CallRefused
from telephony.outbound.do_not_call import DoNotCall
from telephony.records.call_record import CallUpdate
from telephony.records.database import DatabaseRecords
from telephony.records.subjects import SubjectKey, subject_key
from telephony.settings import load_settings
from telephony.simulator import SimulatedTwilio
from telephony.twilio.rest import TwilioRest
from tests.support.call_processes import listener
from tests.support.databases import Cluster
from tests.support.recorded_calls import recorded

ADA, BEN, OWN = "+14155550123", "+14155550124", "+14155550199"
NAME, SPOKEN, OTHERS = "Ada Quillfeather", "seven four one one niner", "Ben Harrowgate"
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
SIDS = [f"CA{number:032x}" for number in range(6)]


def telephony(*arguments: object, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == exit_code, result.output
    return result.stdout


def planted(sid: str, number: str, shown: str, name: str, *, outbound: bool = False, **more: Any) -> CallUpdate:
    """The record of a call in which this person said their name and digits."""
    key = subject_key(load_settings())
    numbers = {"caller": OWN, "called": shown} if outbound else {"caller": shown, "called": OWN}
    said = f"I am {name}, my code is {SPOKEN if name == NAME else 'another'}, call me at {number}."
    changes = {
        "sid": sid, "direction": "outbound-api" if outbound else "inbound", **numbers, "subject": key.of(number),
        "status": "completed", "ended_at": AT, "started_at": AT, "summary": said, "error": said, "document": said,
        "result": {"name": name, "number": number}, "tools": {name: {"calls": 1, "failures": 0}}, **more,
    }  # fmt: skip
    return CallUpdate(sid, AT, changes=changes, announce_s=0.0)


def journal(folder: Path, sid: str, said: str, *, compressed: bool = False) -> None:
    (folder / sid).mkdir(parents=True)
    text = recorded("demo").read_bytes() + json.dumps({"t": 99, "kind": "note", "text": said}).encode() + b"\n"
    if compressed:
        (folder / sid / "journal.jsonl.gz").write_bytes(gzip.compress(text))
    else:
        (folder / sid / "journal.jsonl").write_bytes(text)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELEPHONY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TELEPHONY_JOURNAL_DIR", str(tmp_path / "calls"))
    monkeypatch.setenv("TELEPHONY_DO_NOT_CALL", str(tmp_path / "lists" / "no.txt"))
    monkeypatch.setenv("TWILIO_PHONE_NUMBER", OWN)
    return tmp_path


def plant(place: Path, database: DatabaseRecords) -> None:
    """Ada's calls: masked, not masked, placed, and one that has a journal and no record. And one of Ben."""
    database.note([planted(SIDS[0], ADA, "+14•••••••23", NAME), planted(SIDS[1], ADA, ADA, NAME, subject="")])
    database.note([planted(SIDS[2], ADA, "+14•••••••23", NAME, outbound=True)])
    database.note([planted(SIDS[3], BEN, BEN, OTHERS)])
    database.note([planted(SIDS[4], ADA, ADA, NAME)])
    database.purge(datetime(2020, 1, 1, tzinfo=UTC))
    for number in range(40):  # values that were replaced leave free space behind
        text = f"{NAME} {SPOKEN} {ADA} " * number
        database.note([CallUpdate(SIDS[0], AT + timedelta(seconds=number), changes={"summary": text})])
    key = f"POST to {ADA}"
    database.claim("idempotency key", key, ttl_s=9e9, now=AT, value=f"a-digest-of-the-request:{SIDS[2]}")
    calls = place / "calls"
    said = f"I am {NAME}, my code is {SPOKEN}, call me at {ADA}."
    journal(calls, SIDS[0], said)
    journal(calls, SIDS[1], said, compressed=True)
    journal(calls, SIDS[5], said, compressed=True)
    journal(calls, SIDS[3], f"I am {OTHERS}.")
    (place / "lists").mkdir()
    (place / "lists" / "no.txt").write_text(
        f"# people who asked\n{ADA} {NAME} asked\n(415) 555-0123 {NAME}\n{BEN} {OTHERS}\n"
    )
    for name in ("ada.wav", "ada.json", "ada.csv"):
        telephony("calls", "export", SIDS[0], "--output", place / name)
    telephony("calls", "export", "--output", place / "all.csv")
    telephony("calls", "export", SIDS[3], "--output", place / "ben.json")


def found_in(folder: Path, *words: str) -> list[str]:
    """The files in which one of these texts is, as they are or decompressed. Also numbers without their plus."""
    hits = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content += gzip.decompress(content)
        hits += [f"{path.relative_to(folder)}: {word}" for word in words if word.encode() in content]
    return hits


EVERYTHING = (NAME, SPOKEN, ADA, ADA[1:], "415) 555-0123", *(SIDS[n] for n in (0, 1, 2, 4, 5)))


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "another process reads"])
def test_no_byte_of_a_person_is_left(place: Path, is_open: bool) -> None:
    url = load_settings().records_url
    assert url is not None
    with closing(DatabaseRecords(url)) as database:
        plant(place, database)
        assert len(found_in(place, NAME, SPOKEN, ADA)) > 10, "the test finds what it has planted"
        stop = threading.Event()

        def read() -> None:
            with closing(DatabaseRecords(url)) as other:
                while not stop.is_set():
                    other.call(SIDS[3])

        reader = threading.Thread(target=read)
        if is_open:
            reader.start()
        try:
            receipt = json.loads(telephony("calls", "erase", "--number", ADA))
        finally:
            stop.set()
            if is_open:
                reader.join()
        assert found_in(place, *EVERYTHING[:5]) == []
        assert [hit for hit in found_in(place, *EVERYTHING[5:]) if not hit.startswith("data/records.db")] == []
        row = database.call(SIDS[3])
        assert row is not None and row.result["name"] == OTHERS and (place / "calls" / SIDS[3]).exists()
        assert (place / "ben.json").exists()
    assert receipt["complete"] and receipt["records"] == 4 and receipt["journals"] == 3 and receipt["messages"] == 4
    assert sorted(receipt["calls"]) == sorted(SIDS[n] for n in (0, 1, 2, 4, 5))
    assert len(receipt["exports"]) == 4 and receipt["opt_out_kept"] and receipt["recordings"] is None
    assert receipt["subject"] == subject_key(load_settings()).of(ADA) and ADA not in json.dumps(receipt)
    again = json.loads(telephony("calls", "erase", "--number", ADA))
    assert again["complete"] and (again["records"], again["journals"]) == (0, 0) and again["opt_out_kept"]


@pytest.mark.parametrize("erased", ["+525512345678", "+5215512345678"])
def test_a_phone_with_several_numbers_is_erased_by_each(place: Path, erased: str) -> None:
    url = load_settings().records_url
    assert url is not None
    forms = ("+525512345678", "+5215512345678")
    (place / "lists").mkdir()
    (place / "lists" / "no.txt").write_text(f"{forms[1]} {NAME}\n")
    with closing(DatabaseRecords(url)) as database:
        database.note([planted(SIDS[0], forms[0], forms[0], NAME), planted(SIDS[1], forms[1], forms[1], NAME)])
        database.note([planted(SIDS[2], forms[0], "+52•••••••78", NAME, outbound=True)])
        database.note([planted(SIDS[3], BEN, BEN, OTHERS)])
    for sid, form in zip(SIDS[4:], forms, strict=True):  # journals without a record
        journal(place / "calls", sid, f"I am {NAME}, call me at {form}.")
    telephony("calls", "export", "--output", place / "all.csv")
    receipt = json.loads(telephony("calls", "erase", "--number", erased))
    assert receipt["complete"] and receipt["opt_out_kept"]
    assert set(receipt["calls"]) == {SIDS[n] for n in (0, 1, 2, 4, 5)}
    assert found_in(place, NAME, *forms) == []
    with closing(DatabaseRecords(url)) as database:
        assert database.call(SIDS[3]) is not None


def test_a_placed_call_is_not_placed_again_after_the_erasure(place: Path) -> None:
    url = load_settings().records_url
    assert url is not None
    with closing(DatabaseRecords(url)) as database:
        plant(place, database)
        telephony("calls", "erase", "--number", ADA)
        claimed = database.claim("idempotency key", f"POST to {ADA}", ttl_s=60, now=AT, value="new:1")
        assert not claimed.first and "digest" not in claimed.value


def test_an_old_file_with_free_pages_is_cleaned(place: Path) -> None:
    """A release without `secure_delete` has left the text in free pages."""
    url = load_settings().records_url
    assert url is not None
    with closing(DatabaseRecords(url)) as database:
        database.note([planted(SIDS[0], ADA, ADA, NAME), planted(SIDS[3], BEN, BEN, OTHERS)])
    with closing(sqlite3.connect(place / "data" / "records.db")) as connection:
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("CREATE TABLE old (x)")
        connection.executemany("INSERT INTO old VALUES (?)", [(f"{NAME} {number}" * 50,) for number in range(200)])
        connection.commit()
        connection.execute("DELETE FROM old")
        connection.commit()
    assert found_in(place / "data", NAME)
    telephony("calls", "erase", "--number", ADA)
    assert found_in(place / "data", NAME, ADA) == []


def test_postgresql_keeps_no_row_in_its_tables(
    place: Path, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.new_database()
    monkeypatch.setenv("DATABASE_URL", url)
    with closing(DatabaseRecords(url)) as database:
        plant(place, database)
        receipt = json.loads(telephony("calls", "erase", "--number", ADA))
        assert receipt["complete"] and receipt["records"] == 4 and any("write-ahead" in it for it in receipt["remains"])
        with database._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CHECKPOINT")
            oid = "SELECT oid FROM pg_database WHERE datname = current_database()"
            files = postgresql.folder / "data" / "base" / str(connection.exec_driver_sql(oid).scalar_one())
        assert found_in(files, *EVERYTHING[:3]) == []
        assert found_in(files, OTHERS)
        assert found_in(place, *EVERYTHING[:5]) == []


def test_a_live_call_is_not_erased_and_is_in_the_receipt(place: Path) -> None:
    url = load_settings().records_url
    assert url is not None
    with closing(DatabaseRecords(url)) as database:
        database.note([planted(SIDS[0], ADA, ADA, NAME, status="in-progress", ended_at=None)])
        journal(place / "calls", SIDS[0], f"call me at {ADA}")
        receipt = json.loads(telephony("calls", "erase", "--number", ADA, exit_code=1))
        assert (receipt["live"], receipt["records"], receipt["complete"]) == ([SIDS[0]], 0, False)
        assert database.call(SIDS[0]) is not None and (place / "calls" / SIDS[0]).exists()


def test_another_key_erases_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = load_settings().records_url
    assert url is not None
    with closing(DatabaseRecords(url)) as database:
        plant(place, database)
        telephony("calls", "erase", "--number", "+14155550000")
        monkeypatch.setenv("TELEPHONY_NUMBER_KEY", "another key of 16 letters")
        assert "another key" in CliRunner().invoke(app, ["calls", "erase", "--number", ADA]).output
        assert database.call(SIDS[0]) is not None
    assert "a number of this application" in CliRunner().invoke(app, ["calls", "erase", "--number", OWN]).output
    assert CliRunner().invoke(app, ["calls", "erase", "--number", "x"]).exit_code == 2


def test_files_that_cannot_be_deleted_are_in_the_receipt(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = load_settings().records_url
    assert url is not None
    with closing(DatabaseRecords(url)) as database:
        plant(place, database)

    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    receipt = json.loads(telephony("calls", "erase", "--number", ADA, exit_code=1))
    assert not receipt["complete"] and len(receipt["failures"]) == 3
    assert all("Permission denied" in failure for failure in receipt["failures"])


def test_recordings_at_twilio_are_deleted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with SimulatedTwilio() as twilio:
            call, other = [twilio.start_ringing(caller=listener, from_=number) for number in (ADA, BEN)]
            for each in (call, other):
                each.record("OutboundAPI", {}).stop()
                each.end()
            settings = {"TWILIO_ACCOUNT_SID": twilio.account_sid, "TWILIO_AUTH_TOKEN": twilio.auth_token,
                        "PUBLIC_URL": "https://phone.example.com", "TELEPHONY_MODEL": "scripted",
                        "TELEPHONY_TWILIO_API_URL": twilio.base_url}  # fmt: skip
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            url = load_settings().records_url
            assert url is not None
            with closing(DatabaseRecords(url)) as database:
                database.note([planted(call.sid, ADA, ADA, NAME), planted(other.sid, BEN, BEN, OTHERS)])
            told = await asyncio.to_thread(telephony, "calls", "erase", "--number", ADA)
            assert json.loads(told)["recordings"] == 1
            assert (call.recordings, len(other.recordings)) == ([], 1)
            rest = TwilioRest.of(load_settings())
            assert await rest.delete_recordings(other.sid) == 1 and await rest.delete_recordings(other.sid) == 0
            rest.close()

    asyncio.run(main())


def test_recordings_in_another_account_are_deleted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of the numbers file is in a subaccount, and so are the recordings of its calls."""
    sid = "AC" + "b" * 32
    numbers = place / "numbers.toml"
    numbers.write_text(
        f'[accounts.berlin]\nsid = "{sid}"\nauth_token_env = "BERLIN_TOKEN"\n'
        '[numbers."+14155550100"]\nagent = "an:agent"\naccount = "berlin"\n'
    )

    async def main() -> None:
        async with SimulatedTwilio(account_sid=sid, auth_token="of berlin") as berlin:
            call = berlin.start_ringing(caller=listener, from_=ADA)
            call.record("OutboundAPI", {}).stop()
            call.end()
            monkeypatch.setenv("TELEPHONY_TWILIO_API_URL", berlin.base_url)
            url = load_settings().records_url
            assert url is not None
            with closing(DatabaseRecords(url)) as database:
                database.note([planted(call.sid, ADA, ADA, NAME)])
            erase = ("calls", "erase", "--number", ADA, "--config", str(numbers))
            await asyncio.to_thread(telephony, *erase, exit_code=1)
            assert call.recordings, "without the token of the account nothing is erased"
            monkeypatch.setenv("BERLIN_TOKEN", "of berlin")
            told = await asyncio.to_thread(telephony, *erase)
            assert json.loads(told)["recordings"] == 1 and not call.recordings

    asyncio.run(main())


# --- opt-outs ------------------------------------------------------------------------------------------------------


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[DoNotCall]:
    path = tmp_path / "no.txt"
    path.write_text(f"# a remark\n{ADA} Ada\n{BEN}, {ADA} two\n(415) 555-0123\n+14155550125 other\n")
    yield DoNotCall(path, subjects=SubjectKey(b"of the tests"))


def test_an_opt_out_survives_as_a_hash(listed: DoNotCall) -> None:
    assert listed.hash(ADA) and "Ada" not in (text := listed.path.read_text())
    assert ADA not in text and "555-0123" not in text and "# a remark" in text and "+14155550125 other" in text
    for reader in (listed, DoNotCall(listed.path, subjects=SubjectKey(b"of the tests"))):
        assert ADA in reader and BEN in reader and "+14155550125" in reader and "+14155550126" not in reader
        reader.add(ADA)
    assert listed.path.read_text() == text, "it is on the list already"
    assert listed.hash(ADA) and not listed.hash("+14155550126")
    listed.add("+14155550127")
    assert "+14155550127" in DoNotCall(listed.path, subjects=SubjectKey(b"of the tests"))


def test_no_number_is_called_if_the_list_has_hashes_of_another_key(listed: DoNotCall) -> None:
    """Whether a number is on the list cannot be known, so the answer is no call."""
    listed.hash(ADA)
    other = DoNotCall(listed.path, subjects=SubjectKey(b"another"))
    with pytest.raises(CallRefused, match="TELEPHONY_NUMBER_KEY"):
        _ = "+14155550126" in other
