"""Requests whose body does not arrive whole. A proxy that loses a body answers 502, and the client repeats its request.
The first request must therefore change nothing: a second `stop`, for example, hangs up the calls of a campaign.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.routing import Route

from telephony.application.routes import routes
from telephony.records.access import AuditQuery
from telephony.simulator import callees
from tests.support.call_processes import OWN, PUBLIC, TO, TOKEN, World, patient, until, world

pytestmark = pytest.mark.real_time

WAITING = {"name": "spring", "csv": f"id,to\n1,{TO}"}
CHANGES = {"pause", "resume", "stop"}
NOT_OF_OPERATORS = {"/console/api/login", "/console/api/logout", "/console/phone/webhook/{name}"}


def posts() -> set[str]:
    """Returns the paths of all endpoints with which an operator or a supervisor changes something."""
    found = {route.path for route in routes() if isinstance(route, Route) and "POST" in (route.methods or ())}
    return {path for path in found if path.startswith(("/console", "/calls", "/campaigns", "/do-not-call"))}


async def cut(address: str, path: str) -> int:
    """Sends a request that ends before its body. Returns the status of the response, or 0 without a response."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 2\r\n\r\n"
    writer.write(head.encode())
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1]) if answer else 0


async def entries(it: World) -> list[str]:
    store = it.phone("a").call_records.client
    return [f"{each.action} {each.detail}" for each in await store.access(lambda access: access.entries(AuditQuery()))]


async def test_a_request_without_its_whole_body_changes_nothing(tmp_path: Path) -> None:
    async with world(f"sqlite:///{tmp_path}/records.db", "a") as it:
        it.twilio.add_number(OWN, voice_url=f"{PUBLIC}/incoming-call")
        it.twilio.default_callee = callees.busy()
        server = it.servers["a"]
        assert (await server.ask("POST", "/campaigns", WAITING))[0] == 201
        call = it.twilio.start_ringing(to=OWN, caller=patient)
        await until(lambda: call.stream is not None and call.stream.heard)
        before = await entries(it)
        tried = posts() - NOT_OF_OPERATORS
        assert len(tried) >= 15 and posts() > NOT_OF_OPERATORS
        for path in tried:
            for change in CHANGES if "{change}" in path else {""}:
                known = {"{sid}": call.sid, "{id}": "spring", "{change}": change}
                here = path
                for name, value in known.items():
                    here = here.replace(name, value)
                assert await cut(server.address, here) in (0, 400), here
        assert await entries(it) == before
        assert (await server.ask("GET", "/campaigns/spring"))[1]["status"] == "created"
        assert call.status == "in-progress"
        assert (await server.ask("POST", f"/console/api/calls/{call.sid}/hang-up", {}))[0] == 202
        await call.finished()
