"""Replaying recorded calls: what stays the same, how differences are reported, and what never happens."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.extent import extent
from realtime_core import RealtimeAgent, function_tool, realtime_handoff
from telephony.errors import JournalError, ReplayError
from telephony.journal.format import SCHEMA, Record
from telephony.journal.redaction import redaction
from telephony.replay.batch import Job, junit_of, run, spread_of, spread_text
from telephony.replay.call import NotCalled
from telephony.replay.compare import Tolerances
from telephony.replay.mark_timing import MarkTiming, StreamPosition
from telephony.replay.no_network import no_network
from telephony.replay.page import page_of
from telephony.replay.recording_files import add, find, renew
from telephony.replay.replaying import read, replay_call
from telephony.replay.report import data_of, text_of
from tests.support.recorded_calls import AGENT, recorded, tools_run

EXAMPLE = Path(__file__).parents[2] / "examples" / "booking_tests"
OVER_SOCKETS = EXAMPLE / "tests" / "calls" / "booking.jsonl.gz"
"""A call that was recorded over real sockets, in real time."""


def test_a_call_over_sockets_comes_out_the_same_three_times() -> None:
    calls = [replay_call(OVER_SOCKETS) for _ in range(3)]
    assert [call.divergence for call in calls] == [None] * 3
    first, *others = ([record for record in call.records if record.kind != "end"] for call in calls)
    assert all(other == first for other in others)


@pytest.mark.parametrize("kind", ["demo", "breaks_in", "keys", "let_go"])
def test_what_was_recorded_in_virtual_time_replays_to_the_millisecond(kind: str) -> None:
    call = replay_call(recorded(kind), AGENT, strict=True)
    assert call.divergence is None, call.divergence
    assert call.notes == []


def test_the_call_as_data() -> None:
    call = replay_call(OVER_SOCKETS)
    assert call.tool("book_table").arguments == {"day": "Friday", "people": 2}
    assert call.tool("book_table").output == "Booked. The confirmation number is 2711."
    assert call.called("hang_up") and not call.called("transfer")
    with pytest.raises(NotCalled, match=r"transfer was called 0 times.*book_table"):
        call.tool("transfer")
    (cut,) = call.interruptions
    assert cut.heard_text.startswith("Your table for two") and "tagliatelle" in cut.unheard_text
    assert cut.told_ms == pytest.approx(cut.heard_ms, abs=20) and cut.silence_after_ms <= 60
    assert call.goodbye_heard and call.ended == "agent hung up"
    assert 500 < call.longest_silence_ms < 3000 and call.underruns == 0 and call.silence_prompts == 0
    assert len(call.response_latencies_ms) == 2 and call.median_latency_ms is not None
    assert call.usage.tokens["output_audio"] > 0
    assert call.usage.cost(dict.fromkeys(call.usage.tokens, 10.0)) == pytest.approx(
        sum(call.usage.tokens.values()) / 1e5
    )


def test_tools_of_the_user_never_run() -> None:
    recorded("books")  # which runs them
    before = list(tools_run)
    for options in ({}, {"caller": "simulated"}, {"caller": "simulated", "model": "trattoria"}):
        assert replay_call(recorded("books"), AGENT, **options).called("book_table")  # type: ignore[arg-type]
    assert tools_run == before
    replay_call(recorded("books"), AGENT, run_tools=True)
    assert tools_run == [*before, "book_table"]


def test_callbacks_of_handoffs_and_hooks_do_not_run_either() -> None:
    ran = []
    kitchen = RealtimeAgent[object](name="Kitchen")
    handoff = realtime_handoff(kitchen, on_handoff=lambda context: ran.append("handoff"))
    agent = AGENT.clone(handoffs=[handoff], tools=[*AGENT.tools, {"type": "mcp", "server_label": "shop"}])
    from telephony.replay.recorded_tools import RecordedTools

    copied = RecordedTools([]).replace_in(agent)
    assert isinstance(copied, RealtimeAgent) and len(copied.tools) == len(AGENT.tools)
    (target_handoff,) = copied.handoffs
    assert (
        not isinstance(target_handoff, RealtimeAgent)
        and target_handoff.target is not kitchen
        and target_handoff.target.name == "Kitchen"
    )
    with pytest.raises(StopIteration) as done:
        target_handoff.on_invoke_handoff(None, "{}").send(None)  # type: ignore[attr-defined, arg-type]
    assert done.value.value.name == "Kitchen" and ran == []


def test_a_changed_prompt_is_reported_and_is_no_divergence() -> None:
    changed = AGENT.clone(instructions="You answer for Trattoria Rossa.")
    call = replay_call(recorded("books"), changed)
    assert call.divergence is None
    assert [note.what for note in call.notes] == ["session.update: session changed"]
    assert replay_call(recorded("books"), changed, strict=True).divergence is not None


def test_a_tool_that_is_gone_is_reported() -> None:
    call = replay_call(recorded("books"), AGENT.clone(tools=[]))
    assert call.divergence is not None
    assert "DIVERGED. The recorded model calls book_table, and the agent has no such tool now." in text_of(call)
    assert "tool book_table did not happen" in {each.what for each in call.comparison.divergences}


def test_a_divergence_says_what_came_before_it() -> None:
    call = replay_call(recorded("demo"), AGENT, tolerances=Tolerances(heard_ms=-1.0))
    assert call.divergence is not None
    assert "conversation.item.truncate: audio_end_ms" in call.divergence.what
    assert any("input_audio_buffer.speech_started" in line for line in call.divergence.context)


# --- over another line, with another model, with another caller -------------------------------------------------------


@pytest.mark.parametrize("seed", range(extent(1, 3)))
def test_the_same_model_over_a_bad_line(seed: int) -> None:
    call = replay_call(OVER_SOCKETS, caller="simulated", round_trip_ms=180, jitter_ms=50, stall_ms=300, seed=seed)
    assert call.divergence is None, call.divergence
    assert call.violations == [] and call.goodbye_heard and call.underruns == 0
    assert 100 <= call.interruptions[0].silence_after_ms <= 700


def test_the_recorded_caller_and_another_model() -> None:
    verbatim = replay_call(recorded("demo"), AGENT, caller="simulated", model="trattoria")
    assert verbatim.divergence is None, verbatim.divergence
    retimed = replay_call(recorded("demo"), AGENT, caller="simulated", model="trattoria", turns="retimed")
    assert [tool.arguments for tool in retimed.tools] == [tool.arguments for tool in verbatim.tools]
    assert len(retimed.interruptions) == 1


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(ReplayError, match='caller="simulated"'):
        replay_call(OVER_SOCKETS, round_trip_ms=50)
    with pytest.raises(ReplayError, match="Re-timed"):
        replay_call(OVER_SOCKETS, caller="simulated", turns="retimed")


def test_a_mark_keeps_its_place_between_frames_that_came_in_one_moment() -> None:
    """uvloop's clock has milliseconds, and after a stall many frames come in one of them."""
    curve, times = MarkTiming(), [17.73, 17.816, 17.817, 17.817, 17.823]
    curve.sent(Record(17.0, "twilio.out", {"message": {"event": "media", "bytes": 800}}))
    curve.sent(Record(17.0, "twilio.out", {"message": {"event": "mark", "mark": {"name": "m"}}}))
    for index, t in enumerate(times):
        curve.frame(t, index)
        if index == 0:
            curve.returned(17.73, "m", index)
    curve.settle()
    assert curve.due(StreamPosition(samples=800 + 3 * 160), 17.0) == (17.817, 3.5), "behind the third frame after it"


# --- recordings ------------------------------------------------------------------------------------------------------


def test_a_masked_recording_replays_as_the_original(tmp_path: Path) -> None:
    masked = add(recorded("demo"), "masked", tmp_path, redaction(patterns=["Friday"], audio=True))
    call = replay_call(masked)
    assert call.divergence is None, call.divergence
    assert read(masked).header["redaction"] == {"digits": True, "patterns": 1, "audio": True}
    assert "Friday" not in call.transcript and call.interruptions[0].told_ms is not None


@pytest.mark.parametrize("schema", range(1, SCHEMA + 1))
def test_a_stored_journal_of_each_schema_replays(schema: int) -> None:
    """The first version with the schema wrote the journal. Such a journal is never written again."""
    path = Path(__file__).parent / "journals" / f"schema_{schema}.jsonl.gz"
    assert read(path).schema == schema
    call = replay_call(path)
    assert call.divergence is None, call.divergence
    assert len(call.original.interruptions) == 1 and call.original.audio.mismatches == 0


def test_a_recording_is_renewed(tmp_path: Path) -> None:
    path = tmp_path / "calls" / "booking.jsonl.gz"
    path.parent.mkdir()
    shutil.copy(OVER_SOCKETS, path)
    changed = AGENT.clone(instructions="Something else.")
    assert replay_call(path, changed, strict=True).divergence is not None
    renew(path, replay_call(path, changed, strict=True))
    again = replay_call(path, changed, strict=True)
    assert again.divergence is None, again.divergence
    assert find("booking", tmp_path) == path
    with pytest.raises(ReplayError, match="no recording 'other'"):
        find("other", tmp_path)


def test_a_journal_without_a_stream_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"t":0.0,"kind":"header","schema":2}\n')
    with pytest.raises(JournalError, match="nothing to replay"):
        read(path)


# --- reports ---------------------------------------------------------------------------------------------------------


def test_reports() -> None:
    same = replay_call(recorded("demo"), AGENT)
    other = replay_call(recorded("demo"), AGENT, tolerances=Tolerances(heard_ms=-1.0))
    assert json.loads(json.dumps(data_of(other)))["divergence"]["kind"] == "changed"
    assert "no divergence" in text_of(same)
    result = text_of(other)
    assert "DIVERGED" in result and "recorded:" in result and "| now" in result
    page = page_of(other, "demo")
    assert page.html.count("<svg") == 2 and page.html.count("<h1>") == 1
    assert "http://" not in page.html.replace("http://www.w3.org", "")
    assert all(f'src="{name}"' in page.html and wav.startswith(b"RIFF") for name, wav in page.audio.items())


def test_many_replays_and_their_spread() -> None:
    jobs = [
        Job(recorded("books"), None, nth, 2, options={"caller": "simulated", "jitter_ms": 40.0, "seed": nth})
        for nth in (1, 2)
    ]
    results = list(run(jobs, workers=2))
    spread = spread_of(results)
    assert spread["n"] == 2 and spread["tools"] == {"book_table": 2} and spread["diverged"] == 0
    assert spread["response_latency_ms"]["least"] <= spread["response_latency_ms"]["greatest"]
    assert "2 times: 0 diverged" in spread_text(spread) and "response latency: " in spread_text(spread)
    broken = list(run([Job(Path("/none"))]))
    suite = ElementTree.fromstring(junit_of([*results, *broken]))
    assert suite.attrib | {"name": ""} == {"name": "", "tests": "3", "failures": "0", "errors": "1"}


def test_there_is_no_network_in_a_replay() -> None:
    @function_tool
    def unused() -> str:
        """Does nothing."""
        return ""

    def calls_home(context: object, agent: object) -> str:
        socket.create_connection(("192.0.2.1", 80), timeout=1)
        return "unreachable"

    agent = RealtimeAgent[object](name="Desk", instructions=calls_home, tools=[unused])
    with no_network():
        call = replay_call(recorded("demo"), agent)
        with pytest.raises(ReplayError, match="example"):
            socket.getaddrinfo("example.com", 80)
    assert call.ended.startswith("failed: There is no network in a replay")
    assert socket.socket.connect.__qualname__ == "socket.connect"
