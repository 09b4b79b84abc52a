"""Tests the tests: new random examples for each property test, and mutations of the pure modules."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KILLED_PERCENT", "Exploration", "Mutation", "explore", "mutate"]

ROOT = Path(__file__).parents[1]
FOUND = ROOT / "proof"
"""The folder for failing examples. Hypothesis also stores them in `.hypothesis/` and tries them first."""
KILLED_PERCENT = 90.0
"""The share of mutants that the tests must find. `tool.mutmut` in `pyproject.toml` names modules and tests."""
_CLOSING = re.compile(r"\d+ (?:passed|failed|error).*")


@dataclass(frozen=True, slots=True)
class Exploration:
    """The outcome of all property tests with examples of one seed."""

    seed: int
    outcome: str
    holds: bool
    report: str | None
    """The file with the failing examples."""


def explore(seed: int) -> Exploration:
    """Run each property test with many examples made from `seed`."""
    command = [sys.executable, "-m", "pytest", "-m", "hypothesis", f"--hypothesis-seed={seed}", "-n", "auto"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PROOF": "1"}, text=True, capture_output=True, check=False
    )
    closing = _CLOSING.findall(done.stdout)
    outcome = closing[-1] if closing else f"pytest ended with {done.returncode}"
    report = None
    if done.returncode:
        FOUND.mkdir(exist_ok=True)
        path = FOUND / f"examples-{seed}.txt"
        path.write_text(done.stdout + done.stderr)
        report = str(path.relative_to(ROOT))
    return Exploration(seed, outcome, done.returncode == 0, report)


@dataclass(frozen=True, slots=True)
class Mutation:
    """How many mutants of the pure modules the tests found. `survivors` counts the others by function."""

    mutants: int
    killed: int
    survivors: dict[str, int]

    @property
    def killed_percent(self) -> float:
        return 100 * self.killed / self.mutants if self.mutants else 0.0


def mutate() -> Mutation:
    """Change operators, constants and arguments one at a time, and run the tests of the module against each change.

    Source: mutmut, https://mutmut.readthedocs.io/. Its diffs of the survivors go to `proof/survivors.diff`.
    """
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    _mutmut("run", "--max-children", str(os.cpu_count() or 1))
    _mutmut("export-cicd-stats")
    stats = json.loads((ROOT / "mutants" / "mutmut-cicd-stats.json").read_text())
    survivors = [line.split(":")[0].strip() for line in _mutmut("results").splitlines() if ":" in line]
    FOUND.mkdir(exist_ok=True)
    with (FOUND / "survivors.diff").open("w") as file:
        for name in survivors:
            file.write(_mutmut("show", name))
    functions = Counter(name.partition("__mutmut_")[0] for name in survivors)
    return Mutation(stats["total"], stats["total"] - len(survivors), dict(sorted(functions.items())))


def _mutmut(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    return subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=False).stdout
