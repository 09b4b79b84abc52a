"""Processes of our commands that are forked from a process that has imported their libraries.

An interpreter needs about 0.8 s of CPU for these imports, and the tests start hundreds of commands. A forked process is
a child of the process that asked for it, with its own pid, environment, folder, streams, signals and exit code. What
depends on the start of an interpreter is tested by `test_installed_wheel.py`, `test_start_up.py` and `test_deploy.py`.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

__all__ = ["FORKED", "begin", "end", "install"]

FORKED = "# forked\n"
"""Programs for `python -c` that begin with this line are forked, too."""
MODULES = ("telephony", "uvicorn", "pytest")
_SERVER = Path(__file__).parent / "command_server.py"
_PARAMETERS = list(inspect.signature(subprocess.Popen._execute_child).parameters)[1:]  # type: ignore[attr-defined]
_PR_SET_CHILD_SUBREAPER = 36
_KNOWN = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
_ORDINARY = subprocess.Popen


class _CommandServer:
    """Starts with the first command. Linux only: orphans of its forks become children of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._libc = ctypes.CDLL(None)
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, str(_SERVER), str(theirs.fileno())]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # a process with threads cannot be forked safely
        self._subreaper(True)
        with theirs:
            self._process = _ORDINARY(command, pass_fds=[theirs.fileno()], env=environment)
        self._subreaper(False)

    def fork(self, request: dict[str, Any], streams: list[int]) -> int:
        """The pid of the new process."""
        with self._lock:
            self._subreaper(True)
            socket.send_fds(self._requests, [json.dumps(request).encode()], streams)
            pid = int(self._requests.recv(100))
            self._requests.recv(100)  # the process between has ended
            self._subreaper(False)
        return pid

    def close(self) -> None:
        self._requests.close()
        self._process.wait()

    def _subreaper(self, on: bool) -> None:
        self._libc.prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


_server: _CommandServer | None = None


def begin() -> None:
    """Start the process that forks, if it does not run."""
    global _server
    if _server is None and subprocess.Popen is not _ORDINARY:
        _server = _CommandServer()


def end() -> None:
    """End the process that forks."""
    global _server
    if _server is not None:
        _server.close()
        _server = None


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    """Forks our commands, and starts other programs as always."""

    def _execute_child(self, *arguments: Any) -> None:
        given = dict(zip(_PARAMETERS, arguments, strict=True))
        if not _is_ours(given):
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        begin()
        assert _server is not None
        environment = os.environ if given["env"] is None else given["env"]
        _, option, program, *words = map(os.fspath, given["args"])
        request = {
            "option": option,
            "program": program,
            "arguments": words,
            "folder": os.path.abspath(given["cwd"] or os.getcwd()),
            "environment": {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()},
            "new_session": given["start_new_session"],
            "process_group": given["process_group"],
        }
        wanted = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        streams = [number if stream == -1 else stream for number, stream in enumerate(wanted)]
        self.pid = _server.fork(request, streams)
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in pipes))  # type: ignore[attr-defined]


def _is_ours(given: dict[str, Any]) -> bool:
    args, environment = given["args"], given["env"] or {}
    if isinstance(args, str | bytes) or not isinstance(args, list | tuple) or len(args) < 3 or given["shell"]:
        return False
    ordinary = (given["executable"], given["preexec_fn"], given["uid"], given["gid"], given["gids"])
    if any(value is not None for value in ordinary) or given["pass_fds"] or given["umask"] >= 0:
        return False
    special = any(name.startswith("PYTHON") and name not in _KNOWN for name in environment)
    if args[0] != sys.executable or special or "--reload" in args:
        return False
    return (args[1] == "-m" and args[2] in MODULES) or (args[1] == "-c" and args[2].startswith(FORKED))


def install() -> None:
    """From now on, this process forks our commands."""
    if sys.platform == "linux":
        subprocess.Popen = _Popen  # type: ignore[misc]
