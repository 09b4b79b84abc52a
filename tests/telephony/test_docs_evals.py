"""The page about evals: its files and commands, run as written, with one repeat."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from telephony.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "evals.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS: list[str] = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for language, text in BLOCKS:
        if language in ("text", "python"):
            name = text.splitlines()[0].removeprefix("# ").split()[0]
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("desk", "old_desk"):
        sys.modules.pop(name, None)


def run(line: str) -> tuple[int, str]:
    words = line.replace("--repeat 5", "--repeat 1 --workers 1 --voice stored").split()
    result = CliRunner().invoke(app, words[1:])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def command(part: str) -> str:
    (found,) = (line for line in COMMANDS if part in line)
    return found


def test_a_newcomer_gets_a_verdict_a_saved_run_and_a_replay_test(folder: Path) -> None:
    code, said = run(command("--save"))
    assert code == 0, said
    assert "100 %" in said and "cannot tell: 1 pairs" in said and "no AI" in said
    saved = json.loads((folder / "runs" / "new" / "run.json").read_text())
    assert [len(saved["calls"][side]) for side in ("new", "baseline")] == [1, 1]
    assert [each["name"] for each in saved["criteria"]["judged"]] == ["confirms"]
    page = (folder / "new.html").read_text()
    assert "<h1>Eval of desk:agent against old_desk:agent" in page and 'name="viewport"' in page
    if saved["worst"]:
        assert 'src="data:audio/mpeg;base64,' in page and "<svg" in page

    code, said = run(command("--junit"))
    suite = ElementTree.parse(folder / "eval.xml").getroot()
    assert (code, suite.get("tests"), suite.get("failures")) == (0, "6", "0"), said

    code, said = run(command("calls test add"))
    assert code == 0 and (folder / "tests" / "test_ada.py").is_file(), said

    shutil.copytree(folder / "runs" / "new" / "calls" / "ada-1-new", folder / "calls" / "one")
    code, said = run(command("calls/ personas/"))
    assert code == 0 and "2 calls of desk:agent" in said, said


def test_the_calibration_is_the_one_of_the_page(folder: Path) -> None:
    code, said = run(command("--calibrate"))
    assert code == 0
    agreed = re.search(r"(\d+) of 40 answers agree", said)
    assert agreed and f"agrees with {agreed[1]} of 40" in " ".join(PAGE.split())


@pytest.mark.parametrize(
    ("line", "words", "code"),
    [
        ("telephony eval", "needs callers", 2),
        ("telephony eval personas --agent desk:agents", "Did you mean", 2),
        ("telephony eval personas --agent desk:agent --criteria gone.toml", "cannot be read", 1),
        ("telephony eval personas --agent desk:agent --model robot", "There is no model", 2),
        ("telephony eval personas --agent desk:agent --baseline-folder .", "needs --baseline", 2),
        ("telephony eval nowhere --agent desk:agent", "does not exist", 1),
        ("telephony eval personas --agent desk:agent --baseline personas", "no saved run", 1),
        ("telephony eval personas --agent desk:agent --model live", "needs a key", 1),
    ],
    ids=str,
)
def test_a_wrong_command_says_what_to_do(folder: Path, line: str, words: str, code: int) -> None:
    found, said = run(line)
    assert words in " ".join(said.split()) and found == code, said


def test_a_missed_threshold_fails_the_command(folder: Path) -> None:
    (folder / "criteria.toml").write_text(
        '[[criterion]]\nname = "never books"\nno_tool = "book_table"\nmin_pass_rate = 1\n'
        '[[criterion]]\nname = "unknown"\nmeasure = "missed_barge_ins"\nmax = 0\n'
    )
    code, said = run("telephony eval personas --agent desk:agent --run-tools --repeat 5 --junit eval.xml")
    assert code == 1 and "FAILED: never books" in said and "cannot tell" in said
    assert ElementTree.parse(folder / "eval.xml").getroot().get("failures") == "1"
