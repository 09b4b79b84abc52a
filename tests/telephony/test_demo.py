"""`telephony demo`: whole calls, in virtual time and over real sockets between real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from realtime_core.connection.memory import memory_pair
from realtime_core.local import LocalRealtimeServer
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony.call.session import CallOptions, run_call
from telephony.cli.app import app
from telephony.demo.agent import agent
from telephony.demo.caller_measurements import CallerMeasurements, measure_at_caller
from telephony.demo.in_memory import call_in_memory
from telephony.demo.plan import DemoCall, Plan
from telephony.journal.audio import CallAudio, rebuild
from telephony.journal.collector import collect
from telephony.journal.disk import settle
from telephony.journal.reader import read_journal
from telephony.journal.writer import JournalWriter
from telephony.simulator import Line, MediaPeer, callers
from telephony.simulator.events import as_dict
from tests.support import commands

FILES = ["call.wav", "figures.json", "journal.jsonl", "timeline.png", "transcript.txt"]
VARIABLES = "OPENAI_API_KEY OPENAI_BASE_URL TWILIO_AUTH_TOKEN PUBLIC_URL DATABASE_URL PORT LOG_LEVEL TELEPHONY_MODEL"
RUBBISH = dict.fromkeys(VARIABLES.split(), "rubbish")
SHORT_CALL = 'steps = [{ agent_speaks = 10 }, { heard = 1.0 }, { press = "1" }, { hang_up = true }]\n'


def demo(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["demo", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


# --- in virtual time --------------------------------------------------------------------------------------------------


def test_the_demonstration_shows_what_it_should(tmp_path: Path) -> None:
    figures = demo("--fast", "--folder", str(tmp_path))
    phone, counts = figures["ear"], figures["counts"]
    assert len(phone["barge_in_to_silence_ms"]) == 1 and phone["barge_in_to_silence_ms"][0] <= 60
    assert abs(phone["truncation_error_ms"][0]) <= 20
    assert (phone["underruns"], phone["violations"], phone["wav_shift_ms"]) == ([], 0, 0.0)
    assert (counts["tool_calls"], counts["clears"], counts["keys"], counts["samples_mismatched"]) == (1, 1, 1, 0)
    assert [turn["after"] for turn in figures["response_latency_ms"]["turns"]] == ["speech", "speech", "key", "speech"]
    folder = tmp_path / figures["call_sid"]
    assert sorted(path.name for path in folder.iterdir()) == FILES
    transcript = (folder / "transcript.txt").read_text()
    assert "Caller  Hello. For two, Friday, at seven P.M." in transcript
    assert "tool book_table(" in transcript and "[not heard: " in transcript
    assert transcript.rstrip().endswith("Thank you for calling Trattoria Blu. Goodbye!")


def test_one_seed_gives_one_journal(tmp_path: Path) -> None:
    journals = []
    for seed in ("7", "7", "8"):
        sid = demo("--fast", "--seed", seed, "--folder", str(tmp_path))["call_sid"]
        journals.append((tmp_path / sid / "journal.jsonl").read_bytes())
    assert journals[0] == journals[1] != journals[2]


def measured(demo_call: DemoCall) -> tuple[CallAudio, CallerMeasurements]:
    call = collect(read_journal(demo_call.journal))
    audio = rebuild(call)
    assert audio.mismatches == call.malformed == 0
    return audio, measure_at_caller(call, audio, demo_call.events, demo_call.heard)


def test_the_right_side_of_the_wav_is_what_was_heard(tmp_path: Path) -> None:
    plan = Plan(None, None, live=False, run_tools=False, folder=tmp_path, verbose=False)
    demo_call = call_in_memory(plan, agent, "Greet the caller.", seed=1)
    assert measured(demo_call)[0].agent == demo_call.heard


def ring_on(line: Line, folder: Path) -> DemoCall:
    async def call() -> DemoCall:
        here, there = memory_pair()
        sources = Sources(line.seed)
        peer = MediaPeer(here, line=line, sources=sources.fork("phone"))
        async with LocalRealtimeServer("trattoria", in_memory=True, sources=sources.fork("model")) as model:
            journal = folder / "journal.jsonl"
            options = CallOptions(
                "Greet.", model_config=model.model_config, journal=lambda info: JournalWriter(journal)
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(run_call(there, agent, options))
                await peer.run(callers.demo)
        return DemoCall(journal, [as_dict(event) for event in peer.events], peer.heard)

    demo_call = virtual_time.run(call, seed=line.seed)
    settle()
    return demo_call


@pytest.mark.parametrize(
    ("line", "within_ms"),
    [
        (Line(round_trip_s=0.12, seed=1), 1),
        (Line(round_trip_s=0.03, start_delay_s=0.15, seed=2), 1),
        (Line(ticks=True, drift_ppm=100.0, seed=3), 25),
        (Line(round_trip_s=0.08, jitter_s=0.05, seed=4), 40),
    ],
)
def test_the_wav_keeps_to_the_ear_on_real_lines(line: Line, within_ms: float, tmp_path: Path) -> None:
    _, truth = measured(ring_on(line, tmp_path))
    assert truth.violations == 0
    assert truth.wav_shift_ms is not None and abs(truth.wav_shift_ms) <= within_ms
    assert len(truth.barge_ins) == 1 and abs(truth.barge_ins[0].error_ms) <= max(within_ms, 2)


CHARGING = """
from pathlib import Path
from realtime_core import RealtimeAgent, function_tool

@function_tool
async def charge_card(amount: int) -> str:
    "Charge the caller's card."
    Path("charged").write_text(str(amount))
    return "charged"

agent = RealtimeAgent(name="Shop", instructions="You answer for Shop.", tools=[charge_card])
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "chargingshop.py").write_text(CHARGING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_tools_of_a_given_agent_run_only_with_the_option(shop: Path) -> None:
    figures = demo("chargingshop:agent", "--fast")
    assert figures["counts"]["tool_calls"] >= 1
    assert not (shop / "charged").exists()
    demo("chargingshop:agent", "--fast", "--run-tools")
    assert (shop / "charged").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--live"], 1, "--live needs a key."),
        (["--live", "--fast"], 2, "--live cannot be used with"),
        (["--seed", "1"], 2, "--seed needs --fast"),
        (["--fast", "--script", "nothere.toml"], 1, "nothere.toml"),
        (["--caller", "nobody"], 1, "There is no caller 'nobody'"),
        (["--caller", "nothere.toml"], 1, "nothere.toml cannot be read"),
        (["--folder", "/dev/null/calls"], 1, "cannot be created"),
    ],
)
def test_demos_that_are_not_possible_end_with_a_message(
    arguments: list[str], code: int, complaint: str, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    result = CliRunner().invoke(app, ["demo", *arguments])
    assert result.exit_code == code
    assert result.stderr.startswith("telephony: ") and complaint in result.stderr
    assert "Traceback" not in result.stderr


# --- over sockets -----------------------------------------------------------------------------------------------------


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    (folder / "short.toml").write_text(SHORT_CALL)
    command = ("-m", "telephony", "demo", "--caller", "short.toml", *arguments)
    pipe = subprocess.PIPE
    return commands.start(*command, cwd=folder, env={**os.environ, **RUBBISH}, stdout=pipe, stderr=pipe)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_demo_of_three_processes_ignores_settings_of_the_environment(tmp_path: Path) -> None:
    with start(tmp_path, "--json") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    figures = json.loads(out)
    assert figures["counts"]["caller_frames"] > 50 and figures["greeting_ms"] > 0
    assert figures["ear"]["violations"] == 0  # a busy machine makes underruns and a late greeting
    assert abs(figures["ear"]["wav_shift_ms"]) <= 20
    assert sorted(path.name for path in (tmp_path / "calls" / figures["call_sid"]).iterdir()) == FILES


def test_what_is_printed_where_there_is_no_terminal(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "\x1b" not in out and not err
    lines = out.splitlines()
    assert lines[0].startswith("The embedded model answers. It is no AI.")
    assert any("Agent   Hello, " in line for line in lines)
    assert any(line.startswith("Server CPU") for line in lines)
    assert lines[-1].startswith(f"calls{os.sep}CA") and lines[-1].endswith(", ".join(FILES))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_is_left_when_it_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path, "--caller", "patient") as process:
        deadline = time.monotonic() + 30
        while len(children := children_of(process.pid)) < 3 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        assert len(children) == 3
        process.send_signal(number)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def test_a_model_that_does_not_start_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("greeting = 5\n")
    with start(tmp_path, "--script", "bad.toml") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("telephony: The model did not start. It said: bad.toml") and len(err.splitlines()) == 1
