"""The code of the README runs as written, and its figures are the measured ones."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import readme
from realtime_core.testing import virtual_time
from telephony.simulator.handset import Handset
from tests.support.phone_calls import phone_call

README = (Path(__file__).parents[2] / "README.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_its_figures_are_those_that_were_measured() -> None:
    figures = json.loads((Path(__file__).parents[2] / "benchmarks" / "figures" / "proof.json").read_text())
    assert f"{readme.BEGIN}\n{readme.section(figures)}{readme.END}" in README


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


def test_the_sketch_of_a_session_runs_as_written(tmp_path: Path) -> None:
    (sketch,) = [code for code in CODE if "async for event in session" in code]
    body = "\n".join("    " + line for line in sketch.splitlines())
    body = body.replace(
        "if event.type ==",
        'if event.type == "agent_end":\n                    break\n                elif event.type ==',
        1,
    )
    script = tmp_path / "sketch.py"
    script.write_text(
        "import asyncio\nheard = []\nplay_audio = heard.append\nalert_user = print\n"
        f"async def main():\n{body}\nasyncio.run(main())\nassert sum(map(len, heard)) > 48000\n"
    )
    subprocess.run([sys.executable, str(script)], check=True, timeout=60)
