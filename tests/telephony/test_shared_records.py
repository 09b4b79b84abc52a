"""Two real server processes behind the real proxy, with one database: a token is used once, a key places one call, and
a process that is killed while it places a call leaves nothing undone or done twice."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from test_deploy import TOKEN, Site, server, site  # type: ignore[import-not-found]

from realtime_core.connection.websocket import connect
from realtime_core.local import LocalRealtimeServer
from telephony.simulator import Handset, SimulatedTwilio, callees
from telephony.simulator.events import Closed
from telephony.simulator.peer import Caller, MediaPeer
from tests.support.browser import TRATTORIA
from tests.support.call_processes import Server, finished, until
from tests.support.databases import Cluster
from tests.support.web_clients import stream

OWN = "+14155550199"
CALL = "CA" + "1" * 32


def run(main: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(90):
            await main

    asyncio.run(bounded())


async def patient(phone: Handset) -> None:
    await asyncio.Event().wait()


class Answer:
    """As `stream` reads it."""

    status_code = 200

    def __init__(self, body: bytes) -> None:
        self.text = body.decode()


async def open_stream(here: Site, url: str, parameters: dict[str, str]) -> MediaPeer:
    connection = await connect(url, headers={"X-Twilio-Signature": here.twilio.webhooks.signature(url, {})})
    return MediaPeer(connection, call_sid=CALL, account_sid=here.twilio.account_sid, parameters=parameters)


def closed(peer: MediaPeer) -> int:
    (code,) = [event.code for event in peer.events if isinstance(event, Closed)]
    return code


def test_a_used_token_is_refused_by_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def caller(phone: Handset) -> None:
        await phone.agent_speaks(within_s=20)
        await phone.heard(0.5)

    async def main() -> None:
        async with LocalRealtimeServer(TRATTORIA) as model:
            environment = {
                "DATABASE_URL": database_url,
                "TELEPHONY_MODEL": "openai",
                "OPENAI_BASE_URL": model.base_url,
                "OPENAI_API_KEY": "none",
            }
            async with site(tmp_path, monkeypatch, **environment) as here:
                webhook = here.twilio.numbers[OWN].voice_url
                form = {"CallSid": CALL, "From": "+15550001", "To": OWN, "CallStatus": "ringing"}
                answered = await here.twilio.webhooks.ask(webhook, form)
                home, parameters = stream(Answer(answered.body))
                other = home.replace("phone-2", "phone-3") if "phone-2" in home else home.replace("phone-3", "phone-2")
                assert other != home

                async def ring(url: str, who: Caller) -> MediaPeer:
                    peer = await open_stream(here, url, parameters)
                    async with asyncio.timeout(30):
                        await peer.run(who)
                    return peer

                first = await ring(home, caller)
                assert len(first.heard) > 4000
                sessions = model._sessions
                assert sessions == 1
                for url in (other, home):
                    assert closed(await ring(url, patient)) == 1008
                assert model._sessions == sessions, "no connection to the model was opened for it"
                begun = sum(here.calls_begun(number) for number in (2, 3))
                assert begun == 1

    run(main())
    lines = [line for line in capfd.readouterr().err.splitlines() if "WARNING telephony.call.registry" in line]
    assert [line.count("the stream token has been used") for line in lines] == [1, 1], lines


def process(here: Site, number: int) -> Server:
    return Server(f"http://127.0.0.{number}:{here.port}", here.twilio)


async def race(here: Site) -> None:
    """Sends the same key to both processes at the same time, five times."""
    here.twilio.default_callee = callees.busy(after_s=0.5)
    numbers = [f"+1415555013{number}" for number in range(5)]
    for to in numbers:
        posts = [process(here, number).ask("POST", "/calls", {"to": to}, key=to, token=TOKEN) for number in (2, 3) * 3]
        answers = await asyncio.gather(*posts)
        assert Counter(status for status, _ in answers) == {201: 1, 200: 5}, answers
        assert len({call["id"] for _, call in answers}) == 1
    await until(lambda: len(here.twilio.calls) == 5 and all(it.ended for it in here.twilio.calls.values()))
    assert all(len(here.twilio.placed_to(to)) == 1 for to in numbers)


async def kill(here: Site, environment: dict[str, str]) -> None:
    """A process that has asked Twilio for a call and waits for the answer is killed, and started again."""
    twilio, body = here.twilio, {"to": "+14155550123"}
    twilio.default_callee = callees.busy(after_s=4.0)
    twilio.faults.create = deque(["time-out-after"])
    status, call = await process(here, 2).ask("POST", "/calls", body, key="k", token=TOKEN)
    assert status == 201
    await until(lambda: twilio.placed_to(body["to"]))
    here.processes[0].kill()
    await here.processes[0].wait()
    status, elsewhere = await process(here, 3).ask("POST", "/calls", body, key="k", token=TOKEN)
    assert (status, elsewhere["id"]) == (200, call["id"])
    public = twilio.numbers[OWN].voice_url.removesuffix("/incoming-call")
    async with server(2, here.port, public, environment):
        status, again = await process(here, 2).ask("POST", "/calls", body, key="k", token=TOKEN)
        assert (status, again["id"]) == (200, call["id"])
        result = await finished(process(here, 2), again, token=TOKEN)
    (placed,) = twilio.placed_to(body["to"])
    assert (result["status"], result["sid"], result["error"]) == ("busy", placed.sid, "")


def test_one_key_is_one_call_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgresql: Cluster
) -> None:
    async def main() -> None:
        async with SimulatedTwilio(auth_token=TOKEN) as twilio:
            environment = {
                "DATABASE_URL": postgresql.new_database(),
                "TWILIO_ACCOUNT_SID": twilio.account_sid,
                "TWILIO_PHONE_NUMBER": OWN,
                "TELEPHONY_TWILIO_API_URL": twilio.base_url,
                "TELEPHONY_QUIET_HOURS": "off",
            }
            async with site(tmp_path, monkeypatch, twilio, **environment) as here:
                await race(here)
                await kill(here, environment)

    run(main())
