"""Measures the memory that one live call costs: `python -m benchmarks.memory`.

The real server has two numbers of calls under load, each in a new process. The cost of a call is the slope of the
resident set between them, so what a server needs without calls does not count. The pages of files, such as libraries,
do not count, because they depend on what the machine has read before. Linux only.

The result depends on the load of the machine: a server that gets no CPU keeps what it could not send. If the machine
has other work, run `chrt -f 1 python -m benchmarks.memory`.
"""

from __future__ import annotations

import argparse
import sys

from telephony.bench.measuring import quantile
from telephony.bench.processes import SYSTEMS, running

__all__ = ["used_mb"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, nargs=2, default=(20, 70), help="the two numbers of calls")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--system", choices=SYSTEMS, default="ours")
    arguments = parser.parse_args()
    few, many = arguments.calls
    with running(SYSTEMS[arguments.system]):
        pass  # compiles the modules, which takes memory as well
    for _ in range(arguments.rounds):
        least, most = (used_mb(arguments.system, calls, arguments.seconds) for calls in (few, many))
        sys.stdout.write(f"{(most - least) / (many - few):.3f} MB a call\n")
    return 0


def used_mb(system: str, calls: int, seconds: float) -> float:
    """Returns the memory in MB (of 2**20 bytes) of a new server of this kind, at the end of `seconds` seconds with
    `calls` calls at once.
    """
    with running(SYSTEMS[system]) as target:
        result = target.measure(calls, seconds)
    delay_ms = 1000 * quantile(sorted(result["figures"]["up"]), 0.99)
    sys.stdout.write(f"{calls} calls: {result['anonymous_mb']:.1f} MB, p99 of the inbound delay {delay_ms:.1f} ms\n")
    sys.stdout.flush()
    return float(result["anonymous_mb"])


if __name__ == "__main__":
    sys.exit(main())
