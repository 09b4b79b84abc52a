"""Journals are copied to object storage after their calls: none is lost, none is copied while it is written."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from telephony.errors import StorageError
from telephony.journal.compression import compress
from telephony.journal.disk import Disk
from telephony.journal.file_lock import lock
from telephony.journal.journals import Journals
from telephony.journal.object_storage import ObjectStorage
from telephony.journal.uploads import SENT, JournalUploads, Upload, compress_now, send, unsent

LINE = json.dumps({"t": 0.0, "kind": "header", "schema": 4}) + "\n"


class Storage(ObjectStorage):
    """A folder that refuses the next `failures` files. `before` runs before each copy."""

    def __init__(self, folder: Path, *, failures: int = 0, before: Callable[[], object] = lambda: None) -> None:
        super().__init__(f"file://{folder}")
        self.failures, self.before = failures, before

    def put(self, sid: str, file: Path) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageError("store: not today")
        self.before()
        super().put(sid, file)


def call(folder: Path, sid: str, text: str = LINE) -> Path:
    (folder / sid).mkdir(parents=True)
    (folder / sid / "journal.jsonl").write_text(text)
    return folder / sid


def stored(storage: ObjectStorage, tmp_path: Path) -> dict[str, str]:
    """The uncompressed journals in the storage."""
    found = {each.sid: storage.get(each, tmp_path / "copies") for each in storage.all()}
    return {sid: gzip.decompress(path.read_bytes()).decode() for sid, path in found.items()}


@contextmanager
def running(uploads: JournalUploads) -> Iterator[None]:
    task = asyncio.get_running_loop().create_task(uploads.run())
    try:
        yield
    finally:
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - of virtual time
        await asyncio.sleep(1.0)


def uploads_of(folder: Path, storage: ObjectStorage, **given: Any) -> JournalUploads:
    options = {"keeps_local": False, "ended": list, "compress": compress}
    return JournalUploads(folder, storage, **{**options, **given})


# --- one call --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keeps_local", [True, False])
def test_a_journal_is_compressed_and_copied_once(keeps_local: bool, tmp_path: Path) -> None:
    folder, storage = call(tmp_path / "calls", "CA1"), Storage(tmp_path / "store")
    (folder / "voicemail.wav").write_bytes(b"RIFF")
    assert unsent(tmp_path / "calls") == ["CA1"]
    assert send(folder, storage, keeps_local=keeps_local, compress=compress)
    assert [each.name for each in storage.all()] == ["journal.jsonl.gz", "voicemail.wav"]
    assert unsent(tmp_path / "calls") == []
    assert (folder / "journal.jsonl.gz").exists() == keeps_local == folder.exists()
    storage.failures = 1
    assert send(folder, storage, keeps_local=keeps_local), "what was sent is not sent again"


def test_a_file_that_comes_later_is_copied_too(tmp_path: Path) -> None:
    folder, storage = call(tmp_path / "calls", "CA1"), Storage(tmp_path / "store")
    send(folder, storage, keeps_local=True, compress=compress)
    (folder / "voicemail.wav").write_bytes(b"RIFF")
    assert unsent(tmp_path / "calls") == ["CA1"]
    send(folder, storage, keeps_local=True)
    assert [each.name for each in storage.all()] == ["journal.jsonl.gz", "voicemail.wav"]


def test_a_file_that_is_written_during_the_upload_is_not_deleted(tmp_path: Path) -> None:
    folder = call(tmp_path / "calls", "CA1")
    storage = Storage(tmp_path / "store", before=lambda: (folder / "voicemail.wav").write_bytes(b"RIFF"))
    send(folder, storage, keeps_local=False, compress=compress)
    assert [each.name for each in folder.iterdir()] == ["voicemail.wav"]


@pytest.mark.parametrize("lines", [0, 1], ids=["just begun", "with lines"])
def test_a_journal_that_is_being_written_is_left_alone(lines: int, tmp_path: Path) -> None:
    storage, disk = Storage(tmp_path / "store"), Disk(flush_s=0.001)
    journals = Journals(tmp_path / "calls", storage=storage, disk=disk)
    journal: Any = journals.open("CA1")
    for _ in range(lines):
        journal.write("header", 0.0, schema=4)
    path = tmp_path / "calls" / "CA1" / "journal.jsonl"
    while not path.exists() or (lines and not path.stat().st_size):
        disk.wake()
    assert not send(path.parent, storage, keeps_local=False, compress=compress)
    assert path.exists() and storage.all() == [] and journals.ended() == []
    journal.write("end", 1.0)
    assert journal.finish(60) and journals.ended() == ["CA1"] and journals.ended() == []
    assert send(path.parent, storage, keeps_local=False, compress=compress)
    assert '"kind":"end"' in stored(storage, tmp_path)["CA1"]


def test_two_processes_do_not_copy_one_call_at_a_time(tmp_path: Path) -> None:
    folder, storage = call(tmp_path / "calls", "CA1"), Storage(tmp_path / "store")
    other = os.open(folder, os.O_RDONLY)
    assert lock(other) and not send(folder, storage, keeps_local=True, compress=compress)
    os.close(other)
    assert send(folder, storage, keeps_local=True, compress=compress)


def test_the_lock_of_a_killed_process_is_gone(tmp_path: Path) -> None:
    folder, storage = call(tmp_path / "calls", "CA1"), Storage(tmp_path / "store")
    program = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); print(); input()"
    command = [sys.executable, "-ISc", program, str(folder / "journal.jsonl")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert not send(folder, storage, keeps_local=True, compress=compress)
        process.kill()
        process.wait()
        assert send(folder, storage, keeps_local=True, compress=compress)


def test_a_call_that_is_erased_while_it_is_copied_is_not_left_in_the_storage(tmp_path: Path) -> None:
    folder = call(tmp_path / "calls", "CA1")

    class Erasing(Storage):
        def put(self, sid: str, file: Path) -> None:
            super().put(sid, file)
            shutil.rmtree(folder)

    storage = Erasing(tmp_path / "store")
    send(folder, storage, keeps_local=True, compress=compress)
    assert storage.all() == []


def test_a_journal_that_cannot_be_compressed_stays(tmp_path: Path) -> None:
    folder, storage = call(tmp_path / "calls", "CA1"), Storage(tmp_path / "store")
    (folder / "journal.jsonl.gz").mkdir()  # the compression cannot replace it
    with pytest.raises(OSError, match="could not be compressed"):
        compress_now(folder / "journal.jsonl")
    with pytest.raises(OSError):
        send(folder, storage, keeps_local=False, compress=compress)
    assert (folder / "journal.jsonl").read_text() == LINE and storage.all() == []


# --- all calls -------------------------------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_journals_of_earlier_processes_are_found_and_copied(tmp_path: Path) -> None:
    storage, results = Storage(tmp_path / "store"), list[Upload]()
    for number in range(6):
        call(tmp_path / "calls", f"CA{number}")
    (tmp_path / "calls" / "notes").mkdir()
    with running(uploads_of(tmp_path / "calls", storage, on_attempt=results.append)):
        await until(lambda: len(results) == 6)
    assert stored(storage, tmp_path) == {f"CA{number}": LINE for number in range(6)}
    assert results == [Upload.SENT] * 6 and [each.name for each in (tmp_path / "calls").iterdir()] == ["notes"]


@pytest.mark.virtual_time
async def test_a_failed_copy_is_repeated_with_growing_pauses_and_counted(tmp_path: Path) -> None:
    clock = asyncio.get_running_loop().time
    storage, times, results = Storage(tmp_path / "store", failures=9), list[float](), list[Upload]()
    waiting: list[tuple[int, float]] = []

    def attempted(result: Upload) -> None:
        times.append(clock())
        results.append(result)

    call(tmp_path / "calls", "CA1")
    uploads = uploads_of(tmp_path / "calls", storage, on_attempt=attempted, on_waiting=lambda *now: waiting.append(now))
    with running(uploads):
        await until(lambda: Upload.SENT in results)
        await until(lambda: waiting[-1] == (0, 0.0))
    assert results == [Upload.FAILED] * 9 + [Upload.SENT]
    pauses = [round(later - earlier, -1) for earlier, later in pairwise(times[1:])]
    assert pauses == sorted(pauses) and 590 <= pauses[-1] <= 630, pauses
    assert max(age for _, age in waiting) > 1800, "the age is what the alert looks at"


@pytest.mark.virtual_time
async def test_attempts_are_bounded_and_the_next_start_begins_anew(tmp_path: Path) -> None:
    storage, results = Storage(tmp_path / "store", failures=10**6), list[Upload]()
    call(tmp_path / "calls", "CA1")
    with running(uploads_of(tmp_path / "calls", storage, on_attempt=results.append, max_attempts=4)):
        await until(lambda: Upload.GIVEN_UP in results)
        await asyncio.sleep(1200)
    assert results == [Upload.FAILED] * 3 + [Upload.GIVEN_UP]
    assert (tmp_path / "calls" / "CA1" / "journal.jsonl.gz").exists(), "it stays on this machine"
    storage.failures = 0
    with running(uploads_of(tmp_path / "calls", storage, on_attempt=results.append)):
        await until(lambda: results[-1] is Upload.SENT)


@pytest.mark.virtual_time
async def test_an_ended_call_is_copied_at_once_also_if_it_was_given_up(tmp_path: Path) -> None:
    clock = asyncio.get_running_loop().time
    storage, results, ended = Storage(tmp_path / "store"), list[Upload](), list[str]()

    def taken() -> Iterable[str]:
        now, ended[:] = list(ended), []
        return now

    with running(uploads_of(tmp_path / "calls", storage, ended=taken, on_attempt=results.append, keeps_local=True)):
        await asyncio.sleep(5)
        call(tmp_path / "calls", "CA1")
        ended.append("CA1")
        begun = clock()
        await until(lambda: bool(results))
        assert clock() - begun < 30
    assert json.loads((tmp_path / "calls" / "CA1" / SENT).read_text()).keys() == {"journal.jsonl.gz"}
