"""Starts the systems under test and the load generator as processes, each on its own core, and measures the systems."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import BenchmarkFailed
from ..urls import websocket_address

__all__ = ["SYSTEMS", "System", "Target", "cores", "former", "running"]

_MAX_CALLS = 2000
_SERVE = ("-m", "telephony", "serve", "desk:agent", "--port", "0", "--json")


@dataclass(frozen=True, slots=True)
class System:
    """A system under test: the arguments of Python, and the environment of the process. `has_journal` is True if the
    system writes a journal of each call and keeps its call records in SQLite.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    has_journal: bool = False


SYSTEMS: Mapping[str, System] = {
    "ours": System(_SERVE, has_journal=True),
    "ours, journal off": System(_SERVE),
    "bare bridge": System(("-m", "telephony.bench.bridges", "bare")),
    "bare pass-through": System(("-m", "telephony.bench.bridges", "through")),
    "echo": System(("-m", "telephony.bench.bridges", "echo")),
}
"""The systems that the benchmark measures, by name: the server of this package with and without journals, and minimal
programs for comparison. These programs (bridges) only pass audio between Twilio and the model, and
`telephony.bench.bridges` describes them.
"""


def former(root: Path) -> System:
    """Returns a system for the load benchmark to measure: the server of another version of this repository, without
    journals. `root` is the folder of that version.
    """
    return System(_SERVE, {"PYTHONPATH": os.fspath(root.resolve())})


class Target:
    """A server whose performance a benchmark measures, as a running process, together with the process that makes the
    calls to the server.
    """

    def __init__(self, server: subprocess.Popen[str], load: subprocess.Popen[str], address: str) -> None:
        self._server = server
        self._load = load
        self._address = address

    @property
    def address(self) -> str:
        """The address of the media stream. Other requests go to the same host and port."""
        return self._address

    def measure(self, calls: int, seconds: float) -> dict[str, Any]:
        """Makes this number of calls at the same time for `seconds` seconds. Returns the measurements as a JSON object:
        the CPU time and the memory of the server per call, the load of both processes, and under `figures` the measured
        times, such as the delay of the audio.

        Raises:
            BenchmarkFailed: the calls could not be made. The processes must be restarted before the next measurement.
        """
        order = {"server": self._address, "pid": self._server.pid, "calls": calls, "seconds": seconds}
        assert self._load.stdin is not None
        self._load.stdin.write(json.dumps(order) + "\n")
        self._load.stdin.flush()
        result = _read(self._load)
        if "failed" in result:
            raise BenchmarkFailed(f"{calls} calls could not be made ({result['failed']}). Use fewer --calls.")
        return result


@contextmanager
def running(system: System) -> Iterator[Target]:
    """Starts the processes of a system and of its load generator, and ends them after this block. Before the block, one
    call is made and not measured, because the first call is slower.

    Raises:
        BenchmarkFailed: a process ended before it answered.
    """
    server_core, *others = cores()
    with tempfile.TemporaryDirectory(prefix="telephony-bench-") as folder:
        (Path(folder) / "desk.py").write_text((files(__package__) / "agent.py").read_text())
        with _process(("-m", "telephony.bench.load"), core=others[0] if others else None) as load:
            environment = {
                "OPENAI_BASE_URL": str(_read(load)["model"]),
                "OPENAI_API_KEY": "bench-api-key",  # long enough to be masked in journals
                "LOG_LEVEL": "warning",
                "TELEPHONY_MAX_CALLS": str(_MAX_CALLS),
                "TELEPHONY_DATA_DIR": f"{folder}/data" if system.has_journal else "off",
                **({"TELEPHONY_JOURNAL_DIR": f"{folder}/journals"} if system.has_journal else {}),
                **system.environment,
            }
            core = server_core if others else None
            with _process(system.arguments, core=core, environment=environment, folder=folder) as server:
                address = websocket_address(_read(server)["listening"], "/media-stream")
                target = Target(server, load, address)
                target.measure(1, 2.0)
                yield target


@contextmanager
def _process(
    arguments: tuple[str, ...],
    *,
    core: int | None,
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Runs a Python process that exchanges JSON lines, on one core, during this block."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "TWILIO_", "TELEPHONY_"))}
    for name in ("PUBLIC_URL", "DATABASE_URL"):
        clean.pop(name, None)
    child = subprocess.Popen(  # noqa: S603 - the arguments are those of `SYSTEMS`
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**clean, **(environment or {})},
    )
    with child:
        try:
            if core is not None:
                os.sched_setaffinity(child.pid, {core})
            yield child
        finally:
            child.terminate()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


def cores() -> list[int]:
    """Returns the numbers of the processor cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def _read(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise BenchmarkFailed(
            f"A process of the benchmark ended with {child.wait()}: python {' '.join(map(str, child.args[1:]))}. Its "  # type: ignore[index]
            "messages are above. If the machine is busy, use fewer --calls."
        )
    message: dict[str, Any] = json.loads(line)
    return message
