"""Hashes of numbers: one key for all processes of a data directory, kept on the disk or in a setting."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path
from typing import Any

import pytest

from telephony.errors import SettingsError
from telephony.records.client import RecordsClient
from telephony.records.database import DatabaseRecords
from telephony.records.opening import open_records
from telephony.records.subjects import KEY_FILE, SubjectKey, subject_key
from telephony.settings import load_settings

NUMBER = "+14155550123"


@pytest.mark.parametrize("written", [NUMBER, " +1 (415) 555-0123 ", "+1-415-555-0123"])
def test_ways_to_write_a_number_are_one_subject(written: str) -> None:
    key = SubjectKey(b"of the tests")
    assert key.of(written) == key.of(NUMBER) and len(key.of(NUMBER)) == 64


def test_numbers_and_keys_differ() -> None:
    key, other = SubjectKey(b"of the tests"), SubjectKey(b"of others")
    everything = [key.of(NUMBER), key.of("+14155550124"), key.of("sip:ada@example.com"), other.of(NUMBER)]
    assert len(set(everything)) == 4 and key.fingerprint != other.fingerprint


@pytest.mark.parametrize("withheld", ["", "anonymous", "+266696687", "sip:anonymous@example.com"])
def test_a_withheld_number_is_no_subject(withheld: str) -> None:
    assert SubjectKey(b"of the tests").of(withheld) == ""


def test_the_key_is_kept_in_the_data_directory(tmp_path: Path) -> None:
    settings = load_settings(telephony_data_dir=tmp_path / "new" / "data")
    first, again = subject_key(settings), subject_key(settings)
    assert first.of(NUMBER) == again.of(NUMBER)
    assert [path.name for path in (tmp_path / "new" / "data").iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((tmp_path / "new" / "data" / KEY_FILE).stat().st_mode) == 0o600
    elsewhere = load_settings(telephony_data_dir=tmp_path / "other")
    assert subject_key(elsewhere).of(NUMBER) != first.of(NUMBER)
    given = load_settings(telephony_data_dir=tmp_path / "none", telephony_number_key="sixteen letters.")
    assert subject_key(given).of(NUMBER) == SubjectKey(b"sixteen letters.").of(NUMBER)
    assert not (tmp_path / "none").exists()


def _fingerprint(folder: Path, barrier: Any, found: Any) -> None:
    settings = load_settings(telephony_data_dir=folder)
    barrier.wait(120)
    found.put(subject_key(settings).fingerprint)


def test_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, found = spawn.Barrier(2), spawn.Queue()
    processes = [spawn.Process(target=_fingerprint, args=(tmp_path, barrier, found)) for _ in range(2)]
    for process in processes:
        process.start()
    fingerprints = {found.get(timeout=120) for _ in processes}
    for process in processes:
        process.join(30)
    assert len(fingerprints) == 1 and [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_data_directory_that_cannot_be_written_to_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = load_settings(telephony_data_dir=tmp_path / "file")
    for use in (subject_key, open_records):
        with pytest.raises(SettingsError, match="TELEPHONY_DATA_DIR"):
            use(settings)


def test_without_a_setting_the_records_are_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("TELEPHONY_DATA_DIR")
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert settings.records_url == "sqlite:///telephony-data/records.db"
    records = open_records(settings)
    assert records is not None
    assert records.call("CA1") is None
    records.close()
    assert (tmp_path / "telephony-data" / "records.db").exists()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "telephony-data").write_text("")
    assert open_records(load_settings()) is None and "in memory" in caplog.text


@pytest.mark.real_time
async def test_a_process_with_another_key_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path}/records.db"
    async with RecordsClient(DatabaseRecords(url)) as first, RecordsClient(DatabaseRecords(url)) as other:
        await first.check_key(SubjectKey(b"of the records"))
        await other.check_key(SubjectKey(b"of the records"))
        assert not caplog.records
        await other.check_key(SubjectKey(b"another"))
        await first.check_key(SubjectKey(b"of this process", is_kept=False))
    error, warning = caplog.records
    assert error.levelname == "ERROR" and "another TELEPHONY_NUMBER_KEY" in error.message
    assert warning.levelname == "WARNING" and "set TELEPHONY_NUMBER_KEY" in warning.message
