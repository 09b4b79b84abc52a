"""Runs the property tests with new random examples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Exploration", "explore"]

ROOT = Path(__file__).parents[1]
FOUND = ROOT / "proof"
"""The folder for failing examples. Hypothesis also stores them in `.hypothesis/` and tries them first."""
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
    """Runs each property test with many examples made from `seed`."""
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
