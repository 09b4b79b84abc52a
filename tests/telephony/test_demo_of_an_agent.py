"""`telephony demo` of one's own agent: each tool is called once, the others are named, and the faster way is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from telephony.cli.app import app

MANY = """
from realtime_core import FunctionTool, RealtimeAgent
from telephony import hang_up

async def answer(context, arguments):
    return "done"

def tools(*names):
    return [FunctionTool(name, "Does it.", {"type": "object", "properties": {}}, answer) for name in names]

nurse = RealtimeAgent(name="Nurse", tools=tools("find_doctor"))
desk = RealtimeAgent(name="Desk", tools=[*tools(*[f"tool_{n}" for n in range(4)]), hang_up()], handoffs=[nurse])
nurse.handoffs.append(desk)
none = RealtimeAgent(name="Quiet")
only_ending = RealtimeAgent(name="Short", tools=[hang_up()])
two_ways = RealtimeAgent(name="Hall", handoffs=[RealtimeAgent(name="Left"), RealtimeAgent(name="Right")])

def pick(info):
    return desk
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("telephony.demo.report.timeline_png", lambda *_: b"")  # a third of the CPU of a demo
    (tmp_path / "many_tools.py").write_text(MANY)
    return tmp_path


def demo(agent: str, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["demo", f"many_tools:{agent}", "--fast", "--seed", "1", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("agent", ["desk", "pick"])
def test_each_tool_is_called_once(agent: str, folder: Path) -> None:
    figures = json.loads(demo(agent, "--json"))
    named = {*[f"tool_{n}" for n in range(4)], "find_doctor", "transfer_to_nurse", "transfer_to_desk"}
    if agent == "desk":
        assert set(figures["called_tools"]) == named and figures["missed_tools"] == []
        assert figures["counts"]["tool_calls"] == 5, "none is called twice"
    assert set(figures["called_tools"] + figures["missed_tools"]) <= named
    assert figures["skipped_tools"] == ["hang_up"]


@pytest.mark.parametrize(
    ("agent", "called", "skipped", "missed"),
    [
        ("none", [], [], []),
        ("only_ending", [], ["hang_up"], []),
        ("two_ways", ["transfer_to_left"], [], ["transfer_to_right"]),
    ],
)
def test_a_demo_names_the_tools_that_were_not_called(
    agent: str, called: list[str], skipped: list[str], missed: list[str], folder: Path
) -> None:
    said = " ".join(demo(agent).split())
    assert (f" Called: {', '.join(called)}." in said) == bool(called)
    assert (f" do-not-call list: {', '.join(skipped)}." in said) == bool(skipped)
    assert (f" because the call ended before: {', '.join(missed)}." in said) == bool(missed)
    assert ("Not called" in said) == bool(skipped or missed)
    assert "With --fast" not in said


def test_the_faster_way_is_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stopped

    monkeypatch.setattr("telephony.cli.demo.call_over_sockets", stop)
    done = CliRunner().invoke(app, ["demo", "many_tools:none"])
    assert isinstance(done.exception, Stopped) and "With --fast it takes about a second" in " ".join(
        done.output.split()
    )
