"""Implements `telephony serve --reload`: runs the server as a child process, and starts the server again when a file
changes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import typer

from telephony.env_file import environment
from telephony.web.server import check_port, free_port

from .errors import USAGE, CliError

__all__ = ["changed_files", "run_reloading", "watched_files"]

_EVERY_S = 0.5
_STOP_S = 10.0
_SUFFIXES = (".py", ".toml", ".md", ".txt", ".csv")
_NAMES = (".env",)
_LEFT_OUT = frozenset({"calls", "node_modules", "telephony-data", "site-packages", "tests"})
_MAX_FILES = 20_000
_OF_CHILD = {"TELEPHONY_DRAIN_S": "0", "TELEPHONY_FAREWELL_S": "0", "PYTHONDONTWRITEBYTECODE": "1"}
"""The environment of the child process. A restarted server does not wait for the ends of its calls. Bytecode is not
written, because a file that changes twice within a second would get the bytecode of the first change.
"""

_Files = Mapping[Path, tuple[int, int]]


def run_reloading(arguments: Sequence[str], *, host: str, port: int) -> None:
    """Runs the server at `host` and `port` until SIGINT or SIGTERM, and starts it again after each change of a file.
    `arguments` are the other arguments of `telephony serve`.

    The port stays the same, also with port 0. If the server ends by itself, for example because of an error in the
    code, the server starts again after the next change.

    Raises:
        CliError: there are too many files to watch.
        ServerFailed: the port is in use.
    """
    if port:
        check_port(host, port)
    else:
        port = free_port(host)
    command = [sys.executable, "-m", "telephony", "serve", *arguments, "--host", host, "--port", str(port)]
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    child: subprocess.Popen[bytes] | None = None
    try:
        files = watched_files(Path.cwd())
        while not stop.is_set():
            child = subprocess.Popen(command, env={**_OF_CHILD, **environment()})  # noqa: S603
            reported = False
            while not (changed := changed_files(files, now := watched_files(Path.cwd()))) and not stop.wait(_EVERY_S):
                if not reported and child.poll() is not None:
                    reported = True
                    typer.echo("The server has ended. It starts again when a file changes. Ctrl-C stops.", err=True)
            files = now
            if changed and not stop.is_set():
                typer.echo(f"{', '.join(changed[:3])} changed: the server starts again.", err=True)
            _end(child)
    finally:
        if child is not None:
            _end(child)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def watched_files(folder: Path) -> _Files:
    """Returns the files of the program in this folder and its subfolders, with the time of the last change and the size
    of each file. Hidden folders, environments, recorded calls and tests are left out. Raises `CliError` if there are
    too many files.
    """
    found = {}
    for path in _files(folder):
        try:
            state = path.stat()
        except OSError:  # the file was just removed
            continue
        found[path] = (state.st_mtime_ns, state.st_size)
        if len(found) > _MAX_FILES:
            raise CliError(f"{folder} has too many files to watch.", "Start in the folder of the agent.", code=USAGE)
    return found


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", "__"))
            and name not in _LEFT_OUT
            and not os.path.exists(os.path.join(where, name, "pyvenv.cfg"))
        ]
        for name in names:
            if name.endswith(_SUFFIXES) or name in _NAMES:
                yield Path(where, name)


def changed_files(before: _Files, now: _Files) -> list[str]:
    """Compares two results of `watched_files`. Returns the names of the files that are new, deleted or different."""
    return sorted(path.name for path in {*before, *now} if before.get(path) != now.get(path))
