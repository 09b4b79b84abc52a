"""`telephony number` and `serve --phone` on the simulated REST API: in every case the old webhook is restored."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from telephony.cli.temporary_webhook import qr_code
from telephony.cli.tunnel import tunnel
from telephony.errors import NumberError
from telephony.simulator import Handset, SimulatedTwilio
from telephony.twilio.number_webhooks import NumberWebhooks, VoiceWebhook
from telephony.twilio.rest import TwilioRest
from tests.support import commands

pytestmark = pytest.mark.real_time

NUMBER = "+14155550199"
BEFORE = "https://before.example.com/voice"
TOKEN = "a-token"
OURS = VoiceWebhook("https://ours.example.com/incoming-call", fallback_url="https://ours.example.com/incoming-call")


@dataclass
class Desk:
    """A machine with the command line, and an account at the simulated Twilio."""

    twilio: SimulatedTwilio
    folder: Path
    started: list[asyncio.subprocess.Process] = field(default_factory=list)

    @property
    def leads_to(self) -> str:
        return self.twilio.numbers[NUMBER].voice_url

    @property
    def webhooks(self) -> NumberWebhooks:
        rest = TwilioRest(self.twilio.account_sid, self.twilio.account_sid, TOKEN, base_url=self.twilio.base_url)
        return NumberWebhooks(rest, self.state)

    @property
    def state(self) -> Path:
        return self.folder / "telephony" / "numbers.json"

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        ours = {
            "TWILIO_ACCOUNT_SID": self.twilio.account_sid,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "TELEPHONY_TWILIO_API_URL": self.twilio.base_url,
            "XDG_STATE_HOME": str(self.folder),
            "LOG_LEVEL": "warning",
        }
        process = await commands.start_async(
            "-m", "telephony", *arguments, env={**os.environ, **ours, **environment},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.started.append(process)
        return process

    async def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """A command to its end: exit code and all that it printed."""
        process = await self.start(*arguments, **environment)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, (out + err).decode()

    async def serve(self, port: int) -> asyncio.subprocess.Process:
        return await self.start(
            "serve", "--phone", "--model", "scripted", "--port", str(port), PUBLIC_URL=f"http://127.0.0.1:{port}"
        )


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    async with SimulatedTwilio(auth_token=TOKEN, numbers=()) as twilio:
        twilio.add_number(NUMBER, voice_url=BEFORE)
        here = Desk(twilio, folder)
        try:
            yield here
        finally:
            for process in here.started:
                if process.returncode is None:
                    process.kill()
                await process.wait()


async def stderr_until(process: asyncio.subprocess.Process, text: str) -> str:
    """Returns the output on standard error up to this text."""
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(60):
        while text not in said:
            line = await process.stderr.readline()
            assert line, f"it ended without {text!r}: {said}"
            said += line.decode()
    return said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- number ------------------------------------------------------------------------------------------------------


def test_set_keeps_what_was_there_and_restore_puts_it_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as here:
            here.twilio.numbers[NUMBER].voice_application_sid = "AP1"
            code, text = await here.run("number", "set", NUMBER, "--url", OURS.url)
            assert (code, here.leads_to) == (0, OURS.url)
            assert here.twilio.numbers[NUMBER].voice_fallback_url == OURS.url
            assert here.twilio.numbers[NUMBER].voice_application_sid == "", "it would count before the URL"
            assert "Before: application AP1" in text
            assert stat.S_IMODE(here.state.stat().st_mode) == 0o600
            code, text = await here.run("number", "list")
            assert f"{NUMBER}  {OURS.url}" in text
            code, text = await here.run("number", "restore")
            assert (code, here.leads_to) == (0, BEFORE)
            assert here.twilio.numbers[NUMBER].voice_application_sid == "AP1"
            code, text = await here.run("number", "restore")
            assert (code, text.strip()) == (1, "telephony: Nothing is saved: no number was set.")

    asyncio.run(main())


def test_a_webhook_that_is_set_twice_is_restored_to_the_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as here:
            await here.webhooks.set(NUMBER, OURS)
            again = await here.webhooks.set(NUMBER, VoiceWebhook("https://ours.example.com/other"))
            assert again.before.url == BEFORE
            assert await here.webhooks.restore(again)
            assert here.leads_to == BEFORE

    asyncio.run(main())


def test_what_others_changed_meanwhile_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as here:
            saved = await here.webhooks.set(NUMBER, OURS)
            here.twilio.numbers[NUMBER].voice_url = "https://theirs.example.com"
            assert not await here.webhooks.restore(saved)
            assert here.leads_to == "https://theirs.example.com"
            assert await here.webhooks.restore(saved, force=True)
            assert here.leads_to == BEFORE

    asyncio.run(main())


def test_nothing_is_changed_that_could_not_be_put_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as here:
            (tmp_path / "telephony").write_text("a file where the folder would be")
            with pytest.raises(NumberError, match=r"nothing was changed|cannot be read"):
                await here.webhooks.set(NUMBER, OURS)
            assert here.leads_to == BEFORE

    asyncio.run(main())


def test_numbers_that_cannot_be_ours_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as here:
            with pytest.raises(NumberError, match="no number"):
                await here.webhooks.set("+14155550111", OURS)
            here.twilio.numbers[NUMBER].trunk_sid = "TK1"
            with pytest.raises(NumberError, match="trunk TK1"):
                await here.webhooks.set(NUMBER, OURS)
            assert here.webhooks.saved() == {}

    asyncio.run(main())


# --- serve --phone -----------------------------------------------------------------------------------------------


def test_a_call_comes_in_and_ctrl_c_puts_the_old_webhook_back(tmp_path: Path) -> None:
    async def main() -> None:
        on_the_line, let_go = asyncio.Event(), asyncio.Event()

        async def caller(phone: Handset) -> None:
            await phone.agent_speaks(within_s=20)
            on_the_line.set()
            await let_go.wait()

        async with desk(tmp_path) as here, asyncio.TaskGroup() as group:
            port = free_port()
            process = await here.serve(port)
            said = await stderr_until(process, "█")
            assert f"Call {NUMBER}. (Before, it led to {BEFORE}.)" in said
            assert here.leads_to == f"http://127.0.0.1:{port}/incoming-call"
            ringing = group.create_task(here.twilio.ring(to=NUMBER, caller=caller))
            await asyncio.wait_for(on_the_line.wait(), 30)
            process.send_signal(signal.SIGINT)
            await stderr_until(process, f"{NUMBER} leads to {BEFORE} again.")
            assert here.leads_to == BEFORE, "new callers go elsewhere while this one is still served"
            assert process.returncode is None
            let_go.set()
            call = await ringing
            assert (call.status, call.warnings) == ("completed", [])
            await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == 0
            assert here.webhooks.saved() == {}

    asyncio.run(main())


def test_after_crashes_restore_still_knows_what_was_there_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as here:
            for _ in range(2):
                process = await here.serve(free_port())
                await stderr_until(process, "Call ")
                process.kill()
                await process.wait()
                assert here.leads_to != BEFORE
            assert (await here.run("number", "restore"))[0] == 0
            assert here.leads_to == BEFORE

    asyncio.run(main())


@pytest.mark.parametrize("ending", [signal.SIGHUP, signal.SIGTERM], ids=["terminal closed", "told to stop"])
def test_serve_restores_the_webhook_after_each_signal(tmp_path: Path, ending: signal.Signals) -> None:
    async def main() -> None:
        async with desk(tmp_path) as here:
            process = await here.serve(free_port())
            await stderr_until(process, "Call ")
            process.send_signal(ending)
            await asyncio.wait_for(process.communicate(), 20)
            assert here.leads_to == BEFORE

    asyncio.run(main())


def test_ctrl_c_before_the_number_was_taken_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as here:
            process = await here.start(
                "serve", "--phone", "--model", "scripted", "--port", "0",
                PUBLIC_URL=f"http://127.0.0.1:{free_port()}",
            )  # fmt: skip
            assert process.stdout is not None
            assert b"Answering at" in await asyncio.wait_for(process.stdout.readline(), 30)
            process.send_signal(signal.SIGINT)
            _, err = await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == 0, err
            assert here.leads_to == BEFORE
            assert here.webhooks.saved() == {}

    asyncio.run(main())


def test_a_failed_start_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as here:
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                process = await here.serve(taken.getsockname()[1])
                _, err = await asyncio.wait_for(process.communicate(), 30)
            assert process.returncode == 1, err
            assert here.leads_to == BEFORE
            assert here.webhooks.saved() == {}

    asyncio.run(main())


def test_an_address_where_another_server_answers_stops_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        async with desk(tmp_path) as here:
            port = free_port()
            other = await here.start(
                "serve", "--json", "--model", "scripted", "--port", str(port),
                PUBLIC_URL=f"http://127.0.0.1:{port}", TWILIO_AUTH_TOKEN="another",
            )  # fmt: skip
            assert other.stdout is not None
            await other.stdout.readline()
            code, text = await here.run(
                "serve", "--phone", "--model", "scripted", "--port", "0", PUBLIC_URL=f"http://127.0.0.1:{port}"
            )
            assert code == 1
            assert "refuses a request that is signed" in text
            assert here.leads_to == BEFORE

    asyncio.run(main())


@pytest.mark.parametrize(
    "environment, cure",
    [
        ({"TWILIO_AUTH_TOKEN": ""}, "--phone needs TWILIO_AUTH_TOKEN."),
        ({"TWILIO_AUTH_TOKEN": "wrong"}, "TWILIO_AUTH_TOKEN"),
        ({"TWILIO_PHONE_NUMBER": "+14155550111"}, "the account has no voice number +14155550111"),
        ({"PUBLIC_URL": "", "PATH": ""}, "neither cloudflared nor ngrok is installed"),
    ],
    ids=["no token", "wrong token", "not our number", "no tunnel"],
)
def test_what_is_missing_is_reported_before_anything_is_done(
    tmp_path: Path, environment: Mapping[str, str], cure: str
) -> None:
    async def main() -> None:
        async with desk(tmp_path) as here:
            public = {"PUBLIC_URL": "https://phone.example.com"}
            code, text = await here.run("serve", "--phone", "--model", "scripted", **{**public, **environment})
            assert code == 1
            assert cure in text
            assert here.leads_to == BEFORE

    asyncio.run(main())


# --- tunnels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, line, address",
    [
        (
            "cloudflared",
            "2026-11-21T10:00:00Z INF |  https://some-four-word-name.trycloudflare.com                 |",
            "https://some-four-word-name.trycloudflare.com",
        ),
        (
            "ngrok",
            't=2026-11-21T10:00:00+0000 lvl=info msg="started tunnel" obj=tunnels name=command_line '
            "addr=http://localhost:8000 url=https://1a2b-192-0-2-1.ngrok-free.app",
            "https://1a2b-192-0-2-1.ngrok-free.app",
        ),
    ],
)
def test_an_installed_tunnel_is_started_asked_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, line: str, address: str
) -> None:
    program = tmp_path / name
    program.write_text(
        f"#!/bin/sh\necho $$ $@ > {tmp_path}/started\necho 'INF starting'\necho '{line}'\nexec sleep 60\n"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with tunnel(8123) as url:
        assert url == address
        pid, *arguments = (tmp_path / "started").read_text().split()
        assert any("8123" in argument for argument in arguments)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_tunnel_that_fails_says_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ngrok"
    program.write_text("#!/bin/sh\necho 'ERR_NGROK_4018: sign up first'\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(Exception, match="ERR_NGROK_4018"), tunnel(8123):
        pass


def test_the_code_to_scan_is_a_square_of_blocks() -> None:
    lines = qr_code(f"tel:{NUMBER}").splitlines()
    assert len(lines) < 20
    assert "█" in lines[len(lines) // 2] or "▀" in lines[len(lines) // 2]
