"""Implements `telephony processes`: several servers on one machine, one for each core, and a rolling restart of these
servers.

A call belongs to one process. The URLs that Twilio gets contain the name of the process, `/i/phone-N/...`. The proxy
sends these requests to the loopback address 127.0.0.N. (Linux answers on each such address.) Therefore all processes
use the same port.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import typer

from .errors import USAGE, CliError

__all__ = ["Processes", "run_processes"]

log = logging.getLogger(__name__)

_AGAIN_S = 1.0
"""The pause in seconds before a process that ended by itself is started again."""
_NOTICED_S = 4.0
"""The maximum time in seconds until the proxy of `deploy/` sends new calls to a started process. The proxy checks the
process every second.
"""


_LAST_THAT_LOSES_BODIES = (2, 11, 1)
"""The newest version of Caddy that loses the body of a request that it tries again
(https://github.com/caddyserver/caddy/issues/7546).
"""


class _Process:
    """One server process of several. If the process ends, it is started again, until `stop` is called."""

    def __init__(self, number: int, port: int, arguments: Sequence[str]) -> None:
        self.name = f"phone-{number}"
        self.address = f"127.0.0.{number}:{port}"
        self.ready = asyncio.Event()
        """Set while the process takes calls."""
        self._command = [
            sys.executable, "-m", "telephony", "serve", *arguments,
            "--host", f"127.0.0.{number}", "--port", str(port), "--json",
        ]  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._restarting = False

    async def run(self) -> None:
        while not self._stopping:
            self._restarting = False
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"TELEPHONY_INSTANCE": self.name},
                start_new_session=True,  # Ctrl-C reaches this program alone, which tells each process to drain
            )
            assert process.stdout is not None
            try:
                if await process.stdout.readline():
                    self.ready.set()
                code = await process.wait()
            finally:
                self.ready.clear()
                if process.returncode is None:  # this program fails, and no process may run without it
                    process.kill()
            if not (self._stopping or self._restarting):
                log.error("%s ended with %d. It is started again.", self.name, code)
                await asyncio.sleep(_AGAIN_S)

    async def restart(self) -> None:
        """Drains the process, starts it again, and waits until it accepts calls and the proxy sends calls to it."""
        self._restarting = True
        self.ready.clear()
        self._terminate()
        await self.ready.wait()
        await asyncio.sleep(_NOTICED_S)

    def stop(self) -> None:
        """Drains the process. The second call of this method ends the process immediately."""
        self._stopping = True
        self._terminate()

    def _terminate(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()


class Processes:
    """Several servers with the same arguments of `telephony serve`, and the proxy before these servers, if configured.

    `proxy` is a Caddyfile, such as `deploy/Caddyfile`. The proxy gets two environment variables. `PROCESSES` has the
    addresses of all servers. `PROCESS` is the pattern `127.0.0.{re.home.1}:PORT`, with which the proxy finds one
    server: Caddy replaces `{re.home.1}` by the number of the server, from the path of the request.
    """

    def __init__(self, count: int, port: int, arguments: Sequence[str], proxy: Path | None = None) -> None:
        self._processes = [_Process(number, port, arguments) for number in range(1, count + 1)]
        self._proxy = proxy
        self._environment = {
            "PROCESSES": " ".join(process.address for process in self._processes),
            "PROCESS": f"127.0.0.{{re.home.1}}:{port}",
        }
        self._stopping = False
        self._rolling: asyncio.Task[None] | None = None

    async def run(self, on_ready: Callable[[Mapping[str, str]], None]) -> None:
        """Runs the processes until `stop` is called. `on_ready` is called with the address of each process when all
        processes accept calls.
        """
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(process.run(), name=process.name) for process in self._processes]
            proxy = tasks.create_task(self._run_proxy()) if self._proxy is not None else None
            all_ready = tasks.create_task(self._all_ready())
            await asyncio.wait([all_ready, *running], return_when=asyncio.FIRST_COMPLETED)
            if all_ready.done():
                on_ready({process.name: process.address for process in self._processes})
            all_ready.cancel()
            await asyncio.wait(running)
            if proxy is not None:
                proxy.cancel()  # the proxy ends last, because calls that drain go through it
            if self._rolling is not None:
                self._rolling.cancel()

    async def _all_ready(self) -> None:
        for process in self._processes:
            await process.ready.wait()

    async def _run_proxy(self) -> None:
        process = await asyncio.create_subprocess_exec(
            "caddy", "run", "--config", os.fspath(self._proxy or ""), "--adapter", "caddyfile",
            env=self._environment | os.environ, start_new_session=True,
        )  # fmt: skip
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        if not self._stopping:
            log.error("The proxy ended with %d. All processes stop.", code)
            self.stop()

    def restart(self) -> None:
        """Restarts all processes, one after the other. Each process drains, starts again, and accepts calls before the
        next process is restarted.
        """
        if self._rolling is None or self._rolling.done():
            self._rolling = asyncio.get_running_loop().create_task(self._restart(), name="rolling restart")

    async def _restart(self) -> None:
        for process in self._processes:
            if not self._stopping:
                log.info("%s drains and starts again.", process.name)
                await process.restart()
        log.info("All processes were restarted.")

    def stop(self) -> None:
        """Drains all processes at the same time, and ends them."""
        self._stopping = True
        for process in self._processes:
            process.stop()


def run_processes(count: int, port: int, arguments: Sequence[str], *, proxy: Path | None, as_json: bool) -> None:
    """Runs `count` server processes until SIGTERM or SIGINT. SIGHUP restarts the processes one after the other. All
    processes use the same `port`, each on an address of its own. `arguments` are the arguments of `telephony serve`.
    With `proxy`, also runs Caddy with this configuration file. With `as_json`, prints one JSON line with the addresses
    when all processes are ready.

    Raises `CliError` if the arguments cannot work.
    """
    if not sys.platform.startswith("linux"):
        raise CliError("Several processes need Linux, which answers on 127.0.0.2 and so on.", code=USAGE)
    if proxy is not None:
        _check_caddy()

    def on_ready(addresses: Mapping[str, str]) -> None:
        if as_json:
            typer.echo(json.dumps({"processes": addresses, "pid": os.getpid()}))
        else:
            for name, address in addresses.items():
                typer.echo(f"{name} answers at {address}")

    async def main() -> None:
        processes = Processes(count, port, arguments, proxy)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, processes.stop)
        loop.add_signal_handler(signal.SIGHUP, processes.restart)
        await processes.run(on_ready)

    asyncio.run(main())


def _check_caddy() -> None:
    """Logs a warning if the installed Caddy is too old. Raises `CliError` if Caddy is not installed."""
    caddy = shutil.which("caddy")
    if caddy is None:
        raise CliError("Caddy is not on PATH.", "install it (https://caddyserver.com/download), or leave --proxy out")
    done = subprocess.run([caddy, "version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", done.stdout)
    if found is not None and tuple(map(int, found.groups())) <= _LAST_THAT_LOSES_BODIES:
        log.warning(
            "Caddy %s loses the body of a request that it tries again: if a process is killed, Twilio gets errors for "
            "the calls of this process. Install Caddy %d.%d.%d or newer (https://caddyserver.com/download).",
            ".".join(found.groups()), *_LAST_THAT_LOSES_BODIES[:2], _LAST_THAT_LOSES_BODIES[2] + 1,
        )  # fmt: skip
