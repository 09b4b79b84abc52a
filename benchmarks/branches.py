"""Prints the coverage of the last test run: the lines of both packages, and the branches of the pure modules.

`make coverage` runs it after the tests. The import contract in `pyproject.toml` names the pure modules. The
command fails if fewer than 95 % of their branches were run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["main", "pure_modules", "report"]

ROOT = Path(__file__).parents[1]
BRANCHES_PERCENT = 95.0


def main() -> int:
    command = [sys.executable, "-m", "coverage", "json", "-q", "-o", "-"]
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True)
    modules = pure_modules((ROOT / "pyproject.toml").read_text())
    lines, percent = report(json.loads(done.stdout)["files"], modules)
    print(*lines, sep="\n")
    return 0 if percent >= BRANCHES_PERCENT else 1


def pure_modules(pyproject: str) -> list[str]:
    """Returns the modules of the contract that forbids event loops and sockets."""
    contracts = tomllib.loads(pyproject)["tool"]["importlinter"]["contracts"]
    (modules,) = (each["source_modules"] for each in contracts if each["type"] == "forbidden")
    return list(modules)


def report(files: Mapping[str, Any], modules: Iterable[str]) -> tuple[list[str], float]:
    """Returns the lines to print, and the share of the branches of `modules` in percent. `files` is from coverage's
    JSON.
    """
    summaries = {path: each["summary"] for path, each in files.items()}
    run, lines = _sums(summaries.values(), "covered_lines", "num_statements")
    pure = {path: each for path, each in summaries.items() if _is_of(path, modules)}
    taken, branches = _sums(pure.values(), "covered_branches", "num_branches")
    percent = 100 * taken / branches if branches else 0.0
    needed = f"{BRANCHES_PERCENT:.0f} % needed"
    return [
        *_gaps(pure),
        f"branch coverage of the pure modules: {percent:.1f} % ({taken} of {branches}; {needed})",
        f"line coverage of realtime_core and telephony: {100 * run / max(lines, 1):.1f} % ({run} of {lines})",
    ], percent


def _is_of(path: str, modules: Iterable[str]) -> bool:
    """Returns whether the file is one of these modules, or in one of these packages."""
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _gaps(summaries: Mapping[str, Any]) -> Iterator[str]:
    """Yields the files with branches that were not run, the most first."""
    missing = {path: each["num_branches"] - each["covered_branches"] for path, each in summaries.items()}
    for path, number in sorted(missing.items(), key=lambda each: -each[1]):
        if number:
            yield f"  {path}: {number} of {summaries[path]['num_branches']} branches not run"


def _sums(summaries: Iterable[Mapping[str, int]], *names: str) -> list[int]:
    found = list(summaries)
    return [sum(each.get(name, 0) for each in found) for name in names]


if __name__ == "__main__":
    sys.exit(main())
