"""Writes the files of a new project, makes one call in virtual time, and adds the call as a test."""

from __future__ import annotations

import importlib.util
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from ..call.options import AgentSource
from ..demo.in_memory import call_in_memory
from ..demo.plan import Plan
from ..errors import ProjectError
from ..journal.redaction import Redaction
from ..replay.recording_files import make_test

__all__ = ["AGENT", "new_project"]

AGENT = "desk:agent"
"""The import string of the agent of a new project."""
_GREETING = "Greet the caller and ask how you can help."
_RENAMED = {"dotenv": ".env", "gitignore": ".gitignore", "project.toml": "pyproject.toml"}
"""The file names in the package and in the new project. The names differ for files that build tools would read or leave
out.
"""
_PRIVATE = {".env"}
_SEED = 1


def new_project(folder: Path) -> list[Path]:
    """Creates a project in a new or empty folder. Returns its files, relative to the folder.

    Raises:
        ProjectError: the folder already contains files, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ProjectError(f"{folder} has files already. Choose a new folder, or an empty one.")
        name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "my-agent"
        for place, source in _sources(files(__package__) / "project", ""):
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600 if path.name in _PRIVATE else 0o666)
            path.write_text(source.read_text("utf-8").replace("NAME", name, 1), encoding="utf-8")
        _record(folder)
    except OSError as error:
        raise ProjectError(f"{error.filename or folder} cannot be written: {error.strerror}.") from error
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def _sources(folder: Traversable, under: str) -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir() and each.name != "__pycache__":
            yield from _sources(each, f"{under}{each.name}/")
        elif each.is_file():
            yield under + _RENAMED.get(each.name, each.name), each


def _record(folder: Path) -> None:
    """Makes the simulated call of `simulation/`, and writes the recording and the test of this call."""
    simulation = folder / "simulation"
    with tempfile.TemporaryDirectory() as temporary, _module(folder / "desk.py") as agent:
        plan = Plan(
            AGENT, simulation / "script.toml", live=False, run_tools=True, folder=Path(temporary), verbose=False,
            caller_name=str(simulation / "caller.toml"),
        )  # fmt: skip
        made = call_in_memory(plan, agent, _GREETING, _SEED)
        make_test(made.journal, "booking", AGENT, folder / "tests", Redaction())


@contextmanager
def _module(path: Path) -> Iterator[AgentSource]:
    """Loads the module in a file, and yields its agent. The module has a unique name during the block."""
    name = "_telephony_new_project"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        yield module.agent
    finally:
        del sys.modules[name]
        sys.dont_write_bytecode = written
