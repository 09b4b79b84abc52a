"""The pages of evals and replays in a real browser: audio in step with the timeline, dark mode, phones, size."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.evals import baseline, forgets_to_confirm
from telephony.evals.call import Plan, make_call
from telephony.evals.cases import find_cases
from telephony.evals.comparison import CallResult, result_of
from telephony.evals.criteria import parse_criteria
from telephony.evals.judge import StandInJudge
from telephony.evals.page import page_of
from telephony.evals.players import StandInPlayer
from telephony.evals.run import judge_calls
from telephony.evals.speech import StoredVoice
from telephony.import_strings import load_agent
from telephony.journal.timeline import LEFT, RIGHT
from telephony.replay.batch import write_page
from telephony.replay.replaying import replay_call

pytestmark = [pytest.mark.browser, pytest.mark.real_time]

EXAMPLE = Path(__file__).parents[2] / "examples" / "booking_tests"
CRITERIA = """
[[criterion]]
name = "asks back first, before it books a table for anyone at all"
order = ["says: is that right", "tool: book_table"]
"""
SEEK = """async (row) => {
  const line = document.querySelectorAll("li[data-at], tr[data-s]")[row]
  const audio = line.closest("details")?.querySelector("audio") ?? document.querySelector("audio")
  if (audio.readyState < 1) {
    audio.load()
    await new Promise((done) => audio.addEventListener("loadedmetadata", done, { once: true }))
  }
  const seeked = new Promise((done) => audio.addEventListener("seeked", done, { once: true }));
  (line.querySelector("button") ?? line).click()
  await seeked
  audio.pause()
  await new Promise(requestAnimationFrame)
  const head = document.querySelector(".timeline .head")
  return {
    at: Number(line.dataset.at ?? line.dataset.s), time: audio.currentTime, duration: audio.duration,
    head: Number(head.getAttribute("x1")), isNow: line.classList.contains("now"),
  }
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of an eval in which the first caller gets a worse agent, and the page of a replay."""
    folder = tmp_path_factory.mktemp("pages")
    calls: dict[str, list[CallResult]] = {"new": [], "old": []}
    for n, name in enumerate(("ada", "bob")):
        (folder / f"{name}.toml").write_text(
            f'name = "{name}"\ngoal = "A table for two on Friday, please."\nfacts = {{ day = "Friday", people = 2 }}\n'
        )
        (case,) = find_cases([folder / f"{name}.toml"])
        for side in calls:
            agent = forgets_to_confirm if (name, side) == ("bob", "new") else baseline
            journal = folder / side / name / "journal.jsonl"
            plan = Plan(agent, player=StandInPlayer, voice=StoredVoice(), run_tools=True, journal=journal)
            evidence = make_call(case, plan, caller_seed=n, model_seed=2)
            calls[side].append(CallResult(name, 1, evidence, journal=str(journal)))
    criteria = parse_criteria(CRITERIA)
    for each in calls.values():
        judge_calls(criteria, each, StandInJudge())
    about = {"agent": "desk:agent", "baseline": "old_desk:agent", "notes": ["A note."]}
    (folder / "eval.html").write_text(page_of(result_of(criteria, calls["new"], calls["old"], about)))
    call = replay_call(EXAMPLE / "tests" / "calls" / "booking.jsonl.gz", load_agent("examples.receptionist:agent"))
    write_page(call, folder / "replay.html", folder)
    return {"eval": folder / "eval.html", "replay": folder / "replay.html"}


@pytest.mark.parametrize("name", ["eval", "replay"])
def test_a_page_is_in_step_and_fits_a_phone(name: str, pages: dict[str, Path], browser: Any) -> None:
    html = pages[name].read_text()
    audio = re.findall(r"base64,[^\"]+", html)
    assert len(html) - sum(map(len, audio)) < 200_000

    paper = {}
    for scheme, width in (("light", 1200), ("dark", 390)):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)  # noqa: B023
        page.on("pageerror", lambda error: errors.append(str(error)))  # noqa: B023
        page.goto(pages[name].as_uri())
        assert page.evaluate("document.scrollingElement.scrollWidth") == width
        found = page.evaluate(SEEK, 2)
        assert found["isNow"] and found["time"] == pytest.approx(found["at"], abs=0.3)
        place = LEFT + (RIGHT - LEFT) * found["time"] / found["duration"]
        assert found["head"] == pytest.approx(place, abs=8)
        paper[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert not errors
        context.close()
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 25, 31)" if name == "eval" else "rgb(20, 24, 29)"}


def test_the_worst_call_comes_first_and_is_open(pages: dict[str, Path]) -> None:
    calls = re.findall(r"<details( open)?><summary>([^<]*)", pages["eval"].read_text())
    assert calls[0] == (" open", "bob #1: asks back first, before it books a table for anyone at all")
    assert [is_open for is_open, _ in calls[1:]] == [""] * (len(calls) - 1)
