"""The softphone in a real browser, where the application is mounted under a path of another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import TRATTORIA, Watched, chromium, flags, microphone
from tests.support.servers import DESK, uvicorn

pytestmark = [pytest.mark.browser, pytest.mark.real_time]

MOUNTED = (
    DESK
    + """
from fastapi import FastAPI
desk, app = app, FastAPI(lifespan=app.router.lifespan_context)
app.mount("/voice", desk)
"""
)


def test_a_page_under_a_path_rings_the_application_under_that_path(tmp_path: Path) -> None:
    executable = chromium()
    from playwright.sync_api import sync_playwright

    voice = microphone(tmp_path / "voice.wav", "booking", silence_s=2.0)
    with uvicorn(tmp_path, desk=MOUNTED, TELEPHONY_SCRIPT=str(TRATTORIA)) as (_, address), sync_playwright() as driver:
        page = driver.chromium.launch(executable_path=executable, args=flags(voice)).new_page()
        watched = Watched(page)
        page.goto(f"{address}/voice/console/phone")
        watched.until("!document.querySelector('#call').disabled")
        page.click("#mute")
        page.click("#call")
        watched.until("document.querySelector('#lines').textContent.includes('How can I help you?')")
        page.click("#call")
        assert watched.complaints == []
        assert watched.requests
        assert all(url.startswith((f"{address}/voice/", "blob:", "data:")) for url in watched.requests), (
            watched.requests
        )
