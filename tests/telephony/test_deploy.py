"""deploy/: the image's build steps, time-outs that agree, and the proxy, run for real with TLS and signatures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from realtime_core.connection import websocket
from telephony.call.pacing.policy import CallPolicy
from telephony.settings import Settings
from telephony.simulator import Handset, SimulatedTwilio
from telephony.simulator.calls import SimulatedCall
from telephony.simulator.events import HungUp
from tests.support import commands
from tests.support.browser import RATE, TRATTORIA
from tests.support.caddy import caddy, caddyfile

pytestmark = pytest.mark.real_time

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CLOSING_S = 10
"""The time in seconds that the server needs to close its last connections (uvicorn's own time-out is 5 s), and some
more.
"""
TOKEN = "a-token"
PROGRAM = ("-m", "telephony")
"""What Python runs as the server."""


class _Unmoved(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


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
        ("telephony-processes.service", r"TimeoutStopSec=(\d+)", 0),
        ("kubernetes/telephony.yaml", r"terminationGracePeriodSeconds: (\d+)", r'command: \["sleep", "(\d+)"\]'),
    ],
)
def test_nobody_is_killed_while_it_drains(file: str, stop: str, pause: str | int) -> None:
    drain = number(file, r'TELEPHONY_DRAIN_S(?:: |=|, value: )"?(\d+)')
    farewell = number(file, r'TELEPHONY_FAREWELL_S(?:: |=|, value: )"?(\d+)')
    before = number(file, pause) if isinstance(pause, str) else 0
    assert number(file, stop) >= before + drain + farewell + CLOSING_S
    assert drain >= Settings.model_fields["telephony_drain_s"].default


def test_a_pod_is_left_the_longest_call() -> None:
    assert number("kubernetes/telephony.yaml", r'TELEPHONY_DRAIN_S, value: "(\d+)"') == CallPolicy().max_call_s


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


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each COPY and RUN of the first stage, in an empty folder with an empty environment."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("no uv on PATH: the image brings its own")
    home = tmp_path_factory.mktemp("image")
    environment = {"PATH": f"{Path(uv).parent}:/usr/bin:/bin", "HOME": str(home), "UV_PYTHON": sys.executable}
    environment |= {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_"))}
    environment.pop("UV_PROJECT_ENVIRONMENT", None)
    environment["UV_CACHE_DIR"] = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True).stdout.strip()
    app = home / "app"
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
    return app


READ_ONLY = """
awk '{print $2}' /proc/self/mounts | sort -u | while read -r mount; do
  case $mount in /proc*|/sys*|/dev*) ;; *) mount -o remount,bind,ro "$mount" ;; esac
done
if touch /tmp/written "$PWD/written" 2>/dev/null; then exit 99; fi
exec "$@"
"""


def sealed() -> list[str]:
    """Returns the command that starts a program in which every file system is read-only, or skips the test."""
    own = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    seal = [*own, "sh", "-ec", READ_ONLY, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*seal, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a mount namespace (unshare), which a read-only root takes")
    return seal


def test_the_images_server_starts_and_says_that_it_is_well(built: Path) -> None:
    process = subprocess.Popen(
        [built / ".venv/bin/telephony", "serve", "--port", "0", "--json"],
        cwd=built,
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
        subprocess.run([built / ".venv/bin/python", *command[1:]], env={"PORT": port}, check=True, timeout=60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_the_images_server_takes_a_call_where_nothing_can_be_written(built: Path) -> None:
    async def caller(phone: Handset) -> None:
        await phone.agent_speaks(within_s=20)
        phone.hang_up()

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            *sealed(), built / ".venv/bin/telephony", "serve", "--port", "0", "--json",
            cwd=built, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TELEPHONY_JOURNAL_DIR": "calls"},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            address = json.loads(await process.stdout.readline())["listening"]
            async with SimulatedTwilio(numbers=()) as twilio:
                twilio.add_number("+14155550199", voice_url=f"{address}/incoming-call")
                call = await twilio.ring(to="+14155550199", caller=caller)
            assert (call.status, call.failure, call.warnings) == ("completed", None, [])
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
        finally:
            await stop(process)

    asyncio.run(main())


def test_what_the_example_settings_write_has_a_volume() -> None:
    """Journals, records, and the list to which the tool `opt_out` adds: the container is read-only elsewhere."""
    example, image = (DEPLOY / ".env.example").read_text(), dict(instructions(1))
    compose = (DEPLOY / "compose.yaml").read_text()
    (journals,) = re.findall(r"^#TELEPHONY_JOURNAL_DIR=(\S+)$", example, re.MULTILINE)
    (do_not_call,) = re.findall(r"^#TELEPHONY_DO_NOT_CALL=(\S+)$", example, re.MULTILINE)
    (data,) = re.findall(r"^#TELEPHONY_DATA_DIR=(\S+)$", example, re.MULTILINE)
    folders = {"journals": journals, "lists": str(Path(do_not_call).parent), "data": data}
    for volume, folder in folders.items():
        assert f"    - {volume}:{image['WORKDIR']}/{folder}\n" in compose
        assert f"\n  {volume}:\n" in compose.partition("\nvolumes:")[2]
    user, group = image["USER"].split(":")
    made = f"install -d -o {user} -g {group} -m 0700 {' '.join(folders.values())}"
    assert image["RUN"] == made, "a new volume takes its owner"


def test_the_image_runs_as_a_number_and_not_as_root() -> None:
    user = next(rest for name, rest in instructions(1) if name == "USER")
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user), "a name cannot be held against runAsNonRoot"
    assert f"runAsUser: {user.partition(':')[0]}" in (DEPLOY / "kubernetes/telephony.yaml").read_text()
    for file, setting in {
        "compose.yaml": "read_only: true",
        "kubernetes/telephony.yaml": "readOnlyRootFilesystem: true",
    }.items():
        assert setting in (DEPLOY / file).read_text()


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


# --- the proxy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["Caddyfile", "kubernetes/Caddyfile"])
def test_the_proxys_configuration_is_valid(file: str, tmp_path: Path) -> None:
    config = tmp_path / "Caddyfile"
    config.write_text(caddyfile((DEPLOY / file).read_text()))
    environment = {"SITE": "phone.example.com", "PROCESSES": "phone-1:8000 phone-2:8000", "HOME": str(tmp_path)}
    environment["PROCESS"] = "phone-{re.home.1}:8000"
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

    async def ring(self, heard_s: float = 0.5) -> SimulatedCall:
        """Makes a call whose stream breaks once in its middle. The call can continue only in its own process."""

        async def caller(phone: Handset) -> None:
            await came_back.wait()
            await phone.heard(heard_s, within_s=30)
            phone.hang_up()

        came_back = asyncio.Event()
        call = self.twilio.start_ringing(caller=caller)
        while not await answered(call):  # a machine with too much to do is busy, and says so: ring again
            await asyncio.sleep(0.5)
            call = self.twilio.start_ringing(caller=caller)
        try:
            async with asyncio.timeout(40):
                await speaks(call, stream=1)
                call.stream._connection._transport.abort()  # as networks break it
                await speaks(call, stream=2)
                came_back.set()
                await call.finished()
        finally:
            call.end()
        return call

    def calls_begun(self, number: int) -> int:
        """How many the process of this number has served, as it says itself."""
        request = urllib.request.Request(
            f"http://127.0.0.{number}:{self.port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            by_direction = re.findall(r"^telephony_calls_total\{.*\} (\S+)", response.read().decode(), re.MULTILINE)
        return round(sum(map(float, by_direction)))


def prepare(folder: Path, public: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """deploy/Caddyfile with a certificate of our own, which this process trusts."""
    certificate, key = make_certificate(folder)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    websocket._default_tls.cache_clear()
    config = caddyfile((DEPLOY / "Caddyfile").read_text())
    for written, here in {
        "\tadmin off\n": "\tadmin off\n\tauto_https off\n",
        "{$SITE} {\n": f"{public} {{\n\ttls {certificate} {key}\n",
    }.items():
        assert written in config
        config = config.replace(written, here)
    (folder / "Caddyfile").write_text(config)
    return folder / "Caddyfile"


@asynccontextmanager
async def site(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    twilio: SimulatedTwilio | None = None,
    program: Sequence[str] = PROGRAM,
    **settings: str,
) -> AsyncIterator[Site]:
    """Two servers (phone-2 on 127.0.0.2, phone-3 on 127.0.0.3), Caddy with deploy/Caddyfile, a simulated Twilio."""
    executable = caddy()
    port, inner = free_port(), free_port()
    public = f"https://localhost:{port}"
    config = prepare(folder, public, monkeypatch)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(server(name, inner, public, settings, program)) for name in (2, 3)]
        proxy = await asyncio.create_subprocess_exec(
            executable, "run", "--config", config, "--adapter", "caddyfile",
            env={"PROCESSES": f"127.0.0.2:{inner} 127.0.0.3:{inner}", "PROCESS": f"127.0.0.{{re.home.1}}:{inner}",
                 "HOME": str(folder)},
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        stack.push_async_callback(stop, proxy)
        await reachable(port)
        if twilio is None:
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
async def server(
    number: int, port: int, public: str, settings: Mapping[str, str], program: Sequence[str] = PROGRAM
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        "HOST": f"127.0.0.{number}", "PORT": str(port), "PUBLIC_URL": public, "TWILIO_AUTH_TOKEN": TOKEN,
        "TELEPHONY_INSTANCE": f"phone-{number}", "TELEPHONY_WHEN_DRAINING": f"{public}/incoming-call",
        "TELEPHONY_MODEL": "scripted", "TELEPHONY_SCRIPT": str(TRATTORIA), "LOG_LEVEL": "warning",
        "TELEPHONY_CALLS_PER_CALLER_HOUR": "0", "TELEPHONY_API_TOKEN": TOKEN, **settings,
    }  # fmt: skip
    process = await commands.start_async(
        *program, "serve", "--json", env=os.environ | environment,
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
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def answered(call: SimulatedCall) -> bool:
    while call.status == "ringing":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return call.status != "busy"


async def speaks(call: SimulatedCall, *, stream: int) -> None:
    """The agent is heard on this stream of the call's."""
    while len(call.streams) < stream or len(call.streams[stream - 1].heard) < RATE // 4:
        assert not call.is_over, f"{call} is over: {call.warnings}"
        await asyncio.sleep(0.02)


def check(call: SimulatedCall) -> None:
    """Checks that the call was answered, heard on both its streams, and ended by its caller, and that no invalid
    message was sent.
    """
    assert (call.status, call.failure) == ("completed", None)
    assert [("31903" in warning) for warning in call.warnings] == [True], call.warnings
    assert len(call.streams) == 2
    assert any(isinstance(event, HungUp) for event in call.streams[1].events)


def test_twenty_calls_through_tls_find_their_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with site(tmp_path, monkeypatch) as here:
            async with asyncio.TaskGroup() as group:
                calls = []
                for _ in range(20):
                    calls.append(group.create_task(here.ring()))
                    await asyncio.sleep(0.05)
            for call in calls:
                check(call.result())
            begun = [here.calls_begun(number) for number in (2, 3)]
            assert sum(begun) == 20, "a stream that does not find its call, or the session warmed for it, counts twice"
            assert min(begun) > 0
            assert not [line for line in here.twilio.log_lines if " callback: " in line], "all found their way"

    asyncio.run(main())


def test_no_call_is_lost_when_a_process_of_two_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with site(tmp_path, monkeypatch) as here:
            going, _ = here.processes
            async with asyncio.TaskGroup() as group:
                before = [group.create_task(here.ring(heard_s=2.0)) for _ in range(8)]
                while sum(bool(call.streams) for call in here.twilio.calls.values()) < 8:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                going.send_signal(signal.SIGTERM)
                after = []
                for _ in range(8):
                    after.append(group.create_task(here.ring()))
                    await asyncio.sleep(0.1)
            for task in before + after:
                check(task.result())
            assert await asyncio.wait_for(going.wait(), 10) == 0
            assert not [line for line in here.twilio.log_lines if " callback: " in line], "all found their way"

    asyncio.run(main())


def test_a_caller_hears_busy_if_no_process_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def patient(phone: Handset) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with site(tmp_path, monkeypatch, TELEPHONY_MAX_CALLS="1") as here:
            while sum(call.status == "in-progress" for call in here.twilio.calls.values()) < 2:
                await answered(here.twilio.start_ringing(caller=patient))
            await asyncio.sleep(2.0)  # until the proxy has asked both
            call = await here.twilio.ring(caller=patient)
            assert (call.status, call.warnings) == ("busy", [])

    asyncio.run(main())


# --- several processes on one machine --------------------------------------------------------------------------------


@asynccontextmanager
async def processes(
    folder: Path, public: str, inner: int, config: Path
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, str]]]:
    environment = {
        "PUBLIC_URL": public, "TWILIO_AUTH_TOKEN": TOKEN, "TELEPHONY_WHEN_DRAINING": f"{public}/incoming-call",
        "TELEPHONY_MODEL": "scripted", "TELEPHONY_SCRIPT": str(TRATTORIA), "LOG_LEVEL": "warning",
        "TELEPHONY_CALLS_PER_CALLER_HOUR": "0", "TELEPHONY_API_TOKEN": TOKEN,
        "HOME": str(folder), "TELEPHONY_DATA_DIR": str(folder / "data"),
    }  # fmt: skip
    process = await commands.start_async(
        "-m", "telephony", "processes", "2", "--port", str(inner), "--proxy", config, "--json",
        env=os.environ | environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            ready = json.loads(await process.stdout.readline())
        yield process, ready["processes"]
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(60):
                await process.wait()


def started_at(address: str) -> float:
    """When the process at this address began, in Unix time."""
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=60) as response:
        text = response.read().decode()
    return float(re.findall(r"^process_start_time_seconds (\S+)", text, re.MULTILINE)[0])


def test_no_call_is_lost_while_all_processes_of_a_machine_are_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caddy()

    async def main() -> None:
        port, inner = free_port(), free_port()
        public = f"https://localhost:{port}"
        config = prepare(tmp_path, public, monkeypatch)
        async with AsyncExitStack() as stack:
            running, addresses = await stack.enter_async_context(processes(tmp_path, public, inner, config))
            assert addresses == {"phone-1": f"127.0.0.1:{inner}", "phone-2": f"127.0.0.2:{inner}"}
            await reachable(port)
            twilio = await stack.enter_async_context(SimulatedTwilio(auth_token=TOKEN, numbers=()))
            twilio.add_number("+14155550199", voice_url=f"{public}/incoming-call")
            here = Site(twilio, [], inner)
            before = {name: started_at(address) for name, address in addresses.items()}
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(here.ring(heard_s=1.0)) for _ in range(4)]
                while sum(bool(call.streams) for call in twilio.calls.values()) < 4:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                running.send_signal(signal.SIGHUP)
                for name in addresses:  # the next restart begins when this process takes calls again
                    calls.append(group.create_task(here.ring()))
                    await until_restarted(addresses[name], before[name])
            for call in calls:
                check(call.result())
        websocket._default_tls.cache_clear()

    asyncio.run(main())


async def until_restarted(address: str, before: float) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if await asyncio.to_thread(started_at, address) > before:
                    return
            except OSError:
                pass
            await asyncio.sleep(0.1)


def test_the_console_finds_a_call_in_any_process_also_after_its_process_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes share a database. A client speaks with the proxy, and with each process directly."""

    def post(address: str, what: str, sid: str, body: object = None) -> tuple[int, str]:
        request = urllib.request.Request(
            f"{address}/console/api/calls/{sid}/{what}",
            data=json.dumps(body or {}).encode(),
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        try:
            with urllib.request.build_opener(_Unmoved).open(request, timeout=60) as response:
                return response.status, ""
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Location", "")

    async def caller(phone: Handset) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        url = f"sqlite:///{tmp_path}/records.db"
        async with site(tmp_path, monkeypatch, DATABASE_URL=url) as here:
            call = here.twilio.start_ringing(caller=caller)
            await speaks(call, stream=1)
            direct = {number: f"http://127.0.0.{number}:{here.port}" for number in (2, 3)}
            (own,) = [number for number in direct if here.calls_begun(number)]
            other = 5 - own
            say = await asyncio.to_thread(post, direct[own], "say", call.sid, {"words": "Hello."})
            assert say == (202, "")
            moved = await asyncio.to_thread(post, direct[other], "say", call.sid, {"words": "Hello."})
            assert moved == (307, f"/i/phone-{own}/console/api/calls/{call.sid}/say")
            here.processes[own - 2].kill()
            await here.processes[own - 2].wait()
            prefix = f"{direct[other]}/i/phone-{own}"  # as the proxy sends it, because the process is gone
            gone, _ = await asyncio.to_thread(post, prefix, "say", call.sid, {"words": "Hello."})
            assert gone in (409, 503), "the call is over, or its process does not answer"
            call.end()
            async with asyncio.timeout(60):
                while True:  # the proxy needs some seconds to see which process is gone
                    again = here.twilio.start_ringing(caller=caller)
                    with contextlib.suppress(AssertionError):
                        await speaks(again, stream=1)
                        break
            public = here.twilio.numbers["+14155550199"].voice_url.removesuffix("/incoming-call")
            async with asyncio.timeout(60):
                while (found := await asyncio.to_thread(post, public, "hang-up", again.sid))[0] in (502, 503):  # noqa: ASYNC110
                    await asyncio.sleep(0.5)  # the proxy tries the process that is gone
            assert found == (202, ""), "through the proxy"
            async with asyncio.timeout(60):
                await again.finished()

    asyncio.run(main())


def test_requests_for_a_killed_process_do_not_take_the_others_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older versions of Caddy lose the body of a request that they try again, and count this as a failure of the next
    process (https://github.com/caddyserver/caddy/issues/7546). New calls went nowhere then.
    """

    def ring(address: str) -> int:
        try:
            with urllib.request.urlopen(f"{address}/incoming-call", b"CallSid=CA1", timeout=60) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    async def main() -> None:
        async with site(tmp_path, monkeypatch) as here:
            public = here.twilio.numbers["+14155550199"].voice_url.removesuffix("/incoming-call")
            assert await asyncio.to_thread(ring, public) == 403, "a process refuses it, because it is not signed"
            here.processes[0].kill()
            await here.processes[0].wait()
            answered = 0
            async with asyncio.timeout(60):
                while answered < 20:
                    await asyncio.to_thread(ring, f"{public}/i/phone-2")
                    answered += await asyncio.to_thread(ring, public) == 403

    asyncio.run(main())
