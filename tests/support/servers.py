"""Processes of other servers than ours, which serve the application."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from telephony.demo.environment import child_environment
from tests.support import commands
from tests.support.environment import ANY_LOAD

DESK = """
from realtime_core import RealtimeAgent
from telephony import create_app
app = create_app(RealtimeAgent(name="Desk"), greeting="Greet the caller.")
"""


@contextmanager
def uvicorn(folder: Path, *, desk: str = DESK, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`uvicorn desk:app`."""
    (folder / "desk.py").write_text(desk)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = child_environment(os.environ, {"PYTHONPATH": str(Path.cwd()), **ANY_LOAD, **settings})
    command = ("-m", "uvicorn", "desk:app", "--port", str(port))
    with commands.start(*command, stderr=subprocess.PIPE, env=environment, cwd=folder) as process:
        assert process.stderr is not None
        try:
            while "Uvicorn running" not in (line := process.stderr.readline()):
                assert line, "it did not start"
            yield process, f"http://127.0.0.1:{port}"
        finally:
            if process.poll() is None:
                process.kill()
