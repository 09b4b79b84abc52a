"""deploy/: the image's build steps, time-outs that agree, and the proxy, run for real with TLS and signatures."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser import TRATTORIA

from realtime_core.connection import websocket
from telephony.settings import Settings
from telephony.simulator import Phone, SimulatedTwilio
from telephony.simulator.calls import SimulatedCall
from telephony.simulator.events import HungUp

pytestmark = [pytest.mark.real_time, pytest.mark.xdist_group("processes")]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CLOSING_S = 10
"""What the server takes to close its last connections (uvicorn's own time-out is 5 s), and some."""
TOKEN = "a-token"


# --- time-outs ---------------------------------------------------------------------------------------------------


def number(file: str, pattern: str) -> float:
    found = re.findall(pattern, (DEPLOY / file).read_text())
    assert len(found) >= 1, f"{file} has no {pattern}"
    return float(found[0])


@pytest.mark.parametrize(
    "file, stop, pause",
    [
        ("compose.yaml", r"stop_grace_period: (\d+)s", 0),
        ("telephony.service", r"TimeoutStopSec=(\d+)", 0),
        ("kubernetes/telephony.yaml", r"terminationGracePeriodSeconds: (\d+)", r'command: \["sleep", "(\d+)"\]'),
    ],
)
def test_nobody_is_killed_while_it_drains(file: str, stop: str, pause: str | int) -> None:
    drain = number(file, r'TELEPHONY_DRAIN_S(?:: |=|, value: )"?(\d+)')
    farewell = number(file, r'TELEPHONY_FAREWELL_S(?:: |=|, value: )"?(\d+)')
    before = number(file, pause) if isinstance(pause, str) else 0
    assert number(file, stop) >= before + drain + farewell + CLOSING_S
    assert drain >= Settings.model_fields["telephony_drain_s"].default


def test_the_proxy_of_pods_goes_after_them() -> None:
    grace = r"terminationGracePeriodSeconds: (\d+)"
    assert number("kubernetes/proxy.yaml", grace) >= number("kubernetes/telephony.yaml", grace)


# --- the image ---------------------------------------------------------------------------------------------------


def instructions(stage: int) -> Iterator[tuple[str, str]]:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    stages = re.split(r"^FROM .*\n", text, flags=re.MULTILINE)[1:]
    for line in stages[stage].splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


def test_the_images_steps_build_a_server_that_starts(tmp_path: Path) -> None:
    """Each COPY and RUN of the first stage, in an empty folder with an empty environment; then the second's command."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("no uv on PATH: the image brings its own")
    environment = {"PATH": f"{Path(uv).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "UV_PYTHON": sys.executable}
    environment |= {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_"))}
    environment.pop("UV_PROJECT_ENVIRONMENT", None)
    environment["UV_CACHE_DIR"] = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True).stdout.strip()
    app = tmp_path / "app"
    app.mkdir()
    for name, rest in instructions(0):
        if name == "COPY" and not rest.startswith("--from"):
            *sources, target = shlex.split(rest)
            for source in sources:
                copy(ROOT / source, app / target if len(sources) == 1 else app / source)
        elif name == "RUN":
            subprocess.run(["sh", "-ec", rest], cwd=app, env=environment, check=True, timeout=300)
    for package in ("realtime_core", "telephony"):
        shutil.rmtree(app / package)  # the second stage has the environment alone
    process = subprocess.Popen(
        [app / ".venv/bin/telephony", "serve", "--port", "0", "--json"],
        cwd=app,
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as output:
        address = json.loads(output.readline())["listening"]
        probe = next(rest for name, rest in instructions(1) if name == "HEALTHCHECK").split("CMD", 1)[1]
        command = json.loads(probe)
        port = address.rpartition(":")[2]
        subprocess.run([app / ".venv/bin/python", *command[1:]], env={"PORT": port}, check=True, timeout=10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


# --- the proxy ---------------------------------------------------------------------------------------------------


def caddy() -> str:
    if (path := shutil.which("caddy")) is None:
        pytest.skip("no caddy on PATH (Debian: apt-get install caddy)")
    return path


def caddyfile(text: str) -> str:
    """As this machine's Caddy takes it: before 2.7 streams outlive no reload."""
    version = subprocess.run([caddy(), "version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.findall(r"\d+", version)[:2]
    return re.sub(r"\tstream_close_delay .*\n", "", text) if (int(major), int(minor)) < (2, 7) else text


@pytest.mark.parametrize("file", ["Caddyfile", "kubernetes/Caddyfile"])
def test_the_proxys_configuration_is_valid(file: str, tmp_path: Path) -> None:
    config = tmp_path / "Caddyfile"
    config.write_text(caddyfile((DEPLOY / file).read_text()))
    environment = {"SITE": "phone.example.com", "PROCESSES": "phone-1:8000 phone-2:8000", "HOME": str(tmp_path)}
    adapted = subprocess.run(
        [caddy(), "adapt", "--config", config, "--adapter", "caddyfile"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert adapted.returncode == 0, adapted.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Site:
    twilio: SimulatedTwilio
    processes: list[asyncio.subprocess.Process]
    port: int

    async def ring(self, heard_s: float = 1.0) -> SimulatedCall:
        async def caller(phone: Phone) -> None:
            await phone.agent_speaks(within_s=20)
            await phone.heard(heard_s, within_s=30)
            phone.hang_up()

        return await self.twilio.ring(caller=caller)

    def calls_begun(self, number: int) -> int:
        """How many the process of this number has served, as it says itself."""
        request = urllib.request.Request(
            f"http://127.0.0.{number}:{self.port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=5) as response:
            return round(float(re.findall(r"^telephony_calls_total (\S+)", response.read().decode(), re.MULTILINE)[0]))


@asynccontextmanager
async def site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """Two servers (phone-2 on 127.0.0.2, phone-3 on 127.0.0.3), Caddy with deploy/Caddyfile, a simulated Twilio."""
    executable = caddy()
    port, inner = free_port(), free_port()
    public = f"https://localhost:{port}"
    certificate, key = make_certificate(folder)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    websocket._default_tls.cache_clear()
    config = caddyfile((DEPLOY / "Caddyfile").read_text())
    for written, here in {
        "\tadmin off\n": "\tadmin off\n\tauto_https off\n",
        "{$SITE} {\n": f"{public} {{\n\ttls {certificate} {key}\n",
        "(phone-[0-9]+)": "phone-([0-9]+)",
        "{re.home.1}:8000": f"127.0.0.{{re.home.1}}:{inner}",
    }.items():
        assert written in config
        config = config.replace(written, here)
    (folder / "Caddyfile").write_text(config)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(server(name, inner, public)) for name in (2, 3)]
        proxy = await asyncio.create_subprocess_exec(
            executable, "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile",
            env={"PROCESSES": f"127.0.0.2:{inner} 127.0.0.3:{inner}", "HOME": str(folder)},
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        stack.push_async_callback(stop, proxy)
        await reachable(port)
        twilio = await stack.enter_async_context(SimulatedTwilio(auth_token=TOKEN, numbers=()))
        twilio.add_number("+14155550199", voice_url=f"{public}/incoming-call")
        yield Site(twilio, servers, inner)
    websocket._default_tls.cache_clear()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@asynccontextmanager
async def server(number: int, port: int, public: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        "HOST": f"127.0.0.{number}", "PORT": str(port), "PUBLIC_URL": public, "TWILIO_AUTH_TOKEN": TOKEN,
        "TELEPHONY_INSTANCE": f"phone-{number}", "TELEPHONY_WHEN_DRAINING": f"{public}/incoming-call",
        "TELEPHONY_MODEL": "scripted", "TELEPHONY_SCRIPT": str(TRATTORIA), "LOG_LEVEL": "warning",
        "TELEPHONY_CALLS_PER_CALLER_HOUR": "0", "TELEPHONY_API_TOKEN": TOKEN,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "telephony", "serve", "--json", env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    await process.stdout.readline()
    try:
        yield process
    finally:
        await stop(process)


async def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def reachable(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def check(call: SimulatedCall) -> None:
    """It was answered, heard, and ended by its caller; nothing was lost or sent wrongly on the way."""
    assert (call.status, call.failure, call.warnings) == ("completed", None, [])
    assert len(call.streams) == 1
    assert any(isinstance(event, HungUp) for event in call.streams[0].events)


def test_twenty_calls_through_tls_find_their_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with site(tmp_path, monkeypatch) as here:
            calls = await asyncio.gather(*(here.ring() for _ in range(20)))
            for call in calls:
                check(call)
            begun = [here.calls_begun(number) for number in (2, 3)]
            assert sum(begun) == 20, "a stream that does not find the session warmed for it would be counted twice"
            assert min(begun) > 0

    asyncio.run(main())


def test_no_call_is_lost_when_a_process_of_two_is_told_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with site(tmp_path, monkeypatch) as here:
            going, _ = here.processes
            async with asyncio.TaskGroup() as group:
                before = [group.create_task(here.ring(heard_s=4.0)) for _ in range(8)]
                await asyncio.sleep(1.5)
                going.send_signal(signal.SIGTERM)
                after = []
                for _ in range(8):
                    after.append(group.create_task(here.ring()))
                    await asyncio.sleep(0.25)
            for task in before + after:
                check(task.result())
            assert await asyncio.wait_for(going.wait(), 10) == 0

    asyncio.run(main())
