"""Runs our commands in processes of their own, without the cost of a new interpreter.

An interpreter needs about 0.8 s of CPU to import our libraries, and the tests start hundreds of commands. Therefore
`run`, `start` and `start_async` fork the command from a process that has imported the libraries (`command_server`).
The result is an ordinary process object of `subprocess` or `asyncio`: a child of this process with its own pid,
environment, folder, streams, signals and exit code. A test that needs a new interpreter calls `subprocess` with
`sys.executable`. The three functions do so, too, on other systems than Linux.
"""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["begin", "end", "run", "start", "start_async"]

_SERVER = Path(__file__).parent / "command_server.py"
_PYTHON = sys.executable if sys.platform != "linux" else f"{sys.executable} (forked)"
_PR_SET_CHILD_SUBREAPER = 36
_Popen = subprocess.Popen


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `python *arguments` to its end, as `subprocess.run` does with text streams. The first argument is `-m` or
    `-c`. The outputs are captured.
    """
    timeout, given, check = options.pop("timeout", None), options.pop("input", None), options.pop("check", False)
    if given is not None:
        options["stdin"] = subprocess.PIPE
    with start(*arguments, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}) as process:
        try:
            out, err = process.communicate(given, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(arguments, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Starts `python *arguments`, as `subprocess.Popen` does with text streams. The first argument is `-m` or `-c`."""
    return _ForkedPopen([_PYTHON, *map(str, arguments)], **{"text": True, **options})


async def start_async(*arguments: str | Path, **options: Any) -> asyncio.subprocess.Process:
    """Starts `python *arguments`, as `asyncio.create_subprocess_exec` does. The first argument is `-m` or `-c`."""
    with _processes_of_asyncio():
        return await asyncio.create_subprocess_exec(_PYTHON, *map(str, arguments), **options)


@contextmanager
def _processes_of_asyncio() -> Iterator[None]:
    """Lets asyncio make a `_ForkedPopen`. asyncio has no parameter for the class of its processes."""
    subprocess.Popen = _ForkedPopen  # type: ignore[misc]
    try:
        yield
    finally:
        subprocess.Popen = _Popen  # type: ignore[misc]


class _CommandServer:
    """The process that forks commands. It starts with the first command. Orphans of its forks become children of this
    process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._libc = ctypes.CDLL(None)
        self._requests, requests_of_server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, str(_SERVER), str(requests_of_server.fileno())]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # a process with threads cannot be forked safely
        self._subreaper(True)
        with requests_of_server:
            self._process = _Popen(command, pass_fds=[requests_of_server.fileno()], env=environment)
        self._subreaper(False)

    def fork(self, request: dict[str, Any], streams: list[int]) -> int:
        """Returns the pid of the new process."""
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
    """Starts the process that forks, if it does not run."""
    global _server
    if _server is None and sys.platform == "linux":
        _server = _CommandServer()


def end() -> None:
    """Ends the process that forks."""
    global _server
    if _server is not None:
        _server.close()
        _server = None


def _parameters() -> Sequence[str]:
    return list(inspect.signature(_Popen._execute_child).parameters)[1:]  # type: ignore[attr-defined]


class _ForkedPopen(subprocess.Popen):  # type: ignore[type-arg]
    """Forks the commands that begin with `_PYTHON`, and starts other programs as always. Only the start of the process
    differs from `subprocess.Popen`.
    """

    def _execute_child(self, *arguments: Any) -> None:
        given = dict(zip(_parameters(), arguments, strict=True))
        if given["args"][0] != _PYTHON or sys.platform != "linux":
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        begin()
        assert _server is not None
        environment = os.environ if given["env"] is None else given["env"]
        _, option, program, *words = given["args"]
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
