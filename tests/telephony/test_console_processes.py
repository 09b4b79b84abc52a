"""The console on two processes behind Caddy, one of which is killed in the middle, in a real browser.

Two callers speak, one with each process, and the console finds both calls. Then the process of one call is killed. The
page of its call shows this, the other call continues, and the history shows the call of the killed process as
interrupted. `make proof` runs this story. `make test` leaves it out, because it needs two servers, Caddy and four pages
at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmarks.extent import extent
from tests.support.browser import TRATTORIA, Watched, accessibility_problems, screenshots
from tests.support.shared_browser import speak
from tests.support.sites import two_processes

pytestmark = [
    pytest.mark.browser,
    pytest.mark.real_time,
    pytest.mark.skipif(not extent(False, True), reason="it is a part of make proof"),
]

CALLERS = {2: "+1 415 555 0102", 3: "+1 415 555 0103"}


@dataclass
class Story:
    """The observations of the story."""

    pages: list[Watched] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    hrefs: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    complaints_before: list[str] = field(default_factory=list)
    """The errors that the browser reported before the process was killed."""


@pytest.fixture(scope="module")
def story(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("processes")
    speak("hello", silence_s=1.0)
    told = Story()
    with ExitStack() as stack:
        it = stack.enter_context(two_processes(folder, {"TELEPHONY_SCRIPT": str(TRATTORIA)}))
        public = it.address
        context = browser.new_context(viewport={"width": 1280, "height": 860}, permissions=["microphone"])

        def opened(path: str, about: str = "") -> Watched:
            watched = Watched(context.new_page())
            told.pages.append(watched)
            if about:  # a softphone calls the process that answers this request
                watched.page.route("**/phone/about", lambda route: route.continue_(url=f"{public}{about}"))
            watched.page.goto(f"{public}{path}")
            return watched

        it.log_in(context)
        phones = {}
        for number, caller in CALLERS.items():
            phones[number] = phone = opened("/console/phone", f"/i/phone-{number}/console/phone/about")
            phone.until("!document.querySelector('#call').disabled")
            phone.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
            phone.page.fill("#from", caller.replace(" ", ""))
            phone.page.click("#call")
            phone.until("document.querySelector('#lines').textContent.length > 10")
        live = opened("/console")
        live.until("document.querySelectorAll('#calls li').length === 2")
        for caller in CALLERS.values():
            told.hrefs[caller] = live.page.eval_on_selector_all(
                "#calls a", "(links, caller) => links.find(one => one.textContent === caller).href", caller
            )
        pages = {}
        for number, caller in CALLERS.items():
            pages[number] = page = opened(told.hrefs[caller].removeprefix(public))
            page.until("document.querySelector('#talk').textContent.length > 10")
            page.until("!document.querySelector('#actions').hidden")
        told.complaints_before = [text for each in told.pages for text in each.complaints]
        # This caller is gone, too, so no other process goes on with the call.
        phones[2].page.route("**/webhook/after-stream*", lambda route: route.abort())
        it.kill(2)
        pages[2].until("!document.querySelector('#problem').hidden")
        told.texts["killed"] = pages[2].page.inner_text("main")
        pages[3].page.click("#say")
        pages[3].page.fill("dialog input", "We are still here.")
        pages[3].page.get_by_role("button", name="Say it").click()
        pages[3].until("document.querySelector('#talk').textContent.includes('let the agent say something')")
        told.texts["other"] = pages[3].page.inner_text("main")
        pages[2].until("document.querySelector('#state').textContent.includes('ended during the call')")
        told.texts["over"] = pages[2].page.inner_text("main")
        told.problems += accessibility_problems(pages[2].page)
        screenshots(pages[2].page, "console-killed")
        history = opened("/console/calls")
        history.until("document.querySelectorAll('#calls li').length === 2")
        told.texts["history"] = history.page.inner_text("#calls")
        history.page.fill("input[name=q]", CALLERS[2])
        history.page.select_option("select[name=why]", "server")
        history.until("document.querySelectorAll('#calls li').length === 1")
        history.page.click("#calls a")
        history.page.wait_for_url("**/console/calls/CA*")
        history.until("document.querySelector('#state').textContent.includes('ended during the call')")
        told.texts["found"] = history.page.inner_text("main")
        live.until("document.querySelectorAll('#calls li:not(.over)').length === 1")
        told.texts["live"] = live.page.inner_text("#calls")
        yield told


def test_the_console_finds_the_process_that_has_the_call(story: Story) -> None:
    found = {f"/i/phone-{number}/" in story.hrefs[caller] for number, caller in CALLERS.items()}
    assert found == {True, False}, "one process serves the page, and the other one has the other call"
    assert story.complaints_before == []


def test_the_page_of_a_killed_process_says_what_happened(story: Story) -> None:
    assert any(text in story.texts["killed"] for text in ("was lost. This page connects", "does not answer"))
    assert "The process of this call ended during the call." in story.texts["over"]
    assert "does not answer" not in story.texts["over"]
    assert story.problems == []


def test_the_other_process_goes_on_with_its_call(story: Story) -> None:
    assert "A supervisor let the agent say something" in story.texts["other"]
    assert CALLERS[3] in story.texts["live"] and "does not answer" not in story.texts["other"]


def test_the_history_shows_the_call_of_the_killed_process_as_interrupted(story: Story) -> None:
    rows = [row for row in story.texts["history"].split("+1 415") if row.strip()]
    (killed,) = [row for row in rows if row.startswith(CALLERS[2].removeprefix("+1 415"))]
    (other,) = [row for row in rows if row.startswith(CALLERS[3].removeprefix("+1 415"))]
    assert "Server failed" in killed and "Live" not in killed
    assert "Live" in other


def test_the_search_finds_the_call_of_the_killed_process_and_its_page_says_how_it_ended(story: Story) -> None:
    assert CALLERS[2] in story.texts["found"]
    assert "The process of this call ended during the call." in story.texts["found"]
