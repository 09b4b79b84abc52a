"""Checks that a change of structure does not change behaviour: compares hashes of journals of calls in virtual time.

`python -m benchmarks.behaviour write` stores the hashes of the present code; `check` compares with them. The calls are
the demonstration with 20 seeds over a rough line, and the calls of the stories in `tests/telephony`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .repeat import journal_of

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "figures" / "behaviour.json"
SEEDS = range(20)
STORIES = "tests/telephony/stories"


def demonstrations() -> dict[str, str]:
    """Returns the hash of the demonstration's journal for each seed, without the header, which holds versions."""
    return {f"demo {seed}": _hash(journal_of(seed).partition(b"\n")[2]) for seed in SEEDS}


def stories() -> dict[str, str]:
    """Returns the hash of each call's journal in the stories, by test and number of the call."""
    with tempfile.TemporaryDirectory() as folder:
        hashes = Path(folder) / "hashes.jsonl"
        environment = {**os.environ, "JOURNAL_HASHES": str(hashes)}
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not hypothesis", STORIES]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        if done.returncode:
            sys.exit("The stories fail: their journals cannot be compared.")
        return dict(json.loads(line) for line in hashes.read_text().splitlines())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.behaviour", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["write", "check"])
    wanted = parser.parse_args().what
    found = demonstrations() | stories()
    if wanted == "write":
        KEPT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        print(f"{len(found)} journals are stored in {KEPT.relative_to(ROOT)}.")
        return 0
    kept = json.loads(KEPT.read_text())
    differing = sorted(name for name in kept.keys() & found.keys() if kept[name] != found[name])
    for name in differing:
        print(f"differs: {name}")
    for name in sorted(kept.keys() ^ found.keys()):
        print(f"only {'kept' if name in kept else 'found'}: {name}")
    print(f"{len(kept.keys() & found.keys()) - len(differing)} of {len(kept)} journals are the same.")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
