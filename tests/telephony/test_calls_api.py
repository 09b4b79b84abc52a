"""`POST /calls`, `GET /calls/{id}`, and `Telephony(server=...)` on top of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_core import RealtimeAgent
from telephony import DialingRules, LeaveMessage, Telephony, create_app, load_settings
from telephony.errors import ServerFailed
from telephony.simulator import SimulatedTwilio, callees
from telephony.web.server import listening
from tests.support.call_processes import PUBLIC, TO, TOKEN, Server


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    async with SimulatedTwilio() as twilio:
        settings = load_settings(
            twilio_account_sid=twilio.account_sid,
            twilio_auth_token=twilio.auth_token,
            twilio_phone_number="+14155550199",
            telephony_twilio_api_url=twilio.base_url,
            telephony_api_token=TOKEN,
            telephony_model="scripted",
            public_url=PUBLIC,
        )
        app = create_app(RealtimeAgent(name="Blu", instructions="Short sentences."), settings=settings)
        async with listening(app) as address:
            twilio.webhooks.reach[PUBLIC] = address
            app.state.dialer.rules = DialingRules.at_any_hour()
            yield Server(address, twilio)


def run(main: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(40):
            await main

    asyncio.run(bounded())


def test_a_call_is_made_on_request_and_once_for_each_key() -> None:
    async def main() -> None:
        async with server() as it:
            it.twilio.default_callee = callees.busy(after_s=0.3)
            status, call = await it.ask("POST", "/calls", {"to": TO}, key="a")
            assert (status, call["to"], call["over"]) == (201, TO, False)
            assert await it.ask("POST", "/calls", {"to": TO, "max_s": 9}, key="a") == (
                422,
                {"error": "This Idempotency-Key was used for another request."},
            )
            status, again = await it.ask("POST", "/calls", {"to": TO}, key="a")
            assert (status, again["id"]) == (200, call["id"])
            while not call["over"]:
                _, call = await it.ask("GET", f"/calls/{call['id']}")
                await asyncio.sleep(0.05)
            assert (call["status"], call["reached"], call["error"]) == ("busy", False, "")
            assert len(it.twilio.placed_to(TO)) == 1

    run(main())


def test_what_is_wrong_is_said() -> None:
    async def main() -> None:
        async with server() as it:
            assert (await it.ask("POST", "/calls", {"to": TO}, token="wrong"))[0] == 401
            assert (await it.ask("GET", "/calls/1", token="wrong"))[0] == 401
            assert (await it.ask("GET", "/calls/1"))[0] == 404
            bodies: list[Any] = [{}, {"to": TO, "unknown": 1}, {"to": TO, "max_s": -1}, [], "x"]
            for body in bodies:
                assert (await it.ask("POST", "/calls", body))[0] == 400
            status, outcome = await it.ask("POST", "/calls", {"to": "+19005550123"})
            assert (status, "premium" in outcome["error"]) == (409, True)
            assert (await it.ask("POST", "/calls", {"to": "+1" * 525_000}))[0] == 413
            assert not it.twilio.calls

    run(main())


def test_without_an_account_no_calls_are_placed() -> None:
    async def main() -> None:
        app = create_app(RealtimeAgent(name="Blu"), settings=load_settings(telephony_model="scripted"))
        async with listening(app) as address, SimulatedTwilio() as twilio:
            status, outcome = await Server(address, twilio).ask("POST", "/calls", {"to": TO})
            assert status == 503
            assert "TWILIO_PHONE_NUMBER" in outcome["error"]

    run(main())


def test_a_script_has_a_running_server_make_its_call() -> None:
    async def main() -> None:
        async with server() as it:
            it.twilio.default_callee = callees.voicemail(after_s=0.05)
            async with Telephony(server=it.address, token=TOKEN) as phone:
                result = await phone.run_call(TO, machine=LeaveMessage("Please call us back."), max_s=60)
                refused = await phone.run_call("+19005550123")
            assert (result.status, result.answered_by, result.message_left) == ("completed", "machine", True)
            assert [line.text for line in result.transcript if line.who == "agent"] == ["Please call us back."]
            assert refused.status == "refused"
            async with Telephony(server=it.address, token="wrong") as phone:
                with pytest.raises(ServerFailed, match="401"):
                    await phone.run_call(TO)

    run(main())
