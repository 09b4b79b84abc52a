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

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
PAGES = README + "".join((REPOSITORY / "docs" / f"{name}.md").read_text() for name in ("settings", "endpoints"))
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


NOT_HERE = {
    "telephony demo --live": "costs money",
    "telephony serve examples.receptionist:agent --phone": "needs an account",
    "telephony serve --config numbers.toml": "tests/telephony/test_configured_numbers.py serves configured numbers",
    "telephony eval": "the commands of a new project (.ci/package) and of docs/evals.md run it",
    "telephony eval calls/ personas/ --agent desk:agent --baseline old:agent --criteria criteria.toml": "docs/evals.md",
}
"""Commands of the README that `test_installed_wheel.py` does not run, and why."""


def readme_commands() -> set[str]:
    """Returns the texts in backquotes that begin with one of our programs, without variables in front."""
    found = re.findall(r"`((?:[A-Z_]+=\S+ )*(?:telephony|python|uvicorn) [^`]+)`", PAGES)
    found += re.findall(r"(?:# \w+\.py|\|)\s+((?:[A-Z_]+=\S+ )*(?:telephony|python|uvicorn) [^|`\n]+)", PAGES)
    return {re.sub(r"^(?:[A-Z_]+=\S+ )+", "", command).strip() for command in found}


DONE = {
    "telephony serve", "telephony demo", "telephony demo desk:agent", "telephony demo desk:agent --fast",
    "telephony init my-agent", "telephony calls test add",
    "telephony serve desk:agent", "telephony serve examples.receptionist:agent",
    "telephony doctor", "telephony replay PATH", "telephony calls test add <call sid> --name booking",
    "python remind.py +14155550123 Ada Friday", "telephony calls import FILE", "telephony calls purge",
    "telephony calls list", "telephony calls erase",
    "telephony call +14155550123 --agent remind:agent --data name=Ada --result remind:Outcome", "telephony simulate",
    "telephony serve desk:agent --outgoing remind:agent",
    "telephony campaign run people.csv --agent remind:agent --simulate --fast",
}  # fmt: skip
"""Commands of the README that `test_installed_wheel.py` runs."""


def test_every_command_of_the_readme_is_run_from_an_installed_wheel() -> None:
    assert readme_commands() == DONE | set(NOT_HERE)
