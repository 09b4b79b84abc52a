"""A process that has imported the libraries of the commands, and forks itself for each command.

`tests/support/commands.py` starts it and sends it requests over the socket whose number is the argument.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
import threading
import time
import traceback
import types
from typing import Any

PRELOADED = (
    "telephony.cli.app", "telephony.cli.serve", "telephony.cli.call", "telephony.cli.demo", "telephony.application.app",
    "telephony.records.database", "telephony.records.schema", "telephony.simulator.twilio", "alembic.command",
    "alembic.config", "sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql.psycopg", "uvicorn.main",
    "uvloop", "httptools", "pytest", "telephony.replay.replaying",
)  # fmt: skip
NO_MORE_THAN = 1 << 20


def main(number: int) -> None:
    sys.path.pop(0)  # the folder of this file
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    for name in PRELOADED:
        with contextlib.suppress(ImportError):  # an extra that is not installed
            importlib.import_module(name)
    gc.freeze()
    gc.enable()
    with socket.socket(fileno=number) as requests:
        while True:
            data, streams, _, _ = socket.recv_fds(requests, NO_MORE_THAN, 3)
            if not data:
                return
            if (between := os.fork()) == 0:
                _fork_again(requests, json.loads(data), streams)
            os.waitpid(between, 0)
            for stream in streams:
                os.close(stream)
            requests.send(b"forked")


def _fork_again(requests: socket.socket, request: dict[str, Any], streams: list[int]) -> None:
    """Forks again. The process between ends immediately, so its child becomes a child of the process that sent the
    request.
    """
    between = os.getpid()
    if child := os.fork():
        requests.send(str(child).encode())
        os._exit(0)
    while os.getppid() == between:
        time.sleep(0.0005)
    requests.close()
    os._exit(_run(request, streams))


def _run(request: dict[str, Any], streams: list[int]) -> int:
    """What `python -m` or `python -c` does after it has imported its libraries."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if request["new_session"]:
        os.setsid()
    if request["process_group"] >= 0:
        os.setpgid(0, request["process_group"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [request["folder"], *given]
    sys.argv = [request["option"], *request["arguments"]]
    importlib.invalidate_caches()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    sys.stdout, sys.stderr = _writer(1, "strict"), _writer(2, "backslashreplace")
    code = 0
    try:
        if request["option"] == "-m":
            runpy.run_module(request["program"], run_name="__main__", alter_sys=True)
        else:
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(request["program"], main.__dict__)
    except SystemExit as end:
        code = _code(end)
    except KeyboardInterrupt:
        traceback.print_exc()
        code = -signal.SIGINT
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    if code < 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return code & 0xFF


def _writer(number: int, errors: str) -> io.TextIOWrapper:
    raw = io.FileIO(number, "w", closefd=False)
    if os.environ.get("PYTHONUNBUFFERED"):
        return io.TextIOWrapper(raw, "utf-8", errors, write_through=True)
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", errors, line_buffering=number == 2 or raw.isatty())


def _code(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    main(int(sys.argv[1]))
