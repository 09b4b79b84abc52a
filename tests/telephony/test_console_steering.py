"""The console's commands to a live call, over its HTTP API: what they do, who may give them, and their audit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from realtime_core import RealtimeAgent, function_tool
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from realtime_core.testing import virtual_time
from telephony import transfer
from telephony.call.call import Call
from telephony.records.access import AuditQuery, Scope, StoredToken, hash_secret, token_text
from telephony.records.call_record import INTERRUPTED
from telephony.replay.replaying import replay_call
from telephony.simulator import Handset
from telephony.simulator.twilio import OWN_NUMBER
from tests.support.office import PUBLIC, office

NOON = datetime(2026, 1, 1, tzinfo=UTC)
OTHER = "+14155550155"


@function_tool(needs_approval=True)
def refund(amount: int) -> str:
    return f"{amount} euros were refunded."


class Console:
    """A client of the console's API."""

    def __init__(self, app: Any, sid: str) -> None:
        self.app = app
        self.sid = sid
        self.prefix = ""
        self.store = app.state.phone.call_records.client._memory.access
        transport = httpx2.ASGITransport(app)
        self._client = httpx2.AsyncClient(transport=transport, base_url=PUBLIC)

    def token(self, *scopes: Scope, numbers: tuple[str, ...] = ()) -> dict[str, str]:
        """The header of a new token."""
        name = f"t{len(self.store.tokens())}"
        made = StoredToken(name, name, hash_secret("secret"), frozenset(scopes), frozenset(numbers), NOON)
        self.store.add_token(made)
        return {"Authorization": f"Bearer {token_text(name, 'secret')}"}

    async def post(self, what: str, body: Any = None, *, token: dict[str, str] | None = None) -> httpx2.Response:
        headers = {"Authorization": "Bearer letmein"} if token is None else token
        return await self._client.post(
            f"{self.prefix}/console/api/calls/{self.sid}/{what}", json=body or {}, headers=headers
        )

    def audit(self) -> list[tuple[str, str]]:
        return [(each.action.value, each.detail) for each in reversed(self.store.entries(AuditQuery()))]


Story = Callable[[Handset, Console, Call], Awaitable[None]]


def run(folder: Path, story: Story, script: Script | None = None, agent: RealtimeAgent[Any] | None = None) -> Any:
    """One call in virtual time, steered by `story`. Returns the simulated call."""
    calls: list[Any] = []
    script = script or Script(greeting=Reply(say="Hello. How can I help you?"), otherwise=Reply(say="Yes."))
    given = {"telephony_journal_dir": folder, "telephony_api_token": "letmein"}

    async def main() -> None:
        async with office(script, agent=agent, given=given) as (twilio, app):

            async def caller(phone: Handset) -> None:
                await phone.agent_speaks()
                (call,) = app.state.phone.registry
                await story(phone, Console(app, call.sid), call)

            calls.append(await twilio.ring(caller=caller))
            await asyncio.sleep(1.0)  # otherwise the call ends in the same instant as the application

    virtual_time.run(main, seed=1)
    return calls[0]


def replays(folder: Path, agent: RealtimeAgent[Any] | None = None) -> None:
    (journal,) = folder.glob("*/journal.jsonl")
    again = replay_call(journal, agent or RealtimeAgent(name="Desk"))
    assert again.divergence is None, again.divergence


def test_a_supervisor_hangs_up_at_once(tmp_path: Path) -> None:
    consoles: list[Console] = []

    async def story(phone: Handset, console: Console, call: Call) -> None:
        consoles.append(console)
        assert (await console.post("hang-up")).status_code == 202
        await asyncio.sleep(60)

    assert run(tmp_path, story).duration_s < 5
    assert consoles[0].audit() == [("hang up", "")]
    (journal,) = tmp_path.glob("*/journal.jsonl")
    assert '"reason":"supervisor hung up"' in journal.read_text().splitlines()[-1]
    replays(tmp_path)


def test_the_agent_says_what_the_supervisor_types(tmp_path: Path) -> None:
    async def story(phone: Handset, console: Console, call: Call) -> None:
        await phone.agent_silent(1.0)
        assert (await console.post("say", {"words": "Please hold the line."})).status_code == 202
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        for wrong in ({}, {"words": ""}, {"words": 7}, {"words": "x" * 5000}):
            assert (await console.post("say", wrong)).status_code == 400

    run(tmp_path, story)
    replays(tmp_path)


def test_a_supervisor_transfers_the_caller_although_the_agent_speaks(tmp_path: Path) -> None:
    agent = RealtimeAgent(name="Desk", tools=[transfer(kitchen=OTHER)])

    async def story(phone: Handset, console: Console, call: Call) -> None:
        assert (await console.post("transfer", {"target": "moon"})).status_code == 409
        assert (await console.post("transfer", {"target": "kitchen"})).status_code == 202
        await asyncio.sleep(60)

    ringing = run(tmp_path, story, agent=agent)
    assert [each.to for each in ringing.twilio.calls.values() if each.parent is not None] == [OTHER]
    replays(tmp_path, agent)


@pytest.mark.parametrize("decision, output", [
    ("approve", "20 euros were refunded."), ("reject", "Not before Monday."),
])  # fmt: skip
def test_a_supervisor_decides_on_a_tool_that_waits(tmp_path: Path, decision: str, output: str) -> None:
    agent = RealtimeAgent(name="Desk", tools=[refund])
    script = Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[Turn(Reply(say="Done."), calls=[ToolCall("refund", '{"amount": 20}')])],
        otherwise=Reply(say="Yes."),
    )
    outputs: list[str] = []

    async def story(phone: Handset, console: Console, call: Call) -> None:
        await phone.agent_silent(1.0)
        assert (await console.post(decision, {"call_id": "call_of_nobody"})).status_code == 409
        await phone.say("sorry_hours")
        async with asyncio.timeout(10):
            while not call.waiting_tools:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        ((call_id, name),) = call.waiting_tools.items()
        assert name == "refund"
        assert (await console.post(decision, {"call_id": call_id, "message": output})).status_code == 202
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        assert not call.waiting_tools and (await console.post(decision, {"call_id": call_id})).status_code == 409
        outputs.extend(each.output or "" for each in call.session.history if each.type == "function_call")
        assert console.audit() == [(decision, f"refund {call_id}")]

    run(tmp_path, story, script, agent)
    assert outputs == [output]
    replays(tmp_path, agent)


COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("hang-up", {}), ("transfer", {"target": "x"}), ("approve", {"call_id": "x"}), ("reject", {"call_id": "x"}),
    ("say", {"words": "x"}),
]  # fmt: skip


def test_only_control_of_this_number_steers_a_call(tmp_path: Path) -> None:
    async def story(phone: Handset, console: Console, call: Call) -> None:
        others = tuple(scope for scope in Scope if scope is not Scope.CONTROL)
        refused = [console.token(*others), console.token(*Scope, numbers=(OTHER,)), {"Authorization": "Bearer no"}]
        for what, body in COMMANDS:
            statuses = [(await console.post(what, body, token=token)).status_code for token in refused]
            assert statuses == [403, 403, 401], what
        assert console.audit() == [] and not call.ended
        ours = console.token(Scope.CONTROL, numbers=(OWN_NUMBER,))
        assert (await console.post("hang-up", token=ours)).status_code == 202

    run(tmp_path, story)


def test_a_call_that_is_unknown_over_or_elsewhere(tmp_path: Path) -> None:
    async def story(phone: Handset, console: Console, call: Call) -> None:
        phone_server = console.app.state.phone
        records = phone_server.call_records.client
        live = console.sid
        limited = console.token(*Scope, numbers=(OTHER,))
        statuses = {}
        for sid, changes in {
            "CA-unknown": None,
            "CA-over": {"status": "completed", "ended_at": NOON},
            "CA-lost": {"status": INTERRUPTED, "ended_at": NOON},
            "CA-there": {"status": "in-progress", "instance": "phone-9", "process": "p9"},
            "CA-gone": {"status": "in-progress", "instance": phone_server.instance, "process": "p1"},
        }.items():
            console.sid = sid
            if changes is not None:
                records.note(sid, sid=sid, direction="inbound", caller="+1", called=OWN_NUMBER, **changes)
            answer = await console.post("say", {"words": "Hello."})
            statuses[sid] = answer.status_code
            if sid == "CA-there":
                assert answer.headers["location"] == f"/i/phone-9/console/api/calls/{sid}/say"
            if sid != "CA-unknown":
                assert (await console.post("say", {"words": "x"}, token=limited)).status_code == 404, "it is not told"
        assert statuses == {"CA-unknown": 404, "CA-over": 409, "CA-lost": 409, "CA-there": 307, "CA-gone": 503}
        console.sid = live

    run(tmp_path, story)


def test_a_call_whose_process_is_gone_is_ended_at_twilio(tmp_path: Path) -> None:
    """The process of the call was killed, and the proxy sends its requests to this one."""
    hanging: list[asyncio.Task[httpx2.Response]] = []

    async def story(phone: Handset, console: Console, call: Call) -> None:
        live = console.app.state.phone
        live.call_records.client.note(call.sid, begins=False, instance="phone-9", process="p9")
        live.registry.call = lambda sid: None
        console.prefix = "/i/phone-9"
        assert (await console.post("say", {"words": "Hello."})).status_code == 503
        hanging.append(asyncio.create_task(console.post("hang-up")))
        await asyncio.sleep(60)

    ringing = run(tmp_path, story)
    assert hanging[0].result().status_code == 202
    assert ringing.status == "completed" and ringing.duration_s < 30
