"""Takes the pictures of the console for the documentation: `python -m docs.screenshots`.

It makes the call of `telephony demo --fast`, serves its record, and opens its page in Chromium.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from telephony.journal.reader import read_journal
from telephony.records.call_record import CallUpdate
from telephony.records.database import DatabaseRecords
from telephony.replay.call import HeardCall

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "console.png"


def main() -> None:
    from playwright.sync_api import sync_playwright

    from tests.support.browser import chromium, flags, microphone, serving

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calls = folder / "calls"
        subprocess.run([sys.executable, "-m", "telephony", "demo", "--fast", "--folder", str(calls)], check=True)  # noqa: S603
        (journal,) = calls.rglob("journal.jsonl")
        sid = _record(folder, journal)
        environment = {"TELEPHONY_DATA_DIR": name, "TELEPHONY_JOURNAL_DIR": str(calls)}
        with serving(environment) as address, sync_playwright() as playwright:
            voice = microphone(folder / "voice.wav", "hello", silence_s=1.0)
            browser = playwright.chromium.launch(executable_path=chromium(), args=flags(voice))
            page = browser.new_page(viewport={"width": 1180, "height": 900}, color_scheme="light")
            page.goto(f"{address}/console/calls/{sid}?t=9.0")
            page.wait_for_selector("#talk .now")
            page.wait_for_timeout(500)
            page.screenshot(path=PICTURE)
            browser.close()
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size} bytes\n")


def _record(folder: Path, journal: Path) -> str:
    """Writes the record of the call, and returns its sid."""
    call, at = HeardCall(lambda: read_journal(journal)), datetime(2026, 1, 30, 18, 4, tzinfo=UTC)
    sid = str(call.recorded.header["call_sid"])
    tools = {tool.name: {"calls": 1, "failures": 0} for tool in call.tools}
    changes = {
        "sid": sid, "direction": "inbound", "caller": "+14•••••••23", "called": "+14155550199", "status": "completed",
        "agent": "Trattoria Blu", "agents": ["Trattoria Blu"], "started_at": at, "ending": "hung_up",
        "ended_at": at + timedelta(milliseconds=call.duration_ms), "duration_s": round(call.duration_ms / 1000),
        "interruptions": len(call.interruptions), "tools": tools, "reason": "hung up", "journal": str(journal),
        "outcome": "Booked", "summary": "The caller booked a table for two on Friday at seven.",
    }  # fmt: skip
    with closing(DatabaseRecords(f"sqlite:///{folder}/records.db")) as records:
        records.note([CallUpdate(sid, at, changes=changes)])
    return sid


if __name__ == "__main__":
    main()
