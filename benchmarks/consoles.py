"""Measures what open consoles cost the calls: `python -m benchmarks.consoles`.

The real server has calls under load, with five open consoles and without, in turns. Three consoles show the list of
live calls, one shows one call, and one never reads what it gets.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException, HTTPResponse
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from telephony.bench.processes import SYSTEMS, running

__all__ = ["CPU_LIMIT_PERCENT", "cost", "open_consoles"]

CPU_LIMIT_PERCENT = 10.0
"""The limit for the CPU cost of five consoles for each call, in percent."""
_LISTS = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.consoles", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=50, help="calls at once")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    report = cost(calls=arguments.calls, seconds=arguments.seconds, rounds=arguments.rounds)
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 0


def cost(*, calls: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Returns the CPU of the server (ms per call and second) and the underruns, with five consoles and without."""
    cpu: dict[str, list[float]] = {"without": [], "with": []}
    underruns = {"without": 0, "with": 0}
    events = 0
    with running(SYSTEMS["ours"]) as target:
        for number in range(rounds):
            for name in ("without", "with") if number % 2 == 0 else ("with", "without"):
                with ExitStack() as stack:
                    feeds = stack.enter_context(open_consoles(target.address)) if name == "with" else []
                    figures = target.measure(calls, seconds)
                    events += sum(feed.events for feed in feeds)
                cpu[name].append(figures["cpu_ms_per_call_second"])
                underruns[name] += figures["figures"]["underruns"]
    before, after = median(cpu["without"]), median(cpu["with"])
    return {
        "calls": calls,
        "cpu_ms_per_call_s": {"without": round(before, 3), "with": round(after, 3), "rounds": cpu},
        "added_percent": round(100 * (after / before - 1), 1),
        "underruns": underruns,
        "events": events,
    }


class _Feed(threading.Thread):
    """Reads a feed until it is closed. `first_sid` is set when the first call was seen."""

    def __init__(self, address: str, path: str, token: str) -> None:
        super().__init__(daemon=True)
        self._socket = _request(address, path, token)
        self.events = 0
        self.first_sid = ""
        self.seen = threading.Event()

    def run(self) -> None:
        try:
            answer = HTTPResponse(self._socket)
            answer.begin()
            for line in answer:
                if line.startswith(b"data: ") and line.endswith(b"\n"):
                    self._take(json.loads(line[6:]))
        except (OSError, HTTPException):
            return

    def _take(self, event: dict[str, Any]) -> None:
        self.events += 1
        if not self.first_sid and (calls := event.get("calls")):
            self.first_sid = calls[0]["sid"]
            self.seen.set()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def open_consoles(address: str, *, token: str = "") -> Iterator[list[_Feed]]:
    """Five open consoles. The one of a single call opens when the first call is live. `token` is the token of the
    server's API.
    """
    lists = [_Feed(address, "/console/api/live", token) for _ in range(_LISTS)]
    feeds = list(lists)
    deaf = _request(address, "/console/api/live", token)
    for feed in lists:
        feed.start()

    def open_call() -> None:
        if lists[0].seen.wait(30):
            feed = _Feed(address, f"/console/api/calls/{lists[0].first_sid}/feed", token)
            feed.start()
            feeds.append(feed)

    opening = threading.Thread(target=open_call, daemon=True)
    opening.start()
    try:
        yield feeds
    finally:
        opening.join(1)
        for feed in feeds:
            feed.close()
            feed.join(5)
        deaf.close()


def _request(address: str, path: str, token: str) -> socket.socket:
    """Sends a request, and reads nothing."""
    parts = urlsplit(address)
    made = socket.create_connection((parts.hostname or "", parts.port or 80), 10)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.settimeout(None)
    login = f"Authorization: Bearer {token}\r\n" if token else ""
    made.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{login}\r\n".encode())
    return made


if __name__ == "__main__":
    sys.exit(main())
