"""Journals in object storage, with each kind of backend: a folder, fsspec's memory, and a real S3 API (moto)."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from realtime_core.testing import virtual_time
from telephony.doctor.local import check_journal_storage
from telephony.errors import JournalError, SettingsError, StorageError
from telephony.journal.object_storage import ObjectStorage
from telephony.journal.stored_journals import StoredJournals, journal_of
from telephony.settings import load_settings
from tests.support.object_stores import s3_server


def written(folder: Path, content: bytes, name: str = "journal.jsonl.gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def a_file_is_put_found_read_and_deleted(storage: ObjectStorage, tmp_path: Path) -> None:
    storage.check()
    assert storage.all() == [] and storage.find("CA1") == [] and storage.delete("CA1") == 0
    storage.put("CA1", written(tmp_path / "a", b"first"))
    storage.put("CA1", written(tmp_path / "a", b"message", "voicemail.wav"))
    storage.put("CA2", written(tmp_path / "b", b"second"))
    assert [(each.sid, each.name, each.n_bytes) for each in storage.all()] == [
        ("CA1", "journal.jsonl.gz", 5), ("CA1", "voicemail.wav", 7), ("CA2", "journal.jsonl.gz", 6)
    ]  # fmt: skip
    assert abs(storage.all()[0].written - datetime.now(UTC)) < timedelta(minutes=5)
    stored = journal_of(storage, "CA1")
    assert stored is not None
    copy = storage.get(stored, tmp_path / "copies")
    assert copy.read_bytes() == b"first" and stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert storage.delete("CA1") == 2
    assert [each.sid for each in storage.all()] == ["CA2"]


def an_object_is_never_overwritten_by_another_one(storage: ObjectStorage, tmp_path: Path) -> None:
    for content in (b"first", b"first", b"another"):
        storage.put("CA1", written(tmp_path / "a", content))
    assert [(each.name, each.n_bytes) for each in storage.all()] == [
        ("journal-2.jsonl.gz", 7), ("journal.jsonl.gz", 5)
    ]  # fmt: skip
    stored = journal_of(storage, "CA1")
    assert stored is not None and stored.n_bytes == 5


def names_that_are_no_calls_reach_nothing(storage: ObjectStorage, tmp_path: Path) -> None:
    storage.put("CA1", written(tmp_path / "a", b"first"))
    for name in ("", ".", "..", "CA1/..", "*"):
        assert storage.find(name) == [] and storage.delete(name) == 0
    assert len(storage.all()) == 1


def a_call_is_found_by_the_beginning_of_its_sid_if_there_is_one(storage: ObjectStorage, tmp_path: Path) -> None:
    for sid in ("CA11", "CA12", "CA1"):
        storage.put(sid, written(tmp_path / sid, sid.encode()))
    with StoredJournals(tmp_path / "none", storage) as journals:
        copies = [journals.find("CA1"), journals.find("CA12")]
        assert [copy.read_bytes() for copy in copies] == [b"CA1", b"CA12"]
        assert journals.find("CA11").parent.name == "CA11"
        with pytest.raises(JournalError):
            journals.find("CA")
        storage.delete("CA11")
        storage.delete("CA1")
        assert journals.find("CA").read_bytes() == b"CA12"
    assert not any(copy.exists() for copy in copies), "the copies are deleted"
    assert journal_of(storage, "CA", exact=True) is None


def old_objects_are_purged(storage: ObjectStorage, tmp_path: Path) -> None:
    storage.put("CA1", written(tmp_path / "a", b"first"))
    journals, now = StoredJournals(tmp_path / "none", storage), datetime.now(UTC)
    assert journals.purge(days=1, now=now) == []
    later = now + timedelta(days=2)
    assert [sid for sid, _ in journals.purge(days=1, now=later, dry_run=True)] == ["CA1"]
    assert len(storage.all()) == 1
    assert [sid for sid, _ in journals.purge(days=1, now=later)] == ["CA1"]
    assert storage.all() == []


def a_failure_of_the_backend_is_an_error_of_ours(storage: ObjectStorage, tmp_path: Path) -> None:
    missing = ObjectStorage("s3://no-such-bucket/journals")
    for use in (missing.check, lambda: missing.put("CA1", written(tmp_path / "a", b"first"))):
        with pytest.raises(StorageError, match=r"no-such-bucket.*Check TELEPHONY_JOURNAL_STORE"):
            use()


EVERYWHERE = [
    a_file_is_put_found_read_and_deleted,
    an_object_is_never_overwritten_by_another_one,
    names_that_are_no_calls_reach_nothing,
    a_call_is_found_by_the_beginning_of_its_sid_if_there_is_one,
    old_objects_are_purged,
]


@pytest.mark.parametrize("backend", ["file", "memory"])
@pytest.mark.parametrize("behaves", EVERYWHERE, ids=lambda behaves: behaves.__name__)
def test_object_storage(behaves: Callable[[ObjectStorage, Path], None], backend: str, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store/journals" if backend == "file" else f"memory://{tmp_path.name}/journals"
    behaves(ObjectStorage(url), tmp_path)


def test_object_storage_with_a_server_that_speaks_s3(tmp_path: Path) -> None:
    """One test, because the server takes seconds to start."""
    with s3_server() as buckets:
        for behaves in (*EVERYWHERE, a_failure_of_the_backend_is_an_error_of_ours):
            behaves(ObjectStorage(next(buckets)), tmp_path / behaves.__name__)


def test_files_in_a_folder_are_private(tmp_path: Path) -> None:
    ObjectStorage(f"file://{tmp_path}/store").put("CA1", written(tmp_path / "a", b"first"))
    assert stat.S_IMODE((tmp_path / "store" / "CA1" / "journal.jsonl.gz").stat().st_mode) == 0o600


@pytest.mark.parametrize("url", ["calls/store", "s3://key:secret@bucket/journals"])
def test_an_address_that_is_no_url_or_has_a_password_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(telephony_journal_store=url, telephony_journal_dir=tmp_path)
    assert "TELEPHONY_JOURNAL_STORE" in str(refused.value) and "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url, state", [("memory://doctor", "ok"), ("file:///dev/null/below", "wrong"), ("nosuch://bucket", "wrong")]
)
def test_the_doctor_writes_there(url: str, state: str, tmp_path: Path) -> None:
    settings = load_settings(telephony_journal_store=url, telephony_journal_dir=tmp_path)
    (found,) = virtual_time.run(check_journal_storage(settings))
    assert (found.state == state and url in found.message) or "nosuch" in found.message
    assert virtual_time.run(check_journal_storage(load_settings())) == []


def test_a_store_without_a_folder_for_journals_is_refused() -> None:
    with pytest.raises(SettingsError, match="TELEPHONY_JOURNAL_DIR"):
        load_settings(telephony_journal_store="memory://calls")


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(SettingsError, match=r"TELEPHONY_JOURNAL_STORE.*nosuch"):
        ObjectStorage("nosuch://bucket").connect()
