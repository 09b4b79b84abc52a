"""The pages of campaigns in a real browser, at 1280 and 390 px: their content, and that a pause takes effect
immediately.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from telephony.campaigns.campaign import Campaign, CampaignStatus
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import Attempt, Contact, ContactState, Outcome
from telephony.campaigns.database_store import DatabaseStore
from telephony.outbound.dialing_rules import DialingRules
from telephony.records.database import DatabaseRecords
from telephony.records.subjects import SubjectKey
from tests.support.browser import screenshot
from tests.support.sites import SETUPS, site

pytestmark = [pytest.mark.browser, pytest.mark.real_time, pytest.mark.xdist_group("processes")]

NOW = datetime.now(UTC)
KEY = "a key of the tests, long enough"
RULES = DialingRules.none()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DatabaseStore]:
    """A campaign of 70 contacts with five calls."""
    with closing(DatabaseRecords(f"sqlite:///{tmp_path}/records.db")) as records:
        store = DatabaseStore(records.transaction, SubjectKey(KEY.encode()).of)
        people = [Contact(f"p{n:02}", f"+141555501{n:02}", data={"name": f"N{n}"}) for n in range(69)]
        people.append(
            Contact("line 71", "12", state=ContactState.INVALID, problem="it is not a phone number", lines=(71,))
        )
        config = CampaignConfig.model_validate({"at_once": 10, "per_second": 100})
        store.add(Campaign("spring", config, NOW, "spring"), people)
        store.set_status("spring", CampaignStatus.RUNNING, NOW)
        outcomes = (Outcome.REACHED, Outcome.REACHED, Outcome.BUSY, Outcome.NO_ANSWER, Outcome.MACHINE)
        for n, outcome in enumerate(outcomes):
            at = NOW - timedelta(hours=n)
            begun = store.begin(
                "spring", f"p{n:02}", NOW + timedelta(seconds=n), attempt_id=f"a{n}", owner="me", rules=RULES
            )
            assert isinstance(begun, Attempt), begun
            store.end(replace(begun, outcome=outcome, sid=f"CA{n}", duration_s=30, started_at=at), NOW, rules=RULES)
        yield store


@pytest.mark.parametrize("setup", SETUPS)
def test_a_campaign_is_shown_and_paused_at_once(store: DatabaseStore, browser: Any, tmp_path: Path, setup: str) -> None:
    from playwright.sync_api import expect

    environment = {"TELEPHONY_DATA_DIR": str(tmp_path), "TELEPHONY_NUMBER_KEY": KEY, "TELEPHONY_MODEL": "scripted"}
    with site(setup, tmp_path, environment) as it:
        address = it.address
        context = browser.new_context()
        it.log_in(context)
        complaints: list[str] = []
        for width in (1280, 390):
            page = context.new_page()
            page.set_viewport_size({"width": width, "height": 800})
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.goto(f"{address}/console/campaigns")
            page.get_by_role("link", name="spring").click()
            page.get_by_text("Answered by a person").wait_for()
            counted = page.locator("#funnel .counted").all_inner_texts()
            assert [text.split()[-1] for text in counted] == ["70", "69", "2", "2", "2"]
            assert page.locator("#outcomes .counted").count() == 4
            expect(page.locator("#contacts tr")).to_have_count(50)
            page.get_by_role("button", name="Show more contacts").click()
            page.locator("#contacts tr").nth(69).wait_for()
            page.get_by_role("searchbox").fill("5550104")
            expect(page.locator("#contacts tr")).to_have_count(1)
            assert "machine" in page.locator("#contacts tr").inner_text()
            page.get_by_role("searchbox").fill("")
            page.get_by_label("State").select_option("invalid")
            page.locator("#contacts tr", has_text="it is not a phone number").wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is wider than the page"
            screenshot(page, f"campaign-{width}")
            page.get_by_role("button", name="Pause").click()
            page.locator("#status", has_text="paused: by a person").wait_for()
            assert _status(store) is CampaignStatus.PAUSED
            page.get_by_role("button", name="Resume").wait_for()
            if width == 1280:
                _set_running(store)
                for number in list(it.processes)[:1]:
                    it.kill(number)
            page.close()
        page = context.new_page()
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(f"{address}/console/audit?who={it.person[-7:]}&action=configure")
        page.get_by_text("campaign spring: pause").first.wait_for()
        assert page.locator("#entries li").count() == 2
        page.get_by_label("Who", exact=True).fill("nobody")
        page.get_by_text("No entry matches these filters.").wait_for()
        assert it.unexplained(complaints) == []


def _status(store: DatabaseStore) -> CampaignStatus:
    campaign: Any = store.campaign("spring")
    return CampaignStatus(campaign.status)


def _set_running(store: DatabaseStore) -> None:
    store.set_status("spring", CampaignStatus.RUNNING, datetime.now(UTC))
