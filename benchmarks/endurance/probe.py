"""Answers, from within a server, how much the server holds: a thread behind a Unix socket.

`desk` is an agent source, and the environment variable `ENDURANCE_PROBE` names the socket. A line `light` asks for the
number of tasks, and a line `full` for all counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from typing import Any

from realtime_core import RealtimeAgent
from telephony.call.call import CallInfo
from telephony.tools import hang_up

from .counts import count
from .hours import book_table

__all__ = ["PROBE", "ask", "desk"]

PROBE = "ENDURANCE_PROBE"
_AGENT: RealtimeAgent[Any] = RealtimeAgent(name="Desk", instructions="Short sentences.", tools=[book_table, hang_up()])
_loops: list[asyncio.AbstractEventLoop] = []


async def desk(info: CallInfo) -> RealtimeAgent[Any]:
    """The agent of each call. The first call starts the probe."""
    if not _loops:
        _loops.append(asyncio.get_running_loop())
        threading.Thread(target=_serve, name="probe", daemon=True).start()
    return _AGENT


def ask(path: str, what: str) -> dict[str, Any]:
    """Asks the probe of another process. `what` is `light` or `full`."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(60)
        asking.connect(path)
        asking.sendall(f"{what}\n".encode())
        with asking.makefile() as answer:
            found: dict[str, Any] = json.loads(answer.read())
    return found


def _serve() -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.environ[PROBE])
        listening.listen()
        while True:
            taken, _ = listening.accept()
            with taken, taken.makefile("rw") as file:
                file.write(json.dumps(_answer(file.readline().strip())))
                file.flush()


def _answer(what: str) -> dict[str, Any]:
    if what == "light":
        return {"tasks": len(asyncio.all_tasks(_loops[0]))}
    counts = count(_loops[0])
    return {**counts.summary(), "types": counts.types, "held": counts.entries}
