"""A webhook of a whole call: the server, its database, the call, and a receiver that verifies."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.local import Call, LocalRealtimeServer, Reply, Script, Turn
from telephony import Telephony, create_app
from telephony.settings import Settings
from telephony.simulator import Handset, ring
from telephony.web.server import listening
from tests.support.office import talks
from tests.support.webhook_receiver import SECRET, Receiver, data_of, receiver

CALLER, CALLED = "+14155550123", "+14155550199"
SCHEMA = {"type": "object", "properties": {"people": {"type": "integer"}, "pin": {}}, "required": ["people"]}


async def types_and_talks(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    for key in "4711":
        phone.press(key)
        await asyncio.sleep(0.2)
    await talks(phone)
    phone.hang_up()


def settings(here: Receiver, database: str, **more: Any) -> Settings:
    return Settings(
        openai_api_key=SecretStr("none"),
        database_url=SecretStr(database),
        telephony_webhook_url=here.url,
        telephony_webhook_secret=SecretStr(SECRET),
        **more,
    )


def serve(here: Receiver, database: str, model: LocalRealtimeServer, **more: Any) -> Any:
    return create_app(
        RealtimeAgent(name="Desk"),
        greeting="Greet.",
        result=SCHEMA,
        settings=settings(here, database, **more),
        model_config=RealtimeModelConfig(**model.model_config),
    )


@pytest.mark.parametrize("keeps_numbers", [False, True])
def test_an_ended_call_is_announced_without_keys_and_numbers(shared_database_url: str, keeps_numbers: bool) -> None:
    records = Call("record_result", json.dumps({"people": 2, "pin": 4711}))
    script = Script(
        greeting=Reply(say="Hello."),
        turns=[Turn(Reply(say="Thank you."), calls=[records])],
        otherwise=Reply(say="Yes."),
    )

    async def main() -> None:
        async with (
            asyncio.timeout(90),
            receiver() as here,
            LocalRealtimeServer(script) as model,
            listening(
                serve(here, shared_database_url, model, telephony_record_numbers=keeps_numbers),
                host="127.0.0.1",
                port=0,
            ) as address,
        ):
            await ring(f"{address}/incoming-call", types_and_talks, from_=CALLER, to=CALLED)
            (received,) = await here.until(lambda all: len(all) == 1)
            data = received.verified()["data"]
            assert (data["status"], data["ending"], data["direction"]) == ("completed", "hung_up", "inbound")
            assert data["result"] == {"people": 2, "pin": "••••"}
            assert data["agents"] == ["Desk"] and data["tools"]["record_result"]["calls"] >= 1
            assert data["model_cost"] is None
            assert "4711" not in received.body.decode()
            assert (CALLER in received.body.decode()) is keeps_numbers

    asyncio.run(main())


def test_what_a_stopped_process_did_not_deliver_is_delivered_by_the_next(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'records.db'}"
    script = Script(greeting=Reply(say="Hello."), otherwise=Reply(say="Yes."))
    accepts = False

    async def main() -> None:
        nonlocal accepts
        async with (
            asyncio.timeout(120),
            receiver(lambda received: (204, "") if accepts else (503, "")) as here,
            LocalRealtimeServer(script) as model,
        ):
            async with listening(serve(here, database, model), host="127.0.0.1", port=0) as address:
                await ring(f"{address}/incoming-call", types_and_talks, from_=CALLER, to=CALLED)
                await here.until(lambda all: len(all) >= 1)
            accepts, before = True, len(here.received)
            async with listening(serve(here, database, model), host="127.0.0.1", port=0):
                await here.until(lambda all: len(all) > before)
            assert len({(each.id, each.body) for each in here.received}) == 1
            assert data_of(here.received[-1])["status"] == "completed"

    asyncio.run(main())


@pytest.mark.virtual_time
async def test_a_simulated_call_sends_no_webhook() -> None:
    """It would fail in virtual time, which has no sockets."""
    given = Settings(
        telephony_webhook_url="https://crm.example.com/calls",
        telephony_webhook_secret=SecretStr(SECRET),
        telephony_text_model_url="https://models.example.com/v1",
    )
    async with Telephony(given, simulate=True) as phone:
        result = await phone.run_call(CALLER, agent=RealtimeAgent(name="Reminder"))
        assert result.status == "completed"
        assert not phone.dialer.text_model
