"""The load generator: many callers on Twilio's side and their models, in one process with one clock.

`python -m telephony.bench.load` prints `{"model": address}`. For each input line `{"server": address, "pid": ...,
"calls": ..., "seconds": ...}`, the process makes the calls and prints the measurements (see `Load.measure`), or
`{"failed": reason}`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections import deque
from dataclasses import asdict
from typing import Any

from websockets.http11 import Request

from realtime_core.connection import Connection
from realtime_core.connection.websocket import serve

from .loop import run
from .synthetic_call import Figures, SyntheticCall, answer_deltas, caller_payloads

__all__ = ["main"]

_CONNECT_S = 20.0
_SETTLE_S = 0.5
_CPU_CLOCK = 2


class Load:
    """Makes the calls of a benchmark: plays both Twilio and the model for the measured server. The calls connect one
    after the other, so the n-th connection to the model belongs to the n-th call.
    """

    def __init__(self) -> None:
        self._numbers = 0
        self._expected: deque[SyntheticCall] = deque()

    async def serve_model(self, connection: Connection, request: Request) -> None:
        if self._expected:
            await self._expected.popleft().serve_model(connection)

    async def measure(self, server: str, pid: int, count: int, seconds: float) -> dict[str, Any]:
        """Makes `count` calls of `seconds` seconds at the same time to the address `server`. While all calls run,
        measures the CPU time and the memory of the server process `pid`. Returns the CPU time and the memory per call,
        the anonymous memory of the server (`anonymous_mb`), the share of one CPU that the server (`server_busy`) and
        this process (`load_busy`) used, and as `figures` the measured times (the fields of `Figures`).

        Raises:
            ExceptionGroup: the calls did not connect in time, or a connection failed.
        """
        figures = Figures()
        memory_before = memory_bytes(pid)
        calls = [SyntheticCall(self._numbers + number, figures) for number in range(count)]
        self._numbers += count
        over = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for number, call in enumerate(calls):
                self._expected.append(call)
                tasks.create_task(call.run(server, number / count, over))
                await asyncio.wait_for(call.configured.wait(), _CONNECT_S)
            await asyncio.sleep(_SETTLE_S)
            figures.reset()
            start, cpu_before, own_before = time.monotonic(), cpu_seconds(pid), time.process_time()
            await asyncio.sleep(seconds)
            cpu, own = cpu_seconds(pid) - cpu_before, time.process_time() - own_before
            length, memory, found = time.monotonic() - start, memory_bytes(pid), asdict(figures)
            anonymous = anonymous_mb(pid)
            over.set()
        return {
            "calls": count,
            "seconds": round(length, 2),
            "cpu_ms_per_call_second": 1000 * cpu / length / count,
            "anonymous_mb": anonymous,
            "rss_mb_per_call": (memory - memory_before) / 2**20 / count,
            "server_busy": cpu / length,
            "load_busy": own / length,
            "figures": found,
        }


def cpu_seconds(pid: int) -> float:
    """Returns the user and system time of all threads of a process, in seconds.

    The id of the clock is the same as from `clock_getcpuclockid` (glibc, Linux): the complement of the process id and
    the kind of the clock. `/proc/<pid>/stat` has a resolution of only 10 ms.
    """
    return time.clock_gettime(~pid << 3 | _CPU_CLOCK)


def memory_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def anonymous_mb(pid: int) -> float:
    """Returns the part of the resident set of a process that is no part of a file, in MB of 2**20 bytes."""
    with open(f"/proc/{pid}/statm") as statm:
        _, resident, of_files, *_ = map(int, statm.read().split())
    return (resident - of_files) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def _serve() -> None:
    load, loop = Load(), asyncio.get_running_loop()
    caller_payloads(), answer_deltas()
    # A garbage collection with 500 calls takes 10 ms, and would count as a delay of the server. The process lives only
    # for minutes.
    gc.disable()
    async with serve(load.serve_model, ping_interval_s=None) as server:
        _say({"model": f"http://127.0.0.1:{server.port}/v1"})
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            try:
                result = await load.measure(order["server"], order["pid"], order["calls"], order["seconds"])
            except ExceptionGroup as failure:
                result = {"failed": "; ".join(repr(error) for error in failure.exceptions)}
            _say(result)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    try:
        run(_serve())
    except KeyboardInterrupt:  # Ctrl-C reaches all processes of the terminal
        sys.exit(130)


if __name__ == "__main__":
    main()
