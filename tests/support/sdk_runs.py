"""Helpers for the tests of SDK programs: changed imports, programs as processes, and partners that talk to them.

The partners stand where the programs' users stand: a browser, a microphone with a loudspeaker, Twilio's media stream, a
SIP call. `test_sdk_programs` puts them in front of our own programs, `test_sdk_examples` in front of the SDK's.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from twilio.request_validator import RequestValidator
from websockets.asyncio.client import connect
from websockets.typing import Origin

from realtime_core.connection import Close, Connection, MessageHandler
from realtime_core.connection.websocket import connect as connect_phone
from realtime_core.connection.wrapper import ConnectionWrapper
from realtime_core.local import LocalRealtimeServer, parse_script
from telephony.simulator.handset import Handset
from telephony.simulator.line import Line
from telephony.simulator.peer import MediaPeer

from .local_client import human, silence
from .sip_calls import SipCall, SipCalls

HERE = Path(__file__).parent
_IMPORT = re.compile(r"^(\s*)(from|import) agents(\.realtime)?(?=[.\s])", re.MULTILINE)


def change_imports(source: Path, target: Path) -> None:
    """Copy a folder of programs with `agents.realtime` and `agents` replaced by `realtime_core` in their imports."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    for program in target.rglob("*.py"):
        program.write_text(change_import(program.read_text()))


def change_import(code: str) -> str:
    return _IMPORT.sub(r"\1\2 realtime_core", code)


class Program:
    """A running program, its output line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._changed = asyncio.Condition()

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._changed:
                self.lines.append(line.decode(errors="replace").rstrip())
                self._changed.notify_all()
        async with self._changed:
            self._changed.notify_all()

    async def until(self, pattern: str, within_s: float = 60) -> re.Match[str]:
        """Waits for a line that matches. Fails with the whole output."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := re.search(pattern, line))), None)

        try:
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(lambda: found() or self.process.returncode is not None)
        except TimeoutError:
            pass
        match = found()
        assert match is not None, f"no line like {pattern!r} in:\n" + "\n".join(self.lines)
        return match

    async def port(self) -> int:
        """Where uvicorn listens."""
        return int((await self.until(r"Uvicorn running on http://127\.0\.0\.1:(\d+)"))[1])


@asynccontextmanager
async def running(*arguments: str, folder: Path, env: dict[str, str]) -> AsyncIterator[Program]:
    """A Python program as a process, ended by SIGINT."""
    paths = os.pathsep.join([str(HERE / "sdk_border"), str(HERE.parents[1])])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        *arguments,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**22,
    )
    program = Program(process)
    reading = asyncio.create_task(program.read())
    try:
        yield program
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            try:
                async with asyncio.timeout(60):
                    await process.wait()
            except TimeoutError:
                process.kill()
        await reading


def nothing_failed(program: Program, but: str = "") -> None:
    """No traceback and no error in the program's output."""
    wrong = [
        line for line in program.lines if re.search(r"Traceback|^Error|^ERROR|capture error", line) and line != but
    ]
    assert not wrong, "\n".join(program.lines)


def model_at(server: LocalRealtimeServer) -> dict[str, str]:
    """The environment in which a program finds the embedded server."""
    return {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-local"}


def serve(app: str) -> tuple[str, ...]:
    return ("-m", "uvicorn", app, "--host", "127.0.0.1", "--port", "0", "--no-access-log")


# A browser in front of the web app

APP_SCRIPT = """
[[turn]]
heard = "What is the weather in Rome?"
tool = "get_weather"
arguments = { city = "Rome" }
say = "Good news. {result}"
[[turn]]
heard = "I would like another seat."
tool = "transfer_to_seat_booking_agent"
say = "Gladly. Which one?"
[[turn]]
heard = "Twelve A, please."
tool = "update_seat"
arguments = { confirmation_number = "LL0EZ6", new_seat = "12A" }
say = "It is done. {result}"
[[turn]]
text = "describe this image"
say = "I see one red point."
"""
# The smallest PNG there is: one red point.
_PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5E"
    "rkJggg=="
)


class Browser:
    """The page's side of the app's socket."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.events: list[dict[str, Any]] = []

    async def send(self, **message: Any) -> None:
        await self._socket.send(json.dumps(message))

    async def speak(self) -> None:
        audio = array.array("h", human() + silence(1.5))
        for at in range(0, len(audio), 4800):
            await self.send(type="audio", data=audio[at : at + 4800].tolist())

    async def until(self, condition: Callable[[dict[str, Any]], Any]) -> Any:
        """Reads events until `condition` returns a value for one of them, and returns the value."""
        async with asyncio.timeout(60):
            while True:
                event = json.loads(await self._socket.recv())
                self.events.append(event)
                if found := condition(event):
                    return found

    async def until_type(self, type: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.until(lambda event: event["type"] == type and event)
        return found

    async def until_said(self, role: str, words: str) -> None:
        await self.until(lambda event: any(who == role and words in text for who, text in _said(event)))

    @property
    def audio_bytes(self) -> int:
        return sum(len(event["audio"]) * 3 // 4 for event in self.events if event["type"] == "audio")


def _said(event: dict[str, Any]) -> list[tuple[str, str]]:
    items = event.get("history") or [event.get("item") or {}]
    return [
        (item.get("role", ""), part.get("transcript") or part.get("text") or "")
        for item in items
        for part in item.get("content") or ()
    ]


async def browse(program: Program) -> None:
    """Has a conversation with a web app like the SDK's: speech, a tool, a handoff, an approval, an image.

    The output of the program about a page that leaves in the middle of an answer is ignored.
    """
    address = f"127.0.0.1:{await program.port()}"
    origin = Origin(f"http://{address}")  # as browsers send it
    async with connect(f"ws://{address}/ws/session_1", origin=origin, max_size=None) as socket:
        browser = Browser(socket)
        await browser.speak()
        await browser.until_said("user", "What is the weather in Rome?")
        assert (await browser.until_type("tool_start"))["tool"] == "get_weather"
        assert "sunny" in (await browser.until_type("tool_end"))["output"]
        await browser.until_said("assistant", "The weather in Rome is sunny")
        assert browser.audio_bytes > 24_000
        assert (await browser.until_type("agent_end"))["agent"] == "Triage Agent"

        await browser.speak()
        handoff = await browser.until_type("handoff")
        assert (handoff["from"], handoff["to"]) == ("Triage Agent", "Seat Booking Agent")
        await browser.until_said("assistant", "Gladly")

        await browser.speak()
        requested = await browser.until_type("tool_approval_required")
        assert (requested["tool"], json.loads(requested["arguments"])["new_seat"]) == ("update_seat", "12A")
        await browser.send(type="tool_approval_decision", call_id=requested["call_id"], approve=True)
        assert "Updated seat to 12A" in (await browser.until_type("tool_end"))["output"]
        await browser.until_said("assistant", "It is done. Updated seat to 12A")

        await browser.send(type="image", data_url=_PNG, text="Please describe this image.")
        assert (await browser.until_type("client_info"))["info"] == "image_enqueued"
        await browser.until_said("assistant", "I see one red point.")
        await browser.send(type="interrupt")
        assert "error" not in {event["type"] for event in browser.events}
        nothing_failed(program)


# A microphone and a loudspeaker

DESKTOP_SCRIPT = """
[[turn]]
heard = "Will it rain in Oslo?"
tool = "get_weather"
arguments = { city = "Oslo" }
say = "Listen. {result}"
"""


async def use_the_desktop(program: Program, folder: Path) -> None:
    """A conversation over the sound card, which `sdk_border/sounddevice.py` plays."""
    (folder / "microphone.raw").write_bytes(human() + silence(1.0))
    await program.until("Will it rain in Oslo")
    await program.until("The weather in Oslo is sunny")
    await program.until("Agent ended")
    played = folder / "loudspeaker.raw"
    async with asyncio.timeout(60):
        while not played.exists() or len(played.read_bytes().replace(b"\0\0", b"")) < 20_000:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


# A phone call over Twilio's media stream

PHONE_SCRIPT = """
[[turn]]
heard = "Hello."
say = "Top of the morning. What can I do for you?"
[[turn]]
heard = "For two, Friday, at seven."
tool = "get_weather"
arguments = { city = "Lima" }
say = "One thing first. {result}"
"""


TWILIO = {"TWILIO_AUTH_TOKEN": "the-token-of-the-account", "TWILIO_PUBLIC_BASE_URL": "https://desk.example.com"}
"""The environment in which a program finds its account and its address."""


async def call_up(program: Program, server: RecordingServer) -> None:
    """Makes a call over a media stream, whose request Twilio signs: the caller speaks, hears the answer, interrupts,
    and hears the result of a tool.
    """
    signed = TWILIO["TWILIO_PUBLIC_BASE_URL"].replace("https:", "wss:") + "/media-stream"
    headers = {"X-Twilio-Signature": RequestValidator(TWILIO["TWILIO_AUTH_TOKEN"]).compute_signature(signed, {})}
    url = f"ws://127.0.0.1:{await program.port()}/media-stream"

    async def caller(phone: Handset) -> None:
        await phone.say("hello")
        await phone.agent_speaks(within_s=20)
        await phone.heard(1.0, within_s=20)
        await phone.say("booking")
        await phone.agent_speaks(within_s=20)
        await phone.heard(1.0, within_s=20)

    peer = MediaPeer(await connect_phone(url, headers=headers), line=Line(seed=1))
    async with asyncio.timeout(60):
        await peer.run(caller)
    assert not peer.violations
    assert server.transcripts()[:2] == ["Hello.", "Top of the morning. What can I do for you?"]
    assert server.transcripts()[2:] == ["For two, Friday, at seven.", "One thing first. The weather in Lima is sunny."]
    (cut,) = [event for event in server.result if event["type"] == "conversation.item.truncate"]
    assert cut["audio_end_ms"] > 0, "the truncation goes by what the phone has played"


# A call to OpenAI's SIP address

SIP_SCRIPT = """
[[turn]]
text = "say exactly"
say = "Hello, this is A B C customer service. How can I help you today?"
[[turn]]
heard = "Please note that I called."
tool = "transfer_to_records_agent"
say = "I am the records agent. What is your number?"
[[turn]]
heard = "It is forty two."
tool = "update_customer_record"
arguments = { customer_id = "42", note = "called" }
say = "Thank you. {result}"
"""


async def call_by_sip(calls: SipCalls, webhook: str) -> SipCall:
    """A SIP call: refused with a wrong signature, accepted, greeted, handed to another agent, and noted."""
    call = calls.ring()
    assert await calls.announce(call, webhook, secret="whsec_d3Jvbmc=") == 400
    assert call.session is None
    assert await calls.announce(call, webhook) == 200
    await call.until_said("How can I help you today?")
    await call.say(human() + silence(1.5))
    await call.until_said("Please note that I called.")
    await call.until_said("I am the records agent.")
    await call.say(human() + silence(1.5))
    await call.until_said("Recorded note for 42: called")
    assert len(call.heard) > 48_000
    assert call.session is not None and call.session["model"].startswith("gpt-realtime")
    await call.hang_up()
    return call


# The model's end


class RecordingServer(LocalRealtimeServer):
    """The embedded server, which stores the messages of its sockets: `said` by the server, `told` by the program."""

    def __init__(self, script: str) -> None:
        super().__init__(parse_script(script), in_memory=False)
        self.said: list[dict[str, Any]] = []
        self.result: list[dict[str, Any]] = []

    async def serve_connection(
        self, connection: Connection, *, model: str | None = None, transcribes: bool = False
    ) -> None:
        tapped = _TappedConnection(connection, self.said, self.result)
        await super().serve_connection(tapped, model=model, transcribes=transcribes)

    def transcripts(self) -> list[str]:
        """Returns the texts of both sides, in the order of their end."""
        return [event["transcript"] for event in self.said if event["type"].endswith((".completed", "transcript.done"))]


class _TappedConnection(ConnectionWrapper):
    def __init__(self, connection: Connection, said: list[dict[str, Any]], result: list[dict[str, Any]]) -> None:
        super().__init__(connection)
        self._said = said
        self._told = result

    def send(self, text: str) -> None:
        self._said.append(json.loads(text))
        super().send(text)

    async def run(self, on_message: MessageHandler) -> Close:
        def tap(message: str | bytes) -> None:
            self._told.append(json.loads(message))
            on_message(message)

        return await super().run(tap)
