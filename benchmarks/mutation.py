"""Tests the tests of pure modules: mutmut changes operators, constants and arguments, one at a time.

`tool.mutmut` in `pyproject.toml` names the modules and their tests. `mutation_survivors.toml` explains each change that
no test finds. Source: https://mutmut.readthedocs.io/
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KILLED_PERCENT", "Mutant", "Mutation", "explained", "mutate", "read_mutant"]

ROOT = Path(__file__).parents[1]
EXPLANATIONS = ROOT / "benchmarks" / "mutation_survivors.toml"
KILLED_PERCENT = 90.0
"""The share of mutants that the tests must find."""


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """One change: `before` and `after` are the changed lines without indentation."""

    module: str
    function: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.module}, {self.function}\n  - {self.before}\n  + {self.after}"


@dataclass(frozen=True, slots=True)
class Mutation:
    """How many mutants of each module the tests found, and the survivors without an explanation."""

    mutants: dict[str, int]
    killed: dict[str, int]
    unexplained: list[Mutant]
    unused: list[Mutant]
    """The explained mutants that do not survive, or no longer exist."""

    @property
    def killed_percent(self) -> float:
        total = sum(self.mutants.values())
        return 100 * sum(self.killed.values()) / total if total else 0.0


def mutate() -> Mutation:
    """Makes all mutants, and runs the tests against each."""
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    _mutmut("run", "--max-children", str(os.cpu_count() or 1))
    return results()


def results() -> Mutation:
    """Returns the results of the last run."""
    outcomes = dict(_outcomes(_mutmut("results", "--all", "true").splitlines()))
    mutants = Counter(_module(name) for name in outcomes)
    surviving = [name for name, outcome in outcomes.items() if outcome not in ("killed", "timeout")]
    killed = mutants - Counter(map(_module, surviving))
    found = {read_mutant(name, _mutmut("show", name)) for name in surviving}
    known = set(explained(EXPLANATIONS.read_text()))
    return Mutation(dict(mutants), dict(killed), sorted(found - known), sorted(known - found))


def explained(text: str) -> Iterator[Mutant]:
    """Yields the mutants of a file of explanations. Each entry has a module, a function, the line `before`, the changed
    lines `after`, and `why` the change has no effect.
    """
    for entry in tomllib.loads(text)["survivor"]:
        assert entry["why"], f"{entry}: say why"
        for after in entry["after"]:
            yield Mutant(entry["module"], entry["function"], entry["before"], after)


def read_mutant(name: str, diff: str) -> Mutant:
    """Returns the mutant with this name of mutmut's, from its diff."""
    module, _, function = name.rpartition(".")
    function = function.partition("__mutmut_")[0]
    # `x_name` is a function, `xǁClassǁname` a method.
    function = function.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in function else function.removeprefix("x_")
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Mutant(module, function, before, after)


def _outcomes(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, colon, outcome = line.strip().partition(": ")
        if colon:
            yield name, outcome


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _mutmut(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    return subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=False).stdout
