"""A soak of the real `telephony serve`: `python -m benchmarks.endurance.soak --minutes 30`.

Calls come and go from two other processes: people on a simulated Twilio, with signed webhooks, and the synthetic calls
of `telephony bench`. Records, journals, metrics, consoles and placed calls are on. The resident set is sampled
all the time. Objects are counted without calls, before and after.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

from telephony.demo.environment import child_environment

from ..consoles import open_consoles
from .counts import growth
from .probe import PROBE, ask
from .soak_load import ACCOUNT, API_TOKEN, AUTH_TOKEN, MEASURED, PUBLIC, TALKED

__all__ = ["slope", "soak"]

ROOT = Path(__file__).parents[2]
_WARM_UP_S = 45.0
_QUIET_S = 20.0
_EVERY_S = 5.0
_STOP_S = 60.0


def soak(minutes: float, *, talking: int, measured: int, short: bool = False) -> dict[str, Any]:
    """Runs the soak and returns its figures."""
    with tempfile.TemporaryDirectory(prefix="soak") as name:
        folder = Path(name)
        with (
            _child("-m", "benchmarks.endurance.soak_load", "talks") as talks,
            _child("-m", "benchmarks.endurance.soak_load", "measures") as measures,
        ):
            models = _line(talks), _line(measures)
            (folder / "numbers.toml").write_text(_numbers(models[0]["model"], models[1]["model"]))
            probe = str(folder / "probe")
            environment = {
                "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": AUTH_TOKEN, "TWILIO_PHONE_NUMBER": TALKED,
                "TELEPHONY_TWILIO_API_URL": models[0]["twilio"], "PUBLIC_URL": PUBLIC, "OPENAI_API_KEY": "soak",
                "OPENAI_BASE_URL": models[0]["model"],
                "TELEPHONY_API_TOKEN": API_TOKEN, "TELEPHONY_NUMBERS": str(folder / "numbers.toml"),
                "TELEPHONY_DATA_DIR": str(folder / "data"), "TELEPHONY_JOURNAL_DIR": str(folder / "journals"),
                "TELEPHONY_MINUTES_PER_DAY": "0", "TELEPHONY_QUIET_HOURS": "off", "LOG_LEVEL": "warning",
                "TELEPHONY_MAX_LOOP_LAG_S": "5",
                PROBE: probe, "PYTHONPATH": os.fspath(ROOT),
            }  # fmt: skip
            with _child(*_SERVE, environment=environment) as server:
                return _measure(server, talks, measures, probe, minutes, talking, measured, short=short)


_SERVE = (
    "-m", "telephony", "serve", "benchmarks.endurance.probe:desk", "--port", "0", "--json", "--greeting",
    "Greet the caller.",
)  # fmt: skip


def _measure(
    server: subprocess.Popen[str], talks: subprocess.Popen[str], measures: subprocess.Popen[str], probe: str,
    minutes: float, talking: int, measured: int, *, short: bool,
) -> dict[str, Any]:  # fmt: skip
    address = str(_line(server)["listening"])

    def calls(seconds: float) -> Iterator[tuple[float, float, int, int, int]]:
        """Keeps calls in progress, and yields samples of the server until they are over."""
        for process, n in ((talks, talking), (measures, measured)):
            _order(process, {"server": address, "seconds": seconds, "calls": n})
        began = time.monotonic()
        while (at := time.monotonic() - began) < seconds:
            time.sleep(_EVERY_S)
            if server.poll() is not None:
                raise SystemExit(f"The server ended with {server.returncode}.")
            tasks = ask(probe, "light")["tasks"] if os.path.exists(probe) else 0
            yield (round(at, 1), *_resources(server.pid), tasks)

    def quiet() -> dict[str, Any]:
        time.sleep(_QUIET_S)
        return {**ask(probe, "full"), **_as_dict(_resources(server.pid))}

    with open_consoles(address, token=API_TOKEN) as feeds:
        list(calls(15.0 if short else _WARM_UP_S))
        _line(talks), _line(measures)
        before = quiet()
        samples = list(calls(60 * minutes))
        talked, counted = _line(talks), _line(measures)
        after = quiet()
        events = sum(feed.events for feed in feeds)
    metrics = _metrics(address)
    began = time.monotonic()
    server.terminate()
    code = server.wait(_STOP_S)
    total = talked["calls"] + counted["calls"]
    per_hour, confidence = slope([(at / 3600, mb) for at, mb, *_ in samples])
    rate = total / (minutes / 60)
    return {
        "minutes": minutes,
        "calls": {"talking": talked["calls"], "measured": counted["calls"], "at_once": [talking, measured]},
        "statuses": talked["statuses"],
        "failed": counted["failed"],
        "rss_mb_per_hour": [round(per_hour, 2), round(confidence, 2)],
        "rss_mb_per_1000_calls": [round(1000 * per_hour / rate, 2), round(1000 * confidence / rate, 2)],
        "samples": samples,
        "latencies": counted["rows"],
        "before": {name: before[name] for name in _NAMES},
        "after": {name: after[name] for name in _NAMES},
        "grown": dict(list(growth(before["types"], after["types"], more_than=20).items())[:25]),
        "grown_entries": dict(list(growth(before["held"], after["held"], more_than=20).items())[:25]),
        "database_connections": [_connections(each["types"]) for each in (before, after)],
        "console_events": events,
        "metrics": metrics,
        "stopped": {"code": code, "after_s": round(time.monotonic() - began, 1)},
    }


_NAMES = ("objects", "entries", "tasks", "threads", "descriptors", "rss_mb")


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Returns the slope of a line through the points, and half of its 95 % confidence interval. Samples one after the
    other are not independent, so the interval is that of the means of ten parts.
    """
    parts = min(10, len(points))
    size = len(points) / parts
    means = [
        (mean(x for x, _ in part), mean(y for _, y in part))
        for part in (points[round(n * size) : round((n + 1) * size)] for n in range(parts))
        if part
    ]
    if len(means) < 3:
        return 0.0, math.inf
    x_mean, y_mean = mean(x for x, _ in means), mean(y for _, y in means)
    spread = sum((x - x_mean) ** 2 for x, _ in means)
    found = sum((x - x_mean) * (y - y_mean) for x, y in means) / spread
    rest = sum((y - y_mean - found * (x - x_mean)) ** 2 for x, y in means)
    return found, _T95[len(means) - 2] * math.sqrt(rest / (len(means) - 2) / spread)


_T95 = (0.0, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31)
"""Student's t for 95 %, by degrees of freedom."""


def _connections(types: Mapping[str, int]) -> int:
    return sum(n for name, n in types.items() if name in ("sqlite3.Connection", "psycopg.Connection"))


def _resources(pid: int) -> tuple[float, int, int]:
    """Returns the resident set in MB, and the numbers of descriptors and threads."""
    with open(f"/proc/{pid}/statm") as statm:
        rss = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return round(rss, 2), len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


def _as_dict(resources: tuple[float, int, int]) -> dict[str, Any]:
    return dict(zip(("rss_mb", "descriptors", "threads"), resources, strict=True))


def _metrics(address: str) -> dict[str, float]:
    from urllib.request import Request, urlopen

    request = Request(f"{address}/metrics", headers={"Authorization": f"Bearer {API_TOKEN}"})
    with urlopen(request, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    wanted = ("telephony_calls_total", "telephony_underruns", "telephony_journal", "telephony_records")
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if line.startswith(wanted))
        if "_bucket" not in name and "_created" not in name
    }


def _numbers(talks: str, measures: str) -> str:
    return f"""
[models.talks]
base_url = "{talks}"

[models.measures]
base_url = "{measures}"

[numbers."{TALKED}"]
agent = "benchmarks.endurance.probe:desk"
models = ["talks"]

[numbers."{MEASURED}"]
agent = "benchmarks.endurance.probe:desk"
models = ["measures"]
"""


@contextmanager
def _child(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Runs a Python process that exchanges JSON lines, during this block."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=child_environment(os.environ, environment or {}), cwd=ROOT,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _order(process: subprocess.Popen[str], order: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"A process of the soak ended: {process.args!r}")
    message: dict[str, Any] = json.loads(line)
    return message


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance.soak", description=(__doc__ or "")[:80])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--talking", type=int, default=3, help="people at once")
    parser.add_argument("--measured", type=int, default=5, help="synthetic calls at once")
    arguments = parser.parse_args()
    found = soak(
        arguments.minutes, talking=arguments.talking, measured=arguments.measured, short=arguments.minutes <= 2
    )
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
