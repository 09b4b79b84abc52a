"""The documentation is true: its code runs, its commands parse, and the names in it exist."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest
import typer

from benchmarks import load_figures, measurements
from benchmarks.extent import extent
from docs.paths import record, text
from telephony import Call
from telephony.bench.plot import draw
from telephony.cli.app import app
from telephony.demo.agent import GREETING
from telephony.demo.in_memory import call_in_memory
from telephony.demo.plan import Plan
from telephony.demo.tool_coverage import expected_tools
from telephony.import_strings import load_agent
from telephony.journal.reader import read_journal
from telephony.locales.locale import english
from telephony.numbers.number_file import parse_numbers
from tests.support import commands
from tests.support.environment import NO_OTHER_PLUGINS, PLUGINS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]}
NAMED = re.compile(r"# (\w+\.py)(?: +(.*))?\n")
LANGUAGES = {"python", "sh", "text", "toml"}
OF_THE_SDK = ("examples/realtime/", "docs/realtime/")
"""Paths in the repository of the OpenAI Agents SDK."""


def blocks(language: str, page: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def files(page: str) -> dict[str, str]:
    """The page's blocks of Python that begin with the name of a file."""
    return {found[1]: block for block in blocks("python", page) if (found := NAMED.match(block))}


def headings(page: str) -> list[str]:
    """Returns the headings behind the names of the files."""
    return [found[2] for block in blocks("python", page) if (found := NAMED.match(block)) and found[2]]


MODULES = [(page, name) for page, text in PAGES.items() for name in files(text) if not name.startswith("test_")]
TESTS = [(page, name) for page, text in PAGES.items() for name in files(text) if name.startswith("test_")]
CALLED_ELSEWHERE = {"docs/evals.md", "docs/campaigns.md"}
"""Pages whose agents are called in `test_docs_evals.py` and `test_docs_campaigns.py`. `make proof` calls them here."""
COMMANDS = sorted(
    {
        line.strip().partition("  ")[0]
        for text in PAGES.values()
        for block in [*blocks("sh", text), *headings(text)]
        for line in re.split(r"\n|\|", block)
        if re.search(r"\btelephony [a-z]", line)
    }
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder from which modules are imported, and afterwards forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(folder: Path, page: str) -> None:
    for name, code in files(PAGES[page]).items():
        (folder / name).write_text(code)


# --- code -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_language_that_is_tested(page: str) -> None:
    assert set(re.findall(r"^```(\w+)$", PAGES[page], re.MULTILINE)) <= LANGUAGES


NUMBERS = [(page, block) for page, text in PAGES.items() for block in blocks("toml", text)]


@pytest.mark.parametrize(("page", "block"), NUMBERS)
def test_a_file_of_numbers_or_of_texts_is_valid(page: str, block: str) -> None:
    if block.startswith("# numbers.toml"):
        assert parse_numbers(block).numbers
        return
    assert block.startswith("# texts.toml"), "a block of TOML begins with the name of its file"
    for table, texts in tomllib.loads(block).items():
        known = {"language": {"name", "english", "say_language", "say_voice"}, "clips": english().words.keys()}
        known |= {"texts": english().texts.keys(), "instructions": english().instructions.keys()}
        assert texts.keys() <= known[table]


@pytest.mark.parametrize(("page", "name"), MODULES)
def test_a_module_can_be_imported_and_its_agent_called(page: str, name: str, folder: Path) -> None:
    write(folder, page)
    module = importlib.import_module(name.removesuffix(".py"))
    target = next((it for it in ("agent", "pick") if hasattr(module, it)), None)
    if target is None or (page in CALLED_ELSEWHERE and not extent(0, 1)):
        return
    source = load_agent(f"{module.__name__}:{target}")
    caller = folder / "caller.toml"
    turn = '{ agent_speaks = 20 }, { say = "hello" }, { pause = 2.0 }, '  # the embedded model calls one tool
    turns = turn * (expected_tools(source) + 1)
    caller.write_text(f"steps = [{turns}{{ agent_silent = 2.0 }}, {{ hang_up = true }}]")
    plan = Plan(name, None, live=False, run_tools=True, folder=folder, verbose=False, caller_name=str(caller))
    records = list(read_journal(call_in_memory(plan, source, GREETING, seed=1).journal))
    assert not [record for record in records if record.kind == "error"]
    assert records[-1].kind == "end" and records[-1].data["reason"] == "hung up"
    tools = getattr(getattr(module, "agent", None), "tools", [])
    called = {record.data["name"] for record in records if record.kind == "tool.end" and "error" not in record.data}
    assert {tool.name for tool in tools} - called <= {"hang_up", "transfer"}, "the demo calls every other tool"


@pytest.mark.parametrize(("page", "name"), TESTS)
def test_a_test_of_a_page_passes(page: str, name: str, folder: Path) -> None:
    example = ROOT / "examples" / "booking_tests"
    write(folder, page)
    (folder / "desk.py").write_text((example / "desk.py").read_text())
    (folder / "calls").symlink_to(example / "tests" / "calls")
    command = ["-m", "pytest", *PLUGINS, "-q", "-p", "no:cacheprovider", "--strict-markers", name]
    done = commands.run(*command, env={**os.environ, **NO_OTHER_PLUGINS}, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_session_runs_as_written(tmp_path: Path) -> None:
    sketch, _ = blocks("python", PAGES["docs/session-engine.md"])
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


def test_the_policy_lets_the_agent_finish() -> None:
    _, policy = blocks("python", PAGES["docs/session-engine.md"])
    names: dict[str, Any] = {}
    exec(policy, names)
    assert names["model"].turn_policy.speech_started(0.0, agent_active=True) == ()


def test_every_block_of_python_has_a_test() -> None:
    unnamed = {page for page, text in PAGES.items() for block in blocks("python", text) if not NAMED.match(block)}
    assert unnamed == {"docs/agents-sdk.md", "docs/session-engine.md"}, "begin the block with the name of a file"


# --- commands ---------------------------------------------------------------------------------------------------------


@cache
def command_line() -> Any:
    """Returns the command `telephony` of typer. Building it takes 40 ms of the processor."""
    return typer.main.get_command(app)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_fits_the_command_line(line: str) -> None:
    """It is parsed, and not run."""
    words = shlex.split(line, comments=True)
    arguments = words[words.index("telephony") + 1 :]
    command = command_line()
    while commands := getattr(command, "commands", None):
        command = commands[arguments.pop(0)]
    command.make_context("telephony", arguments)


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for text in PAGES.values() for target in re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE)}
    assert named <= targets


# --- names ------------------------------------------------------------------------------------------------------------


def test_the_architecture_has_a_reason_for_each_small_module_with_one_importer() -> None:
    graph = grimp.build_graph("realtime_core", "telephony", cache_dir=None)
    packages = {module for module in graph.modules if graph.find_children(module)}
    small = {
        module.rpartition(".")[2]
        for module in graph.modules - packages
        if len(graph.find_modules_that_directly_import(module)) == 1
        and len((ROOT / module.replace(".", "/")).with_suffix(".py").read_text().splitlines()) < 80
    }
    section = (ROOT / "docs" / "architecture.md").read_text().partition("### Small modules")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", section))
    assert small <= named, small - named
    assert named - small <= {module.rpartition(".")[2] for module in packages}, "these are no longer such modules"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGES[page])
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_every_path_and_module_exists(page: str) -> None:
    top = r"(?:\.ci|benchmarks|deploy|docs|examples|realtime_core|telephony|tests)"
    paths = re.findall(rf"`({top}/[\w./-]+)`", PAGES[page])
    modules = re.findall(r"`((?:telephony|realtime_core)(?:\.[a-z_]+)+)`", PAGES[page])
    ours = [path for path in paths if not path.startswith(OF_THE_SDK)]
    missing = [path for path in ours if not (ROOT / path).exists()]
    missing += [name for name in modules if not _exists(name)]
    assert missing == []


def _exists(name: str) -> bool:
    """A module, or an attribute of one."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        parent, _, attribute = name.rpartition(".")
        return hasattr(importlib.import_module(parent), attribute)
    return True


def test_the_hot_paths_are_those_of_a_call() -> None:
    assert text(record()) in PAGES["docs/architecture.md"], "run `python -m docs.paths`"


def test_every_function_of_the_hot_paths_exists() -> None:
    names = [line.strip() for block in blocks("text", PAGES["docs/architecture.md"]) for line in block.splitlines()]
    assert len(names) > 50
    missing = [
        name for name in set(names) if not any(_resolves(f"{top}.{name}") for top in ("telephony", "realtime_core"))
    ]
    assert missing == [], "run `python -m docs.paths`"


def _resolves(name: str) -> bool:
    """Whether this is a function or method of a module."""
    parts = name.split(".")
    for size in range(len(parts) - 1, 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:size]))
        except ModuleNotFoundError:
            continue
        for part in parts[size:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def test_every_member_of_a_call_is_in_its_table() -> None:
    table = PAGES["docs/call-control.md"]
    members = {name for name in vars(Call) if not name.startswith("_")}
    rare = {"is_live", "ended", "had_stream", "machine_found"}
    assert {name for name in members if not re.search(rf"`{name}\b", table)} == rare


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    listed = set(re.findall(r"- ([\w/-]+\.md)$", navigation, re.MULTILINE))
    assert listed == {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}


def test_the_figures_are_those_that_were_measured() -> None:
    figures = json.loads((ROOT / "benchmarks" / "figures" / "proof.json").read_text())
    written = f"{measurements.BEGIN}\n{measurements.section(figures)}{measurements.END}"
    assert written in PAGES["docs/measurements.md"]


def test_the_figures_of_the_load_are_those_that_were_measured() -> None:
    report = json.loads((ROOT / "benchmarks" / "figures" / "load.json").read_text())
    written = f"{load_figures.BEGIN}\n{load_figures.section(report)}{load_figures.END}"
    assert written in PAGES["docs/measurements.md"]
    assert (DOCS / "load.svg").read_text() == draw(report["sweep"])
