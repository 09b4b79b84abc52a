"""The softphone in a real browser, where the application is mounted under a path of another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import TRATTORIA, Watched
from tests.support.servers import DESK, uvicorn
from tests.support.shared_browser import speak

pytestmark = [pytest.mark.browser, pytest.mark.real_time]

MOUNTED = (
    DESK
    + """
from fastapi import FastAPI
desk, app = app, FastAPI(lifespan=app.router.lifespan_context)
app.mount("/voice", desk)
"""
)


def test_a_page_under_a_path_rings_the_application_under_that_path(browser: Any, tmp_path: Path) -> None:
    speak("booking", silence_s=2.0)
    with uvicorn(tmp_path, desk=MOUNTED, TELEPHONY_SCRIPT=str(TRATTORIA)) as (_, address):
        page = browser.new_page()
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
