"""The commands around recorded calls, and the pytest fixture, as a user meets them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import wave
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from realtime_core import RealtimeAgent
from realtime_core.audio import g711
from realtime_core.sources import Sources
from telephony import create_app
from telephony.cli.app import app
from telephony.errors import JournalError
from telephony.journal.collector import collect
from telephony.journal.compression import compress
from telephony.journal.imported import import_twilio
from telephony.journal.reader import read_journal
from telephony.journal.store import purge, stored_calls
from telephony.journal.stored_journals import StoredJournals, purge_daily
from telephony.replay.replaying import replay_call
from telephony.settings import load_settings
from telephony.simulator import clips
from tests.support import commands
from tests.support.environment import NO_OTHER_PLUGINS, PLUGINS
from tests.support.recorded_calls import recorded

EXAMPLE = Path(__file__).parents[2] / "examples" / "booking_tests"
RECORDING = EXAMPLE / "tests" / "calls" / "booking.jsonl.gz"


def telephony(*arguments: object, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == exit_code, result.output
    return result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two calls, one of them compressed."""
    for n, kind in enumerate(("demo", "breaks_in"), 1):
        (tmp_path / f"CA{n}").mkdir()
        shutil.copy(recorded(kind), tmp_path / f"CA{n}" / "journal.jsonl")
    compress(tmp_path / "CA2" / "journal.jsonl")
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_calls_are_listed_and_shown(folder: Path) -> None:
    assert [call["sid"] for call in json.loads(telephony("calls", "list", "--folder", folder, "--json"))] == [
        "CA1",
        "CA2",
    ]
    outcome = telephony("calls", "show", "CA1", "--folder", folder, "--wav", folder / "call.wav")
    assert "tool book_table" in outcome and "hung up" in outcome
    with wave.open(str(folder / "call.wav")) as file:
        assert file.getnchannels() == 2
    assert json.loads(telephony("calls", "show", folder / "CA2", "--json"))["ended"] == "hung up"
    assert "no calls of that name" in telephony("calls", "show", "CA3", "--folder", folder, exit_code=1)


def test_old_calls_are_purged_and_nothing_else(folder: Path) -> None:
    os.utime(folder / "CA1" / "journal.jsonl", (0, 0))
    assert "would be deleted" in telephony("calls", "purge", "--folder", folder, "--dry-run")
    assert len(stored_calls(folder)) == 2
    assert "CA1" in telephony("calls", "purge", "--folder", folder, "--days", 7)
    assert sorted(path.name for path in folder.iterdir()) == ["CA2", "notes"]
    gone = purge(folder, days=1, now=datetime(2100, 1, 1, tzinfo=UTC))
    assert [call.sid for call in gone] == ["CA2"]


@pytest.mark.virtual_time
async def test_a_server_that_has_a_number_of_days_removes_old_calls_each_day(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(folder / "CA1" / "journal.jsonl", (0, 0))
    now = datetime.now(UTC)
    keeps = asyncio.create_task(purge_daily(StoredJournals(folder), 7, _Dated(now)))
    await asyncio.sleep(1)
    assert [call.sid for call in stored_calls(folder)] == ["CA2"]
    os.utime(folder / "CA2" / "journal.jsonl.gz", (0, 0))
    await asyncio.sleep(3600)
    assert len(stored_calls(folder)) == 1
    await asyncio.sleep(86_400)
    assert stored_calls(folder) == []
    keeps.cancel()
    assert not load_settings(telephony_journal_dir=folder).purges_journals, "not by a default"
    monkeypatch.setenv("TELEPHONY_JOURNAL_DAYS", "7")
    assert load_settings().purges_journals


class _Dated(Sources):
    def __init__(self, now: datetime) -> None:
        super().__init__(1)
        self._now = now

    def now(self) -> datetime:
        return self._now


def test_a_server_purges_when_it_starts(folder: Path) -> None:
    os.utime(folder / "CA1" / "journal.jsonl", (0, 0))
    settings = load_settings(telephony_journal_dir=folder, telephony_journal_days=7)
    with TestClient(create_app(RealtimeAgent(name="Desk"), settings=settings)) as client:
        for _ in range(200):
            client.get("/healthz")
            if not (folder / "CA1").exists():
                break
    assert sorted(path.name for path in folder.iterdir()) == ["CA2", "notes"]


def test_replaying_shows_the_result_in_its_exit_code(folder: Path, tmp_path: Path) -> None:
    page, junit = tmp_path / "page.html", tmp_path / "junit.xml"
    assert "no divergence" in telephony("replay", folder, "--html", page, "--junit", junit)
    links = re.findall(r'<a href="([^"]+)"', page.read_text())
    assert [(tmp_path / link).read_text().count("<svg") for link in links] == [2, 2]
    assert ElementTree.parse(junit).getroot().attrib["failures"] == "0"
    outcome = json.loads(telephony("replay", RECORDING, "--strict", "--json", exit_code=3))
    assert outcome["results"][0]["diverged"] and outcome["results"][0]["divergence"]["what"]
    spread = json.loads(
        telephony("replay", RECORDING, "--mode", "simulated", "--jitter-ms", 30, "--repeat", 2, "--json")
    )
    assert spread["spreads"][0]["tools"] == {"book_table": 2, "hang_up": 2}
    telephony("replay", RECORDING, "--mode", "upside down", exit_code=2)
    telephony("replay", RECORDING, "--mode", "live", exit_code=1)
    telephony("replay", tmp_path / "none.jsonl", exit_code=1)


def project(folder: Path) -> Path:
    """A copy of the example project."""
    return Path(shutil.copytree(EXAMPLE, folder / "project", ignore=shutil.ignore_patterns("__pycache__")))


def run_pytest(where: Path, *arguments: str, installed: bool = False) -> subprocess.CompletedProcess[str]:
    """`installed`: pytest finds our plugins as it finds those of every package."""
    command = ["-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", ".", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    if not installed:
        command += PLUGINS
        environment |= NO_OTHER_PLUGINS
    return commands.run(*command, *arguments, cwd=where, env=environment)


def test_the_example_project(tmp_path: Path) -> None:
    done = run_pytest(project(tmp_path), "tests", "--call-pages", "pages", installed=True)
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout
    pages = tmp_path / "project" / "pages"
    assert (
        len(re.findall('<a href="test_', (pages / "index.html").read_text()))
        == 5
        == len(list(pages.glob("test_*.html")))
    )


def test_a_change_is_found_shown_and_taken(tmp_path: Path) -> None:
    where = project(tmp_path)
    test = where / "tests" / "test_booking.py"
    test.write_text(
        "def test_strictly(replay):\n"
        "    call = replay('booking', agent='desk:agent', strict=True)\n"
        "    assert call.divergence is None, call.divergence\n"
    )
    failed = run_pytest(where, "tests")
    assert failed.returncode == 1 and "recorded:" in failed.stdout
    updated = run_pytest(where, "tests", "--update-calls")
    assert updated.returncode == 0 and "is renewed" in updated.stdout, updated.stdout
    assert replay_call(where / "tests" / "calls" / "booking.jsonl.gz", strict=True).divergence is None


def test_from_a_call_to_a_test(folder: Path, tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    telephony("calls", "test", "add", "CA1", "--name", "table", "--into", tests, "--folder", folder)
    written = (tests / "test_table.py").read_text()
    assert 'assert call.tool("book_table").arguments == {"day": "Friday", "people": 2, "time": "19:00"}' in written
    done = run_pytest(tmp_path, "tests")
    assert done.returncode == 0, done.stdout
    telephony("calls", "test", "add", "CA1", "--name", "table", "--into", tests, "--folder", folder, exit_code=1)
    telephony("calls", "test", "add", "CA1", "--name", "a table", "--into", tests, "--folder", folder, exit_code=1)


def test_from_a_folder_of_calls_to_tests(folder: Path, tmp_path: Path) -> None:
    twilio_log(tmp_path / "server.log", clips.load("booking"))
    telephony("calls", "import", tmp_path / "server.log", "--folder", folder)
    (folder / "broken").mkdir()
    (folder / "broken" / "journal.jsonl").write_text("{}\n")
    tests = tmp_path / "tests"
    said = telephony("calls", "test", "add", folder, "--agent", "desk:agent", "--name", "kept", "--into", tests)
    assert "2 recordings in" in said
    written = (tests / "test_kept.py").read_text()
    assert re.findall(r"^def (\w+)", written, re.MULTILINE) == ["test_CA1", "test_CA2"]
    assert written.count('agent="desk:agent"') == 2 and written.count("call.assert_same()") == 2
    assert sorted(path.name for path in (tests / "calls").iterdir()) == ["CA1.jsonl.gz", "CA2.jsonl.gz"]
    telephony("calls", "test", "add", folder, "--name", "again", "--into", tests, exit_code=1)
    telephony("calls", "test", "add", folder / "CA1", "--into", tests, exit_code=2)
    assert not (tests / "test_again.py").exists()


# --- calls that others recorded --------------------------------------------------------------------------------------


def twilio_log(path: Path, voice: bytes) -> None:
    """As people log them: with a prefix, frames of both ways, and things that are no messages."""
    start = {
        "event": "start",
        "streamSid": "MZ1",
        "start": {"callSid": "CAlogged", "streamSid": "MZ1", "customParameters": {}},
    }
    start["start"]["mediaFormat"] = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}  # type: ignore[index]
    lines = ["server started", "INFO:ws: " + json.dumps({"event": "connected"}), json.dumps(start)]
    for at in range(0, len(voice), 160):
        payload = base64.b64encode(voice[at : at + 160].ljust(160, b"\xff")).decode()
        lines.append("12:00:01 < " + json.dumps({"event": "media", "streamSid": "MZ1", "media": {
            "track": "inbound", "chunk": "1", "timestamp": str(at // 8), "payload": payload}}))  # fmt: skip
        lines.append("12:00:01 > " + json.dumps({"event": "media", "streamSid": "MZ1", "media": {"payload": payload}}))
    lines.append(json.dumps({"event": "stop", "streamSid": "MZ1", "stop": {"callSid": "CAlogged"}}))
    path.write_text("\n".join(lines))


def test_the_logged_messages_of_a_stream(tmp_path: Path) -> None:
    voice = g711.SILENCE * 24000 + clips.load("booking") + g711.SILENCE * 80000
    twilio_log(tmp_path / "server.log", voice)
    telephony("calls", "import", tmp_path / "server.log", "--folder", tmp_path)
    journal = tmp_path / "CAlogged" / "journal.jsonl"
    assert bytes(collect(read_journal(journal)).caller)[: len(voice)] == voice
    call = replay_call(journal, caller="simulated", model="trattoria")
    assert any(turn.speaker == "caller" for turn in call.turns) and call.violations == []
    (tmp_path / "nothing.log").write_text("nothing")
    with pytest.raises(JournalError, match="no `start`"):
        import_twilio(tmp_path / "nothing.log", tmp_path)


def test_a_stereo_wav(tmp_path: Path) -> None:
    rate = 16000
    t = np.arange(rate * 3) / rate
    sides = np.stack([np.sin(2 * np.pi * 300 * t) * 8000, np.sin(2 * np.pi * 700 * t) * 4000 * (t > 1)], axis=1)
    with wave.open(str(tmp_path / "take.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sides.astype("<i2").tobytes())
    telephony("calls", "import", tmp_path / "take.wav", "--folder", tmp_path)
    shown = telephony("calls", "show", "CAtake", "--folder", tmp_path, "--wav", tmp_path / "again.wav")
    assert "3.0 s" in shown
    with wave.open(str(tmp_path / "again.wav")) as file:
        again = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).astype(float)
    expected = sides[::2]
    for side in (0, 1):
        assert np.corrcoef(again[: len(expected), side], expected[: len(again), side])[0, 1] > 0.99
    mono = tmp_path / "mono.wav"
    mono.write_bytes(
        (tmp_path / "take.wav").read_bytes()[:22] + b"\x01\x00" + (tmp_path / "take.wav").read_bytes()[24:]
    )
    telephony("calls", "import", mono, "--folder", tmp_path, exit_code=1)
