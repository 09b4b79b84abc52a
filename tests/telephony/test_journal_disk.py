"""Disks that fail, fill up or hang: the journal loses records and reports it, and the call loses nothing."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from realtime_core import RealtimeAgent
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony import create_app
from telephony.call.registry import Registry
from telephony.doctor.local import check_journal_folder
from telephony.errors import SettingsError, StreamRefused
from telephony.journal.daemon import in_daemon
from telephony.journal.disk import Disk, Files
from telephony.journal.journals import Journals, JournalState
from telephony.journal.reader import read_journal
from telephony.journal.writer import JournalWriter
from telephony.settings import load_settings
from telephony.simulator.handset import Handset
from telephony.twilio.media_stream import Start, decode
from telephony.web.stream_admission import StreamAdmission
from tests.support.journal_disk import wait_until_taken
from tests.support.phone_calls import PhoneCall, phone_call

CALL = {"CallSid": "CA1", "From": "+14155550123", "To": "+14155550199", "AccountSid": "AC1", "CallStatus": "ringing"}


class Faulty(Files):
    """A disk on which one operation, or every one, raises this error as long as `fault` is set."""

    def __init__(self, error: int, *operations: str) -> None:
        self.fault = error
        self.operations = operations

    def _ask(self, operation: str) -> None:
        if self.fault and operation in self.operations:
            raise OSError(self.fault, os.strerror(self.fault))

    def create(self, path: Path) -> tuple[Path, int]:
        self._ask("create")
        return super().create(path)

    def write(self, fd: int, data: memoryview) -> int:
        self._ask("write")
        return super().write(fd, data)

    def close(self, fd: int) -> None:
        super().close(fd)
        self._ask("close")

    def probe(self, folder: Path) -> None:
        self._ask("probe")
        super().probe(folder)


class Hanging(Files):
    """A disk that answers nothing until it is `free`. `requested` is set when the first operation waits."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.free = threading.Event()

    def _hang(self) -> None:
        self.requested.set()
        assert self.free.wait(60)

    def create(self, path: Path) -> tuple[Path, int]:
        self._hang()
        return super().create(path)

    def probe(self, folder: Path) -> None:
        self._hang()
        super().probe(folder)

    def close(self, fd: int) -> None:
        self._hang()
        super().close(fd)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    files = Hanging()
    yield files
    files.free.set()


# --- a folder that cannot be used ------------------------------------------------------------------------------------


def a_file_in_the_way(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "calls"


def a_file_of_that_name(folder: Path) -> Path:
    (folder / "calls").write_text("")
    return folder / "calls"


def a_name_too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


def a_loop_of_links(folder: Path) -> Path:
    (folder / "calls").symlink_to(folder / "calls")
    return folder / "calls"


def one_that_takes_no_files(folder: Path) -> Path:
    return Path("/proc/self/calls")


UNUSABLE = [a_file_in_the_way, a_file_of_that_name, a_name_too_long, a_loop_of_links, one_that_takes_no_files]


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_a_folder_that_cannot_be_used_costs_no_call(
    unusable: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings(telephony_journal_dir=unusable(tmp_path), telephony_api_token="token")
    with TestClient(create_app(RealtimeAgent(name="Desk"), settings=settings), client=("127.0.0.1", 1)) as client:
        client.base_url = "http://127.0.0.1"
        for n in range(3):
            assert "<Stream " in client.post("/incoming-call", data={**CALL, "CallSid": f"CA{n}"}).text
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["journals"]) == (200, "unavailable")
        metrics = client.get("/metrics", headers={"Authorization": "Bearer token"}).text
        assert "telephony_journals_available 0.0" in metrics
    result = [record for record in caplog.records if record.name.startswith("telephony.journal")]
    assert [record.levelname for record in result] == ["ERROR"], "once, not for each call"
    assert "Calls continue without journals" in result[0].getMessage()


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_the_doctor_says_that_a_folder_cannot_be_used(unusable: Any, tmp_path: Path) -> None:
    finding = virtual_time.run(check_journal_folder(load_settings(telephony_journal_dir=unusable(tmp_path))))
    assert (finding.about, finding.state) == ("journals", "wrong")
    assert "TELEPHONY_JOURNAL_DIR" in finding.advice


def test_the_doctor_leaves_no_trace_in_a_good_folder(tmp_path: Path) -> None:
    settings = load_settings(telephony_journal_dir=tmp_path / "a" / "b")
    assert virtual_time.run(check_journal_folder(settings)).state == "ok"
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_says_that_a_disk_does_not_answer(tmp_path: Path, hanging: Hanging) -> None:
    settings = load_settings(telephony_journal_dir=tmp_path)

    async def main() -> None:
        finding = await check_journal_folder(settings, hanging, within_s=0.01)
        assert finding.state == "wrong" and "no answer" in finding.message

    asyncio.run(main())


@pytest.mark.parametrize("error", [errno.EROFS, errno.ENOSPC, errno.EACCES, errno.EMFILE, errno.EDQUOT, errno.EIO])
def test_a_journal_that_cannot_be_made_is_off(error: int, tmp_path: Path) -> None:
    disk = Disk(Faulty(error, "create"), flush_s=0.001)
    journal = JournalWriter(tmp_path / "journal.jsonl", disk=disk)
    for n in range(5):
        journal.write("tick", 0.1 * n)
    assert journal.finish(10)
    assert journal.error is not None and journal.error.errno == error
    assert os.strerror(error) in disk.fault
    assert journal.lost == disk.lost == 5
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_works_again_is_found_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = Faulty(errno.EROFS, "create", "probe")
    result: list[tuple[bool, int]] = []

    async def main() -> None:
        disk = Disk(files, flush_s=0.001, on_change=lambda fault: None)
        async with Journals(tmp_path / "calls", disk=disk) as journals:
            assert journals.state is JournalState.UNAVAILABLE and journals.takes_calls
            watch = asyncio.create_task(journals.watch(lambda available, lost: result.append((available, lost))))
            lost = journals.open("CA1")
            lost.write("tick", 0.0)
            lost.close()
            await in_daemon(lambda: wait_until_taken(disk), "wait")
            await asyncio.sleep(30)
            assert journals.state is JournalState.UNAVAILABLE and result[-1] == (False, 1)
            files.fault = 0
            await asyncio.sleep(6)
            await in_daemon(lambda: disk.checked(10), "wait")
            await asyncio.sleep(2)
            assert result[-1] == (True, 1)
            kept = journals.open("CA2")
            kept.write("tick", 0.0)
            kept.close()
            watch.cancel()

    virtual_time.run(main())
    assert [path.parent.name for path in tmp_path.rglob("journal.jsonl")] == ["CA2"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "can be written again; 1 journal record" in caplog.records[1].getMessage()


# --- where a journal is required -------------------------------------------------------------------------------------


def test_where_a_journal_is_required_new_calls_are_turned_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings(
        telephony_journal_dir=a_file_in_the_way(tmp_path),
        telephony_journal_required=True,
        telephony_when_full="say:Please call later.",
        telephony_api_token="token",
    )
    with TestClient(create_app(RealtimeAgent(name="Desk"), settings=settings), client=("127.0.0.1", 1)) as client:
        client.base_url = "http://127.0.0.1"
        for n in range(3):
            answer = client.post("/incoming-call", data={**CALL, "CallSid": f"CA{n}"})
            assert answer.status_code == 200
            assert "Please call later." in answer.text and "<Stream" not in answer.text
        assert client.get("/readyz").status_code == 503
        metrics = client.get("/metrics", headers={"Authorization": "Bearer token"}).text
        assert 'telephony_calls_refused_total{reason="journal"} 3.0' in metrics
    result = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(result) == 2 and all("TELEPHONY_JOURNAL_REQUIRED" in message for message in result), result


def test_where_a_journal_is_required_a_stream_that_nobody_announced_is_turned_away() -> None:
    async def main() -> None:
        registry = Registry(10, lambda: False)
        assert not registry.has_room
        with pytest.raises(StreamRefused, match="no room"):
            start = decode(json.dumps(START))
            assert isinstance(start, Start)
            await StreamAdmission(load_settings(), registry, Sources(1)).admit(start)

    virtual_time.run(main())


START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA9",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    },
}


def test_a_required_journal_needs_a_folder() -> None:
    with pytest.raises(SettingsError, match="TELEPHONY_JOURNAL_DIR"):
        load_settings(telephony_journal_required=True)


# --- a disk that hangs -----------------------------------------------------------------------------------------------


async def hello(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("hello")
    await phone.agent_speaks()
    phone.hang_up()


def heard(call: PhoneCall) -> bytes:
    return bytes(call.peer.heard)


def test_a_disk_that_hangs_stops_no_call(tmp_path: Path, hanging: Hanging) -> None:
    """An event loop that waited for the disk would never end this call: the disk is free after it."""
    plain = virtual_time.run(phone_call(hello), seed=1)
    disk = Disk(hanging, flush_s=0.001)
    path = tmp_path / "calls" / "journal.jsonl"
    journal = JournalWriter(path, disk=disk)
    call = virtual_time.run(phone_call(hello, journal=lambda info: journal), seed=1)
    assert hanging.requested.wait(60) and not path.exists()
    assert call.outcome.reason == "hung up"
    assert heard(call) == heard(plain), "the caller heard the same"
    hanging.free.set()
    assert journal.finish(10)
    records = list(read_journal(path))
    assert records[0].kind == "header" and records[-1].kind == "end" and journal.lost == 0


def test_a_journal_in_a_fifo_without_a_reader_stops_no_call(tmp_path: Path) -> None:
    """The kernel's own hanging open."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    class Fifo(Files):
        def create(self, path: Path) -> tuple[Path, int]:
            return path, os.open(fifo, os.O_WRONLY)  # until somebody reads

    journal = JournalWriter(tmp_path / "journal.jsonl", disk=Disk(Fifo(), flush_s=0.001))
    call = virtual_time.run(phone_call(hello, journal=lambda info: journal), seed=1)
    assert call.outcome.reason == "hung up" and not journal.closed.is_set()
    reader = os.open(fifo, os.O_RDONLY)
    drained = threading.Thread(target=lambda: iter(lambda: os.read(reader, 2**16), b"").__next__())
    drained.start()
    with os.fdopen(reader, "rb") as file:
        drained.join()
        lines = file.read().splitlines()
    assert journal.finish(10)
    assert json.loads(lines[-1])["kind"] == "end"


def test_a_disk_that_hangs_is_reported_after_a_while(tmp_path: Path, hanging: Hanging) -> None:
    now = [0.0]
    disk = Disk(hanging, flush_s=0.001, clock=lambda: now[0], stalled_s=2.0)
    journals = Journals(tmp_path, disk=disk, required=True)
    journal = journals.open("CA1")
    journal.write("tick", 0.0)
    assert hanging.requested.wait(60)
    now[0] = 1.9
    assert journals.state is JournalState.OK and journals.takes_calls
    now[0] = 2.0
    assert journals.state is JournalState.UNAVAILABLE and not journals.takes_calls
    assert "has not answered for 2 s" in journals.fault
    hanging.free.set()
    wait_until_taken(disk)
    while journals.fault:
        threading.Event().wait(0.001)
    assert journals.takes_calls
    journal.close()
    assert disk.settle(10)


def test_an_application_ends_though_the_disk_hangs(
    tmp_path: Path, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telephony.journal.journals._CLOSE_S", 0.05)

    async def main() -> None:
        async with Journals(tmp_path, disk=Disk(hanging, stalled_s=0.01)) as journals:
            journals.open("CA1").close()

    asyncio.run(main())
    assert not hanging.free.is_set()


def test_while_the_disk_hangs_all_journals_together_take_so_much_memory(tmp_path: Path, hanging: Hanging) -> None:
    disk = Disk(hanging, flush_s=0.001, max_queued_chars=2000)
    journals = [JournalWriter(tmp_path / str(n) / "journal.jsonl", disk=disk) for n in range(3)]
    for n in range(30):
        for journal in journals:
            journal.write("tick", n / 10, text="x" * 50)
    assert disk.taken - disk.written <= 2000
    lost = [journal.lost for journal in journals]
    assert sum(lost) == disk.lost > 30
    hanging.free.set()
    wait_until_taken(disk)
    for journal in journals:
        journal.write("tock", 9.0)
        assert journal.finish(10)
    for journal, missing in zip(journals, lost, strict=True):
        records = list(read_journal(journal.path))
        assert [r.kind for r in records] == [*["tick"] * (30 - missing), "lost", "tock"]
        assert records[-2].data == {"records": missing}


def test_what_was_dropped_last_is_reported_at_the_end(tmp_path: Path, hanging: Hanging) -> None:
    disk = Disk(hanging, flush_s=0.001, max_queued_chars=100)
    journal = JournalWriter(tmp_path / "journal.jsonl", disk=disk)
    for n in range(10):
        journal.write("tick", n / 10, text="x" * 20)
    journal.close()
    hanging.free.set()
    assert journal.finish(10)
    *kept, last = read_journal(journal.path)
    assert last.kind == "lost" and last.data == {"records": 10 - len(kept)} and kept


# --- a disk that fails in mid-call -----------------------------------------------------------------------------------


def test_a_disk_that_fails_in_mid_call_loses_records_and_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = Faulty(0, "write")
    disk = Disk(files, flush_s=0.001)
    journal = JournalWriter(tmp_path / "journal.jsonl", disk=disk)

    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        files.fault = errno.ENOSPC
        await phone.agent_silent(1.0)
        await phone.say("hello")
        await phone.agent_speaks()
        phone.hang_up()

    call = virtual_time.run(phone_call(caller, journal=lambda info: journal), seed=1)
    assert call.outcome.reason == "hung up"
    assert journal.finish(10)
    records = list(read_journal(journal.path))
    assert records == [] or records[0].kind == "header"
    assert journal.lost == disk.lost > 0
    result = [record for record in caplog.records if record.name.startswith("telephony.journal")]
    assert [record.levelname for record in result] == ["ERROR"]


def test_the_loss_is_reported_where_the_disk_takes_records_again(tmp_path: Path) -> None:
    files = Faulty(0, "write")
    disk = Disk(files, flush_s=0.001)
    journal = JournalWriter(tmp_path / "journal.jsonl", disk=disk)
    for n in range(9):
        files.fault = errno.ENOSPC if 3 <= n < 6 else 0
        journal.write("tick", float(n), n=n)
        wait_until_taken(disk)
    assert journal.finish(10)
    result = [(record.kind, record.t, record.data) for record in read_journal(journal.path)]
    assert result == [
        *(("tick", float(n), {"n": n}) for n in range(3)),
        ("lost", 6.0, {"records": 3}),
        *(("tick", float(n), {"n": n}) for n in range(6, 9)),
    ]
    assert journal.lost == 3


@pytest.mark.parametrize("room", range(0, 200, 7))
def test_a_write_that_ends_in_the_middle_of_a_line_leaves_whole_lines(room: int, tmp_path: Path) -> None:
    class Filling(Files):
        """Takes so many bytes, and later as many as one likes."""

        room = 0

        def write(self, fd: int, data: memoryview) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            n = super().write(fd, data[: self.room])
            self.room -= n
            return n

    files = Filling()
    files.room = room
    disk = Disk(files, flush_s=3600)
    journal = JournalWriter(tmp_path / "journal.jsonl", disk=disk)
    for n in range(5):
        journal.write("tick", float(n), n=n)
    disk.wake()
    wait_until_taken(disk)
    files.room = 10**6
    journal.write("tock", 9.0)
    assert journal.finish(10)
    lines = [json.loads(line) for line in journal.path.read_bytes().splitlines()]
    kept = [line["n"] for line in lines if line["kind"] == "tick"]
    assert kept == list(range(len(kept)))
    if len(kept) < 5:
        assert lines[len(kept)] == {"t": 9.0, "kind": "lost", "records": 5 - len(kept)}
    assert lines[-1]["kind"] == "tock" and journal.lost == 5 - len(kept)


def test_an_error_while_closing_is_reported_and_ends_nothing(tmp_path: Path) -> None:
    disk = Disk(Faulty(errno.EIO, "close"), flush_s=0.001)
    first, second = (JournalWriter(tmp_path / name / "journal.jsonl", disk=disk) for name in "ab")
    for journal in (first, second):
        journal.write("tick", 0.0)
    assert first.finish(10) and second.finish(10)
    assert "Input/output error" in disk.fault
    assert [len(list(read_journal(journal.path))) for journal in (first, second)] == [1, 1]


def test_dev_full_takes_nothing_and_ends_nothing(tmp_path: Path) -> None:
    class Full(Files):
        def create(self, path: Path) -> tuple[Path, int]:
            return path, os.open("/dev/full", os.O_WRONLY)

    disk = Disk(Full(), flush_s=0.001)
    journal = JournalWriter(tmp_path / "journal.jsonl", disk=disk)
    for n in range(3):
        journal.write("tick", float(n))
        wait_until_taken(disk)
    assert journal.finish(10)
    assert journal.lost == 3 and "No space left" in disk.fault


CHILD = """
import resource, sys
from pathlib import Path
from telephony.journal.disk import Disk
from telephony.journal.writer import JournalWriter
if sys.argv[2] == "file size":
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
disk = Disk(flush_s=0.001)
journals = [JournalWriter(Path(sys.argv[1]) / name / "journal.jsonl", disk=disk) for name in "ab"]
for n in range(400):
    for journal in journals:
        journal.write("tick", n / 10, n=n, text="x" * 300)
print(all([journal.finish(20) for journal in journals]), disk.lost, disk.fault)
"""


def test_a_file_that_may_grow_no_more_ends_with_a_whole_line(tmp_path: Path) -> None:
    assert resource.RLIMIT_FSIZE
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), "file size"], capture_output=True, text=True, check=True
    )
    finished, lost, fault = child.stdout.split(maxsplit=2)
    assert finished == "True" and "File too large" in fault
    assert child.stderr.count("Journals cannot be written") == 1
    kept = 0
    for name in "ab":
        content = (tmp_path / name / "journal.jsonl").read_bytes()
        assert len(content) <= 10_000 and content.endswith(b"\n")
        records = list(read_journal(tmp_path / name / "journal.jsonl"))
        ticks = [record.data["n"] for record in records if record.kind == "tick"]
        assert ticks == list(range(len(ticks))) and ticks
        kept += len(ticks)
    assert int(lost) == 800 - kept


@pytest.mark.parametrize(
    ("options", "journals"), [("size=64k", (1, 2)), ("size=1m,nr_inodes=4", (1,)), ("size=1m,ro", (0,))]
)
def test_a_small_file_system_takes_what_fits(options: str, journals: tuple[int, ...], tmp_path: Path) -> None:
    """A real file system that is full, has no inodes left, or is read-only."""
    if shutil.which("unshare") is None:
        pytest.skip("this machine has no unshare, which makes a mount of one's own")
    last_line = 'find "$1" -name "*.jsonl" -exec tail -n1 {} ";"'
    script = f'mount -t tmpfs -o {options} tmpfs "$1" && "$2" -c "$3" "$1" "" && {last_line}'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script, "sh", str(tmp_path), sys.executable, CHILD],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode and "ermi" in done.stderr:
        pytest.skip("this machine lets nobody mount a file system")
    result, *last_lines = done.stdout.splitlines()
    finished, lost, fault = result.split(maxsplit=2)
    assert finished == "True" and int(lost) > 0 and fault
    assert done.stderr.count("Journals cannot be written") == 1
    assert len(last_lines) in journals
    assert all(json.loads(line)["kind"] in ("tick", "lost") for line in last_lines)


# --- nothing of it on the event loop ---------------------------------------------------------------------------------


def test_only_the_journals_thread_touches_the_disk(tmp_path: Path) -> None:
    threads: set[str] = set()

    class Watched(Files):
        def create(self, path: Path) -> tuple[Path, int]:
            threads.add(threading.current_thread().name)
            return super().create(path)

        def write(self, fd: int, data: memoryview) -> int:
            threads.add(threading.current_thread().name)
            return super().write(fd, data)

        def close(self, fd: int) -> None:
            threads.add(threading.current_thread().name)
            super().close(fd)

        def probe(self, folder: Path) -> None:
            threads.add(threading.current_thread().name)
            super().probe(folder)

    async def main() -> None:
        async with Journals(tmp_path, disk=Disk(Watched(), flush_s=0.001)) as journals:
            await phone_call(hello, journal=lambda info: journals.open(info.sid))

    virtual_time.run(main(), seed=1)
    assert threads == {"journals"}
    assert len(list(tmp_path.rglob("journal.jsonl"))) == 1


def test_the_thread_ends_with_the_last_journal_and_comes_back(tmp_path: Path) -> None:
    disk = Disk(flush_s=0.001)
    for name in "ab":
        journal = JournalWriter(tmp_path / name / "journal.jsonl", disk=disk)
        thread = disk._thread
        assert thread is not None
        journal.write("tick", 0.0)
        assert journal.finish(10)
        thread.join(10)
        assert not thread.is_alive()
        assert len(list(read_journal(journal.path))) == 1


def test_a_lost_report_is_logged(tmp_path: Path, hanging: Hanging, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        disk = Disk(hanging, flush_s=0.001, max_queued_chars=100, stalled_s=3600)
        journals = Journals(tmp_path, disk=disk)
        journal = journals.open("CA1")
        for n in range(20):
            journal.write("tick", n / 10, text="x" * 20)
        watch = asyncio.create_task(journals.watch(lambda available, lost: None))
        await asyncio.sleep(10)
        watch.cancel()
        journal.close()

    with caplog.at_level(logging.WARNING):
        virtual_time.run(main())
    assert len(caplog.records) == 1 and "too slow" in caplog.records[0].getMessage()


@pytest.mark.parametrize(("n_journals", "n_turns"), [(15, 1), (16, 2), (60, 4), (200, 8)])
def test_many_journals_are_written_in_turns_and_all_at_once_when_the_thread_is_woken(
    n_journals: int, n_turns: int, tmp_path: Path
) -> None:
    hanging = Hanging()
    disk = Disk(hanging)
    journals = [JournalWriter(tmp_path / f"{number}.jsonl", disk=disk) for number in range(n_journals)]
    rounds = [disk._due(False) for _ in range(2 * n_turns)]
    assert max(map(len, rounds)) <= 1 + n_journals // n_turns
    assert sorted(map(id, sum(rounds, ()))) == sorted([*map(id, journals)] * 2)
    assert disk._due(True) == tuple(journals)
    hanging.free.set()
    for journal in journals:
        assert journal.finish(60)


def test_lines_of_more_than_one_piece_are_all_written(tmp_path: Path, hanging: Hanging) -> None:
    disk = Disk(hanging, flush_s=0.001)
    journal = JournalWriter(tmp_path / "journal.jsonl", disk=disk)
    for n in range(1000):
        journal.write("tick", n / 10, n=n)
    hanging.free.set()
    assert journal.finish(60)
    assert [record.data["n"] for record in read_journal(journal.path)] == list(range(1000))
    assert disk.taken == disk.written
