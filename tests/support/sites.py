"""The console in two setups: one process, and two processes behind Caddy. The same browser tests run on both.

`make test` uses one process. `make proof` uses both.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.extent import extent
from telephony.web.server import free_port
from tests.support.browser import Watched, serving
from tests.support.caddy import caddy, caddyfile

__all__ = ["SETUPS", "TWO_PROCESSES", "Site", "site", "two_processes"]

ONE_PROCESS, TWO_PROCESSES = "one process", "two processes behind Caddy"
SETUPS = extent([ONE_PROCESS], [ONE_PROCESS, TWO_PROCESSES])
TOKEN = "letmein"
DEPLOY = Path(__file__).parents[2] / "deploy"
SHORT_LEASE = (
    "from telephony.records import client; client.LEASE_S, client.RENEW_S = 5.0, 1.0; "
    "from telephony.__main__ import main; main()"
)
"""A killed process counts as dead after five seconds in place of sixty."""
NETWORK = "Failed to load resource"
"""How the browser complains about a request that the killed process did not answer."""


@dataclass
class Site:
    """A running console."""

    address: str
    person: str = "this machine"
    """The name of the person in the audit."""
    processes: dict[int, subprocess.Popen[str]] = field(default_factory=dict)
    """The processes behind Caddy by their number. They have the instances `phone-2` and `phone-3`."""
    killed: set[int] = field(default_factory=set)

    def log_in(self, context: Any) -> None:
        """Logs a browser in, if this site needs it."""
        if not self.processes:
            return
        page = context.new_page()
        page.goto(f"{self.address}/console/login")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_url("**/console")
        page.close()

    def number_of(self, phone: Watched) -> int:
        """The number of the process that has the call of this softphone."""
        found = re.findall(r"/i/phone-(\d)/console/phone/webhook", "\n".join(phone.requests))
        return int(found[-1])

    def kill_another(self, phone: Watched) -> None:
        """Kills a process that does not have the call of this softphone. One process stays as it is."""
        for number in self.processes.keys() - {self.number_of(phone)} if self.processes else ():
            self.kill(number)

    def kill(self, number: int) -> None:
        os.kill(self.processes[number].pid, signal.SIGKILL)
        self.processes[number].wait()
        self.killed.add(number)

    def unexplained(self, complaints: list[str]) -> list[str]:
        """The complaints of a browser that a killed process does not explain."""
        return [each for each in complaints if not (self.killed and each.startswith(NETWORK))]


@contextmanager
def site(setup: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Site]:
    """A console in this setup. `folder` is for the files of the setup."""
    if setup == TWO_PROCESSES:
        with two_processes(folder, environment) as it:
            yield it
    else:
        with serving(environment) as address:
            yield Site(address)


@contextmanager
def two_processes(folder: Path, environment: Mapping[str, str]) -> Iterator[Site]:
    """Two processes behind Caddy, with one database. Skips the test if there is no Caddy."""
    caddy()
    port, inner = free_port("127.0.0.1"), free_port("127.0.0.2")
    common = {
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "TWILIO_AUTH_TOKEN": "12345",
        "TELEPHONY_API_TOKEN": TOKEN,
        "DATABASE_URL": f"sqlite:///{folder}/records.db",
        "TELEPHONY_NUMBER_KEY": "0" * 64,
        "TELEPHONY_MODEL": "scripted",
        "TELEPHONY_CALLS_PER_CALLER_HOUR": "0",
        **environment,
    }
    with ExitStack() as stack:
        processes = {number: stack.enter_context(_process(number, inner, common)) for number in (2, 3)}
        address = stack.enter_context(_proxy(folder, port, inner))
        yield Site(address, "operator", processes)


@contextmanager
def _process(number: int, port: int, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    own = {"HOST": f"127.0.0.{number}", "PORT": str(port), "TELEPHONY_INSTANCE": f"phone-{number}"}
    process = subprocess.Popen(
        [sys.executable, "-c", SHORT_LEASE, "serve", "--json"],
        env={**os.environ, "LOG_LEVEL": "warning", **environment, **own},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def _proxy(folder: Path, port: int, inner: int) -> Iterator[str]:
    """Caddy with deploy/Caddyfile, without TLS."""
    public = f"http://127.0.0.1:{port}"
    config = caddyfile((DEPLOY / "Caddyfile").read_text()).replace("{$SITE} {", f"{public} {{")
    (folder / "Caddyfile").write_text(config)
    process = subprocess.Popen(
        [caddy(), "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"],
        env={"PROCESSES": f"127.0.0.2:{inner} 127.0.0.3:{inner}", "PROCESS": f"127.0.0.{{re.home.1}}:{inner}",
             "HOME": str(folder)},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port, process)
        yield public
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until the process accepts connections."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return
    raise AssertionError(f"Caddy ended with {process.returncode}.")
