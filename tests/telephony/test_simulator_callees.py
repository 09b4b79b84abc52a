"""Callees from TOML files, as the simulated Twilio meets them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from telephony.errors import CallerError
from telephony.simulator import callees
from tests.support.twilio_world import THEIRS, run, world

VOICEMAIL = """
after_s = 8
answered_by = "machine_end_beep"
steps = [{ say = "hello" }, { beep = true }, { agent_silent = 2.0 }, { hang_up = true }]
"""


def test_a_voicemail_from_a_file_rings_greets_beeps_and_is_known_for_one(tmp_path: Path) -> None:
    (tmp_path / "machine.toml").write_text(VOICEMAIL)

    async def main() -> None:
        async with world() as it:
            it.twilio.callees[THEIRS] = callees.find(str(tmp_path / "machine.toml"))
            start = asyncio.get_running_loop().time()
            sid = await it.create(
                twiml="<Response><Pause length='30'/></Response>",
                machine_detection="DetectMessageEnd",
                async_amd="true",
                async_amd_status_callback=f"{it.app.url}/amd",
            )
            call = await it.over(sid, within_s=20)
            assert (call.status, call.answered_by) == ("completed", "machine_end_beep")
            assert 10 < asyncio.get_running_loop().time() - start < 14

    run(main)


def test_a_callee_file_can_have_the_outcome_busy(tmp_path: Path) -> None:
    (tmp_path / "busy.toml").write_text('outcome = "busy"\nafter_s = 3')
    found = callees.find(str(tmp_path / "busy.toml"))
    assert (found.outcome, found.after_s) == ("busy", 3)


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        ("name = 'x'\nsteps = []", "name: a callee has steps, after_s"),
        ("after_s = -1\nsteps = []", "after_s = -1"),
        ("after_s = true\nsteps = []", "after_s = True"),
        ("outcome = 'rings'\nsteps = []", "outcome = 'rings'"),
        ("answered_by = 'robot'\nsteps = []", "answered_by = 'robot'"),
        ("after_s = 1", "is missing"),
        ("steps = [{ beep = 1 }]", "write `beep = true`"),
    ],
)
def test_what_does_not_fit_is_said(document: str, wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "callee.toml"
    file.write_text(document)
    with pytest.raises(CallerError, match=wrong):
        callees.find(str(file))
