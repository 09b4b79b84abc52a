"""Our programs for the API of the Agents SDK (`test_sdk_programs`) import only names that the SDK has."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from tests.support import sdk_difference
from tests.support import sdk_runs as runs

PROGRAMS = Path(__file__).parent / "sdk_programs"


def agents_name(module: str) -> str:
    """Returns the name of the SDK's module for a module of this package."""
    name = module.removeprefix("realtime_core").lstrip(".")
    return f"agents.realtime.{name}".rstrip(".") if name in sdk_difference.REALTIME else f"agents.{name}"


@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.py")), ids=lambda path: path.stem)
def test_each_name_that_a_program_imports_is_one_of_the_sdk(program: Path) -> None:
    """With the imports changed back, the programs are programs of the SDK."""
    imports = [node for node in ast.walk(ast.parse(program.read_text())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").startswith("realtime_core")]
    assert ours
    for node in ours:
        theirs = importlib.import_module(agents_name(node.module or ""))
        for alias in node.names:
            assert hasattr(theirs, alias.name), f"{theirs.__name__} has no {alias.name}"


def test_changing_an_import_changes_nothing_else() -> None:
    code = (
        "from agents.realtime import A\nfrom agents.realtime.items import B\n    from agents import C\n"
        "import agents\nfrom .agents import D\nfrom agents_of_ours import E\n# from agents\nagents = 1\n"
    )
    assert runs.change_import(code) == (
        "from realtime_core import A\nfrom realtime_core.items import B\n    from realtime_core import C\n"
        "import realtime_core\nfrom .agents import D\nfrom agents_of_ours import E\n# from agents\nagents = 1\n"
    )
