"""A replay says what it shows and what it cannot show. An option that cannot have an effect is refused."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from realtime_core import function_tool
from telephony.cli.app import app
from telephony.errors import ReplayError
from telephony.replay import pytest_plugin
from telephony.replay.batch import Job, run, summary_text, write_page
from telephony.replay.call import CallDiffers, ReplayedCall
from telephony.replay.cause import cause_of
from telephony.replay.changes import changes_between, changes_of_settings
from telephony.replay.compare import Divergence
from telephony.replay.replaying import replay_call
from telephony.replay.report import PROVES, data_of, text_of
from tests.support import commands
from tests.support.environment import NO_OTHER_PLUGINS, PLUGINS
from tests.support.recorded_calls import AGENT, recorded, say_goodbye

EXAMPLE = Path(__file__).parents[2] / "examples" / "booking_tests"
RECORDING = EXAMPLE / "tests" / "calls" / "booking.jsonl.gz"


# --- the arguments of the recorded model -----------------------------------------------------------------------------


async def renamed(day: str, guests: int, time: str) -> str:
    """Book a table; returns the confirmation."""
    return ""


async def with_one_more(day: str, people: int, time: str, name: str) -> str:
    """Book a table; returns the confirmation."""
    return ""


async def with_one_less(day: str, people: int) -> str:
    """Book a table; returns the confirmation."""
    return ""


async def of_another_type(day: str, people: list[str], time: str) -> str:
    """Book a table; returns the confirmation."""
    return ""


async def renamed_and_optional(day: str, time: str, guests: int = 2) -> str:
    """Book a table; returns the confirmation."""
    return ""


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        (renamed, "'guests' is required; there is no parameter 'people'"),
        (with_one_more, "'name' is required"),
        (with_one_less, "there is no parameter 'time'"),
        (of_another_type, "people: 2 is not of type 'array'"),
        (renamed_and_optional, "there is no parameter 'people'"),
    ],
)
def test_recorded_arguments_that_no_longer_fit_fail(tool: Any, says: str) -> None:
    changed = function_tool(tool, name_override="book_table", strict_mode=False)
    call = replay_call(recorded("books"), AGENT.clone(tools=[changed, say_goodbye]))
    assert call.divergence is not None and call.divergence.kind == "schema"
    sentence = call.divergence.sentence
    assert sentence.startswith("book_table no longer takes the recorded arguments: ") and says in sentence


def test_they_fail_on_another_line_too() -> None:
    changed = function_tool(renamed, name_override="book_table")
    call = replay_call(recorded("books"), AGENT.clone(tools=[changed, say_goodbye]), caller="simulated")
    assert call.divergence is not None and call.divergence.kind == "schema"


async def described(day: str, people: int, time: str) -> str:
    """Reserve a table."""
    return ""


async def with_an_optional_one(day: str, people: int, time: str, note: str = "") -> str:
    """Book a table; returns the confirmation."""
    return ""


@pytest.mark.parametrize("tool", [described, with_an_optional_one])
def test_recorded_arguments_that_still_fit_pass(tool: Any) -> None:
    changed = function_tool(tool, name_override="book_table", strict_mode=False)
    call = replay_call(recorded("books"), AGENT.clone(tools=[changed, say_goodbye]))
    assert call.divergence is None, call.divergence
    assert any("book_table" in change.subject for change in call.changes)


def test_the_recorded_agent_takes_the_recorded_arguments() -> None:
    assert replay_call(recorded("books")).divergence is None


# --- what changed, and is not judged ---------------------------------------------------------------------------------


def test_changed_instructions_and_voice_are_named_and_not_judged() -> None:
    call = replay_call(recorded("books"), AGENT.clone(instructions="You are rude.", voice="marin"))
    assert call.divergence is None
    assert {change.subject for change in call.unjudged} == {"instructions", "voice"}
    text = text_of(call)
    assert "this mode cannot judge it: use `telephony eval`" in text
    assert "'You answer for Trattoria Blu.' -> 'You are rude.'" in text
    data = json.loads(json.dumps(data_of(call)))
    assert len(data["changes"]) == 2 and "use `telephony eval`" in data["proves"]


def detects_turns_at_the_server(options: Any) -> None:
    options.run_config = {**options.run_config, "model_settings": {"turn_detection": {"type": "server_vad"}}}


def test_a_changed_setting_of_the_model_is_named() -> None:
    call = replay_call(recorded("books"), AGENT, configure=detects_turns_at_the_server)
    assert any("turn_detection.type" in change.subject for change in call.changes), call.changes


def test_the_command_takes_a_function_that_changes_the_options_of_the_calls() -> None:
    job = Job(recorded("books"), options={"configure": f"{__name__}:{detects_turns_at_the_server.__name__}"})
    (result,) = run([job])
    assert any("turn_detection.type" in str(change) for change in result["changes"]), result["changes"]
    shown = CliRunner().invoke(app, ["replay", str(recorded("books")), "--configure", "nowhere:function"])
    assert shown.exit_code != 0
    assert "nowhere" in shown.output


def test_an_unchanged_agent_has_no_changes() -> None:
    call = replay_call(recorded("books"), AGENT)
    assert call.changes == [] and "Changed" not in text_of(call)
    call.assert_same()  # also without pytest


def test_todays_model_is_compared_where_it_is_set() -> None:
    header = {"config": {"run_config": {"model_settings": {"model_name": "a"}}}}
    session = {"audio": {"input": {"transcription": {"model": "t"}}}}
    today = {"model_name": "b", "input_audio_transcription": None}
    assert list(map(str, changes_of_settings(header, session, today))) == [
        "model: a -> b",
        "transcription model: t -> off",
    ]
    assert list(changes_of_settings(header, session, {"model_name": "a"})) == []


def test_of_a_long_prompt_the_changed_words_are_shown() -> None:
    then, now = (" ".join(["Be kind."] * 60 + [word] + ["Be brief."] * 60) for word in ("Confirm the date.", "Hurry."))
    (change,) = changes_between(
        *([{"type": "session.update", "session": {"instructions": each}}] for each in (then, now))
    )
    assert "Confirm the date." in change.then and "Hurry." in change.now and len(str(change)) < 200


# --- options without an effect ---------------------------------------------------------------------------------------

WITHOUT_EFFECT: list[dict[str, Any]] = [
    {"noise_dbfs": -40.0},
    {"noise_dbfs": -40.0, "caller": "simulated"},
    {"noise_dbfs": 400.0, "caller": "simulated", "model": "embedded"},
    {"round_trip_ms": 100.0},
    {"turns": "retimed"},
    {"turns": "retimed", "caller": "simulated"},
    {"turns": "retimed", "caller": "demo", "model": "embedded"},
    {"strict": True, "caller": "simulated"},
    {"run_tools": True},
    {"disconnect_at_s": 9999.0},
    {"loss": 1.5},
    {"loss": -0.1},
    {"clear_races": 2.0},
    {"late_marks_ms": -5.0},
    {"jitter_ms": -5.0},
    {"stall_ms": -5.0},
]


@pytest.mark.parametrize("options", WITHOUT_EFFECT, ids=str)
def test_an_option_without_an_effect_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ReplayError):
        replay_call(recorded("books"), **options)


def test_the_command_refuses_noise_that_the_recorded_model_cannot_hear() -> None:
    done = CliRunner().invoke(app, ["replay", str(recorded("books")), "--noise-dbfs", "-40"])
    assert done.exit_code == 1 and "--mode embedded" in done.output


# --- causes in plain words -------------------------------------------------------------------------------------------

TEXTS = {"item_1": "Your table is booked."}
CAUSES = [
    ("missing", "phone", "speak item_1 did not happen", "The caller no longer hears “Your table is booked.”."),
    ("late", "phone", "speak item_1 came 320 ms too late", "The caller hears “Your table is booked.” 320 ms later"),
    ("late", "phone", "item_1: its audio from 0 ms on was sent 200 ms too late", "reaches the caller 200 ms later"),
    ("audio", "phone", "item_1: 900 ms of it were sent, and 400 ms then", "900 ms of “Your table is booked.”"),
    ("missing", "phone", "clear did not happen", "no longer falls silent"),
    ("extra", "phone", "clear is not in the recording", "cut off where it was not"),
    ("missing", "model", "response.create did not happen", "no longer asked for an answer"),
    ("missing", "tools", "tool book_table did not happen", "book_table is no longer called."),
    ("late", "tools", "tool book_table returns came 2000 ms too late", "book_table returns 2000 ms later"),
    ("changed", "tools", "tool book_table: arguments changed", "book_table gets other arguments"),
    ("missing", "call", "the call ends did not happen", "The call no longer ends."),
    ("extra", "call", "time is up: silence is not in the recording", "A time limit (silence) is reached"),
    ("extra", "twilio", "REST hang_up is not in the recording", "Twilio is asked to hang up"),
]


@pytest.mark.parametrize(("kind", "lane", "what", "says"), CAUSES, ids=[what for _, _, what, _ in CAUSES])
def test_a_cause_is_said_in_plain_words(kind: Any, lane: str, what: str, says: str) -> None:
    sentence = cause_of(Divergence(kind, lane, 1.0, what), TEXTS)
    assert says in sentence and sentence.endswith("."), sentence
    assert not any(word in sentence for word in ("item_1", "response.", "conversation.", "clear"))


@cache
def with_a_slow_tool() -> ReplayedCall:
    return replay_call(recorded("books"), AGENT, slow_tools_ms=300.0)


def test_the_tool_is_the_cause_of_a_late_answer() -> None:
    assert (
        text_of(with_a_slow_tool()).splitlines()[0]
        == "books (recorded): DIVERGED. book_table returns 300 ms later than in the recording."
    )


# --- many calls ------------------------------------------------------------------------------------------------------


def test_many_replays_show_progress_a_summary_and_an_index(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = CliRunner().invoke(
        app,
        ["replay", str(recorded("books")), str(recorded("let_go")), "--slow-tools-ms", "900", "--html", str(page)],
    )
    lines = done.output.splitlines()
    assert lines[0].startswith("[1/2] ") and any(line.startswith("[2/2] ") for line in lines)
    assert any(line.startswith("2 replays: ") for line in lines)
    assert lines[-1] == PROVES["recorded"]
    index = page.read_text()
    assert index.count("<tr>") == 3 and all(
        (tmp_path / f).exists() for f in index.split('href="')[1:] for f in [f.split('"')[0]]
    )


def test_what_changed_is_said_once_for_many_calls() -> None:
    change = "instructions: 'a' -> 'b'"
    results = [
        {"title": str(n), "diverged": n == 0, "changes": [change], "proves": PROVES["recorded"]} for n in range(30)
    ]
    text = summary_text(results)
    assert text.startswith("30 replays: 29 without divergence, 1 diverged.")
    assert text.count(change) == 1 and "(in 30 of 30)" in text and text.count("Mode recorded") == 1


# --- in pytest -------------------------------------------------------------------------------------------------------


CHECKS = {
    "same": "call.assert_same()",
    "short": "assert call.divergence is None",
    "long": "assert call.divergence is None, call.divergence",
}
TESTS = """
import desk
from realtime_core import function_tool

@function_tool
async def book_table(day: str, guests: int) -> str:
    "Book a table."
    return ""

def test_changed(replay):
    replay("booking", desk.agent.clone(instructions="You are rude.")).assert_same()

def test_renamed(replay):
    replay("booking", desk.agent.clone(tools=[book_table, desk.agent.tools[1]])).assert_same()

""" + "".join(
    f'def test_{name}(replay):\n    call = replay("booking", "desk:agent", slow_tools_ms=3000)\n    {check}\n\n'
    for name, check in CHECKS.items()
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a recorded call, and what pytest prints about tests of it."""
    folder = tmp_path_factory.mktemp("pytest")
    (folder / "calls").mkdir()
    for source, name in ((EXAMPLE / "desk.py", "desk.py"), (RECORDING, "calls/booking.jsonl.gz")):
        (folder / name).write_bytes(source.read_bytes())
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(TESTS)
    command = [
        "-m",
        "pytest",
        *PLUGINS,
        "-p",
        "no:cacheprovider",
        "--call-pages",
        "pages",
        "test_it.py",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | NO_OTHER_PLUGINS
    done = commands.run(*command, cwd=folder, env=environment, timeout=300)
    return folder, done.stdout


def failure(output: str, test: str) -> str:
    """Returns the output about one failed test."""
    return re.split(r"\n_{3,} |\n={3,} ", output.split(f"_ {test} _", 1)[1], maxsplit=1)[0]


@pytest.mark.parametrize("name", CHECKS)
def test_pytest_shows_the_whole_report_once_and_the_cause_first(name: str, shown: tuple[Path, str]) -> None:
    part = failure(shown[1], f"test_{name}")
    assert part.count("| now\n") == 1, part
    errors = [line for line in part.splitlines() if line.startswith("E ")]
    assert "book_table returns 3000 ms later than in the recording." in errors[0]
    assert "conversation.item.create" not in errors[0]


def test_pytest_names_what_a_replay_cannot_judge_and_writes_an_index(shown: tuple[Path, str]) -> None:
    folder, output = shown
    assert "test_changed" not in output.partition("= recorded calls =")[0].partition("FAILURES")[2]
    assert "'You are rude.'" in output and output.count("use `telephony eval`.") == 1, output
    assert "test_changed.html" in (folder / "pages" / "index.html").read_text()
    assert (folder / "pages" / "test_changed.now.wav").stat().st_size > 100_000


def test_an_update_does_not_take_arguments_that_do_not_fit(shown: tuple[Path, str], tmp_path: Path) -> None:
    assert "there is no parameter 'people'" in failure(shown[1], "test_renamed")
    call = replay_call(recorded("books"), AGENT.clone(tools=[say_goodbye]))
    config = SimpleNamespace(
        getoption=lambda name: name == "--update-calls", pluginmanager=pytest.PytestPluginManager()
    )
    pytest_plugin._update(config, tmp_path / "kept.jsonl.gz", call)  # type: ignore[arg-type]
    assert call.divergence is not None and not (tmp_path / "kept.jsonl.gz").exists()


def test_assert_same_without_pytest() -> None:
    with pytest.raises(CallDiffers, match=r"(?s)^books \(recorded\): DIVERGED\. .*recorded +\| now"):
        with_a_slow_tool().assert_same()


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def diverged() -> ReplayedCall:
    return replay_call(recorded("demo"), AGENT.clone(instructions="You are rude. " * 40), slow_tools_ms=2000.0)


def test_a_page_is_small_and_has_its_audio_beside_it(diverged: ReplayedCall, tmp_path: Path) -> None:
    write_page(diverged, tmp_path / "page.html", tmp_path / "files")
    assert (tmp_path / "page.html").stat().st_size < 200_000
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == ["page.now.wav", "page.recorded.wav"]


@pytest.mark.browser
def test_the_audio_of_a_page_is_in_step_with_its_timeline(diverged: ReplayedCall, tmp_path: Path) -> None:
    from tests.support.browser import Watched, screenshot
    from tests.support.shared_browser import lent_browser

    write_page(diverged, tmp_path / "page.html", tmp_path / "files")
    with lent_browser() as browser:
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
            watched = Watched(page)
            page.goto((tmp_path / "page.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
            assert dark == (scheme == "dark")
            row = page.locator("tr[data-s]").nth(3)
            row.click()  # a row of the transcript seeks both players
            at = float(row.get_attribute("data-s") or "nan")
            watched.until(f"Math.abs(document.querySelector('audio').currentTime - {at}) < 0.02")
            watched.until("document.querySelector('tr.now') !== null")
            seconds = page.evaluate("document.querySelector('audio').duration")
            assert seconds == pytest.approx(len(diverged.original.audio.caller) / 8000, abs=0.01)
            head = float(page.evaluate("document.querySelector('.head').getAttribute('x1')"))
            assert head == pytest.approx(104 + (1576 - 104) * at / seconds, abs=1)
            screenshot(page, f"replay-{scheme}")
            assert watched.complaints == []
