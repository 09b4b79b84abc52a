"""Measures what the system calls of a call cost without any other work: `python -m benchmarks.system_calls`.

For each call, a second process sends a frame of the caller every 20 ms over a TCP connection on loopback. This process
waits with `epoll`, reads the frame with one `recv`, and writes a message of the size of the model's audio with one
`send`. It does nothing else: it does not mask, decode or convert. No bridge with one connection to the caller and one
connection to the model can have a lower cost on this machine. The two processes run on two cores, as in
`telephony bench`. It runs on Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from statistics import median

__all__ = ["cost_ms", "main"]

FRAME = bytes(430)
"""As large as a media message of Twilio with 20 ms of audio, with the head of its WebSocket frame."""
APPEND = bytes(1334)
"""As large as the message with 20 ms of PCM at 24 kHz to the model, with the head of its WebSocket frame."""
FRAME_S = 0.02


def cost_ms(calls: int, seconds: float) -> float:
    """Returns the CPU time in milliseconds per call and second, for `calls` calls at the same time."""
    ours, theirs = _connections(calls), list[socket.socket]()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for connection in ours:
            connection.connect(listening.getsockname())
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            theirs.append(listening.accept()[0])
    cores = sorted(os.sched_getaffinity(0))
    child = os.fork()
    if child == 0:
        try:
            os.sched_setaffinity(0, {cores[-1]})
            _talk(theirs, seconds)
        finally:
            os._exit(0)
    try:
        for connection in theirs:
            connection.close()
        os.sched_setaffinity(0, {cores[0]})
        frames, cpu_s = _answer(ours)
    finally:
        os.sched_setaffinity(0, cores)
        os.waitpid(child, 0)
        for connection in ours:
            connection.close()
    return 1000 * cpu_s / (frames * FRAME_S)


def _connections(count: int) -> list[socket.socket]:
    return [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]


def _talk(connections: Sequence[socket.socket], seconds: float) -> None:
    """Sends the frames at even distances, and takes what comes back."""
    for connection in connections:
        connection.setblocking(False)
    began = time.monotonic()
    for number in range(round(seconds / FRAME_S) * len(connections)):
        connection = connections[number % len(connections)]
        rest_s = began + number * FRAME_S / len(connections) - time.monotonic()
        if rest_s > 0:
            time.sleep(rest_s)
        connection.send(FRAME)
        try:
            connection.recv(65536)
        except BlockingIOError:
            pass


def _answer(connections: Sequence[socket.socket]) -> tuple[int, float]:
    """Answers each frame until the other process ends. Returns the number of frames, and the CPU time in seconds."""
    by_number = {connection.fileno(): connection for connection in connections}
    frames, start = 0, time.process_time()
    with select.epoll() as poll:
        for number, connection in by_number.items():
            connection.setblocking(False)
            poll.register(number, select.EPOLLIN)
        while by_number:
            for number, _ in poll.poll():
                connection = by_number[number]
                try:
                    data = connection.recv(65536)
                    connection.send(APPEND)
                except OSError:
                    data = b""
                frames += len(data) // len(FRAME)
                if not data:  # the other process has ended
                    poll.unregister(number)
                    del by_number[number]
    return frames, time.process_time() - start


def main() -> int:
    about = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.system_calls", description=about)
    parser.add_argument("--calls", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    costs = [cost_ms(given.calls, given.seconds) for _ in range(given.rounds)]
    figures = {"calls": given.calls, "median": median(costs), "least": min(costs), "greatest": max(costs)}
    if given.json:
        print(json.dumps(figures))
    else:
        print(f"{median(costs):.2f} ms of CPU per call and second ({min(costs):.2f}-{max(costs):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
