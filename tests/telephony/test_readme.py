"""The README is short, and its code runs as written."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from realtime_core.testing import virtual_time
from telephony.simulator.handset import Handset
from tests.support.phone_calls import phone_call

README = (Path(__file__).parents[2] / "README.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_it_is_short() -> None:
    assert len(README.split()) <= 1_200


@pytest.mark.virtual_time
async def test_the_sketch_of_an_agent_runs_as_written() -> None:
    (sketch,) = [code for code in CODE if "create_app" in code]
    names: dict[str, Any] = {}
    exec(compile(sketch, "desk.py", "exec"), names)

    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.5)
        await phone.say("hello")
        await phone.agent_speaks()
        await phone.agent_silent(1.5)
        phone.hang_up()

    call = await phone_call(caller, script=None, agent=names["agent"])
    assert [message["name"] for _, message in call.records.of("tool.start")][:1] == ["book_table"]


@pytest.mark.parametrize(("callee", "prints"), [("person", "completed human comes=True"), ("busy", "busy  None")])
def test_the_sketch_of_a_call_runs_as_written(
    callee: str, prints: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (sketch,) = [code for code in CODE if "# remind.py" in code]
    assert len(sketch.splitlines()) <= 30
    monkeypatch.setenv("TELEPHONY_SIMULATE", callee)
    monkeypatch.setattr(sys, "argv", ["remind.py", "+14155550123", "Ada", "Friday"])
    monkeypatch.setattr(asyncio, "run", virtual_time.run)
    exec(compile(sketch, "remind.py", "exec", dont_inherit=True), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip() == prints
