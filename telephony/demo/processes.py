"""The child processes of the demo. Each process is ended by its process id, also after a failure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from telephony.errors import DemoFailed

__all__ = ["Child", "child"]

_READY_S = 30.0
_STOP_S = 3.0
_STDERR_S = 1.0
_MAX_LINE = 2**22


class Child:
    """A Python process that prints one JSON object per line to standard output. The last lines on its standard error
    are stored. With `verbose`, these lines are also printed.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, *, verbose: bool) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._verbose = verbose
        self._said: deque[str] = deque(maxlen=50)
        self._silent = asyncio.Event()

    async def listen(self) -> None:
        """Reads and stores the last lines that the process writes to standard error, until the process ends."""
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._said.append(text)
            if self._verbose:
                sys.stderr.write(f"[{self.name}] {text}\n")
        self._silent.set()

    async def ready(self) -> dict[str, Any]:
        """Waits at most 30 seconds for the first JSON object that the process prints to standard output, and returns
        the object. Raises `DemoFailed` if no object arrives.
        """
        try:
            async with asyncio.timeout(_READY_S):
                line = await self._line()
        except TimeoutError:
            raise DemoFailed(
                f"The {self.name} was not ready after {_READY_S:.0f} s.{await self._stderr_note()}"
            ) from None
        if line is None:
            raise DemoFailed(f"The {self.name} did not start.{await self._stderr_note()}")
        return line

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """Yields each JSON object that the process prints to standard output, until the process ends. `ready` has
        already returned the first object. Raises `DemoFailed` if the exit code of the process is not 0.
        """
        while (line := await self._line()) is not None:
            yield line
        if code := await self._process.wait():
            raise DemoFailed(f"The {self.name} failed (exit code {code}).{await self._stderr_note()}")

    async def stop(self) -> None:
        """Ends the process with SIGTERM, and then with SIGKILL."""
        # Sent by the id, because `Popen.send_signal` polls the child first, and the loop then misses its exit code.
        for end in (signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, end)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_STOP_S):
                        await self._process.wait()

    async def _line(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    return value
        return None

    @property
    def last_error(self) -> str:
        """The last line that the process wrote to standard error."""
        return next((line.strip() for line in reversed(self._said) if line.strip()), "")

    async def _stderr_note(self) -> str:
        with contextlib.suppress(TimeoutError):  # standard output may end a moment before standard error
            async with asyncio.timeout(_STDERR_S):
                await self._silent.wait()
        return f" It said: {self.last_error}" if self.last_error else ""


@asynccontextmanager
async def child(
    name: str, arguments: Sequence[str], environment: Mapping[str, str], *, verbose: bool
) -> AsyncIterator[Child]:
    """Starts `python ARGUMENTS` as a child process, and ends the child at the end of this block. The child runs in a
    separate process session, so Ctrl-C reaches only the parent, which then ends the child.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env=dict(environment), cwd=os.getcwd(), start_new_session=True, limit=_MAX_LINE,
    )  # fmt: skip
    started = Child(name, process, verbose=verbose)
    listener = asyncio.create_task(started.listen())
    try:
        yield started
    finally:
        await started.stop()
        listener.cancel()
        await asyncio.wait([listener])
