"""The console with many calls: it answers quickly with 200 live calls and, in the long form, 100,000 past ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.extent import extent
from telephony.records.call_record import CallRecord, CallUpdate
from telephony.records.database import DatabaseRecords
from tests.support.browser import Watched
from tests.support.sites import SETUPS, site

pytestmark = [pytest.mark.browser, pytest.mark.real_time]

PAST = extent(500, 100_000)
LIVE = 200
LIMIT_MS = extent(10_000, 100)
OTHER = "another process"

# How long the page takes from an input to the next frame. The best of some tries counts: the machine has other work.
PAINTED = """async ([field, texts]) => {
  const times = []
  for (const text of texts) {
    const input = document.querySelector(field)
    const began = performance.now()
    input.value = text
    input.dispatchEvent(new Event("input", { bubbles: true }))
    await new Promise(requestAnimationFrame)
    await new Promise(done => setTimeout(done))
    times.push(performance.now() - began)
  }
  return Math.min(...times)
}"""
ANSWERED = """async ([path, tries]) => {
  const times = []
  for (let n = 0; n < tries; n++) {
    const began = performance.now()
    const page = await (await fetch(new URL(path, document.baseURI))).json()
    if (!page.calls) throw new Error(page.error)
    times.push(performance.now() - began)
  }
  return Math.min(...times)
}"""


def fill(url: str, file: Path) -> None:
    """Fill the records: the live calls of another process, and past calls."""
    now = datetime.now(UTC)

    def call(sid: str, **changes: Any) -> CallUpdate:
        base = {"sid": sid, "direction": "inbound", "called": "+14155550199", "agent": "Desk", "started_at": now}
        return CallUpdate(sid, now, changes={**base, **changes})

    with closing(DatabaseRecords(url)) as records:
        records.renew(OTHER, ttl_s=3600, now=now)
        live = {"process": OTHER, "instance": "other", "status": "in-progress", "stream": "open"}
        records.note([call(f"CL{n}", caller=f"+1415555{n:04}", **live) for n in range(LIVE)])
        over = {"status": "completed", "ended_at": now, "ending": "hung_up", "duration_s": 61, "caller": "+14•••••••23"}
        over |= {"summary": "The caller asked for a table on Friday, and the agent booked it. " * 4}
        over |= {"turns": [{"at_ms": 5000 * n, "latency_ms": 700} for n in range(20)], "result": {"day": "Friday"}}
        records.note([call("CP0", **{**over, "started_at": now - timedelta(days=1)})])
    columns = ", ".join(each.name for each in fields(CallRecord) if each.name not in ("id", "sid", "started_at"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {PAST}) "
            f"INSERT INTO telephony_calls (id, sid, started_at, {columns}) SELECT 'CX' || i, 'CX' || i, "
            f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 days', '-' || i || ' seconds'), {columns} "
            "FROM n, telephony_calls WHERE id = 'CP0'"
        )
        connection.commit()


@pytest.fixture(scope="module", params=SETUPS)
def console(
    browser: Any, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("many")
    file = folder / "records.db"
    fill(f"sqlite:///{file}", file)
    environment = {"DATABASE_URL": f"sqlite:///{file}", "TELEPHONY_DATA_DIR": str(folder)}
    with site(request.param, folder, environment) as it:
        context = browser.new_context(viewport={"width": 1280, "height": 860})
        it.log_in(context)
        watched = Watched(context.new_page())
        watched.page.goto(f"{it.address}/console")
        yield watched
        context.close()


def test_200_live_calls_are_listed_and_searched_at_once(console: Watched) -> None:
    console.until(f"document.querySelectorAll('#calls li').length === {LIVE}")
    numbers = [f"+1415555{n:04}" for n in range(10)]
    assert console.page.evaluate(PAINTED, ["#find", numbers]) < LIMIT_MS
    console.until("[...document.querySelectorAll('#calls li')].filter(one => !one.hidden).length === 1")
    assert "/i/other/console/calls/CL" in console.page.eval_on_selector("#calls a", "link => link.href")


@pytest.mark.parametrize(
    "query", ["", "q=%2B14155550007", "q=friday", "q=nothing+has+this", "agent=Nobody", "why=failed", "from=2026-01-01"]
)
def test_the_history_answers_at_once(console: Watched, query: str) -> None:
    assert console.page.evaluate(ANSWERED, [f"api/calls?{query}", extent(3, 8)]) < LIMIT_MS


def test_the_page_of_the_history_stays_quick_while_it_searches(console: Watched) -> None:
    console.page.goto(console.page.url.rstrip("/") + "/calls")
    console.until("document.querySelectorAll('#calls li').length === 50")
    console.page.click("#more")
    console.until("document.querySelectorAll('#calls li').length === 100")
    words = ["fri", "frid", "nothing", "nothing has", "nothing has this"]
    assert console.page.evaluate(PAINTED, ["input[name=q]", words]) < LIMIT_MS
    console.until("!document.querySelector('#nothing').hidden")
    assert console.complaints == []
