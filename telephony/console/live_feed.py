"""The feeds of the console's pages, as server-sent events.

An `EventSource` cannot send a token, so these routes accept the login cookie, or a request from this machine. A browser
opens at most six connections to a host, so each page uses only one feed.

A feed has no queue. At most a few times a second, the feed sends the rows and entries that changed since its last
event. If a browser reads slowly, its feed waits and then sends the newest state. Therefore a slow browser does not
delay the calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from ..errors import AccessRefused, RecordRefused, RecordsUnavailable
from ..journal.encoding import dump
from ..records.call_query import CallQuery
from ..records.call_record import CallRecord
from ..web.phone_server import PhoneServer
from .access import Grant, Scope, own_number
from .board import LiveRow
from .console import Console, console_of
from .wave import Wave

__all__ = ["routes"]

_LIST_EVERY_S = 0.5
_CALL_EVERY_S = 0.2
_HEARTBEAT_S = 10.0
_ELSEWHERE_EVERY_S = 3.0
"""The interval in seconds at which the database is read for the calls of other processes."""
_MAX_ELSEWHERE = 500
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""The headers of a feed. Without `X-Accel-Buffering`, nginx would buffer the response."""


def routes() -> list[BaseRoute]:
    return [
        Route("/console/api/live", live),
        Route("/console/api/calls/{sid}/feed", one_call),
    ]


async def live(request: Request) -> Response:
    """Returns the live calls of all processes as server-sent events. The first event contains all calls. Later events
    contain the calls that changed.
    """
    console = console_of(request)
    grant = await console.access.admit(request, Scope.VIEW)
    if console.board.full:
        return _too_many()
    return _stream(_live(console, grant), console, grant)


async def one_call(request: Request) -> Response:
    """Returns one live call as server-sent events: its state, its turns and events, and the loudness of both sides.
    Returns 404 if the call is not live in this process.
    """
    console, sid = console_of(request), request.path_params["sid"]
    row = console.board.get(sid)
    info = None if row is None else row.call.info
    number = None if info is None else own_number(info.direction, info.caller, info.called)
    grant = await console.access.admit(request, Scope.VIEW, number=number)
    if row is None:
        return JSONResponse({"error": "This call is not live in this process."}, status_code=404)
    if console.board.full:
        return _too_many()
    return _stream(_one_call(console, row), console, grant)


def _too_many() -> Response:
    return JSONResponse({"error": "Too many pages follow calls. Close some."}, status_code=503)


def _stream(events: AsyncIterator[bytes], console: Console, grant: Grant) -> Response:
    async def valid() -> AsyncIterator[bytes]:
        with console.board.following():
            try:
                checked = asyncio.get_running_loop().time()
                async for event in events:
                    yield event
                    now = asyncio.get_running_loop().time()
                    if now > checked + _HEARTBEAT_S:
                        checked = now
                        if not await console.access.still(grant):
                            return
            except AccessRefused:
                return

    return StreamingResponse(valid(), media_type="text/event-stream", headers=_HEADERS)


async def _live(console: Console, grant: Grant) -> AsyncIterator[bytes]:
    phone = console.phone
    clock = asyncio.get_running_loop().time
    sent: dict[str, int] = {}
    elsewhere: dict[str, str] = {}
    checked_at = sent_at = -_HEARTBEAT_S
    while True:
        now = clock()
        rows = {sid: row for sid, row in console.board.rows().items() if _may_see(grant, row)}
        changed = [row.text for sid, row in rows.items() if sent.get(sid) != row.serial]
        gone = [sid for sid in sent if sid not in rows]
        if now >= checked_at + _ELSEWHERE_EVERY_S:
            checked_at = now
            others = {row.id: dump(_elsewhere(row)) for row in await _of_others(phone, grant) if row.sid not in rows}
            changed += [text for key, text in others.items() if elsewhere.get(key) != text]
            gone += [key for key in elsewhere if key not in others and key not in rows]
            elsewhere = others
        if changed or gone or now >= sent_at + _HEARTBEAT_S:
            sent = {sid: row.serial for sid, row in rows.items()}
            first, sent_at = sent_at < 0, now
            yield _event(f'{{"first":{str(first).lower()},"state":{dump(_state(phone))},'
                         f'"calls":[{",".join(changed)}],"gone":{dump({"_": gone})[5:-1]}}}')  # fmt: skip
        if _is_done(phone):
            return
        await asyncio.sleep(_LIST_EVERY_S)


def _is_done(phone: PhoneServer) -> bool:
    """Returns whether the process is stopping and has no more calls. The feeds continue until then."""
    return phone.registry.draining and not len(phone.registry)


def _may_see(grant: Grant, row: LiveRow) -> bool:
    info = row.call.info
    return grant.allows(Scope.VIEW, own_number(info.direction, info.caller, info.called))


def _state(phone: PhoneServer) -> dict[str, Any]:
    return {
        "draining": phone.registry.draining,
        "max_calls": phone.registry.max_calls,
        "now": phone.sources.now().isoformat(),
    }


async def _of_others(phone: PhoneServer, grant: Grant) -> list[CallRecord]:
    """Returns the open calls of other processes. Returns an empty list if the database cannot be used."""
    client = phone.call_records.client
    if not client.process:
        return []
    try:
        page = await client.calls(CallQuery(is_open=True, limit=_MAX_ELSEWHERE))
    except (RecordsUnavailable, RecordRefused):
        return []
    own_process = client.process
    return [
        row
        for row in page.calls
        if row.process != own_process
        and not row.over
        and grant.allows(Scope.VIEW, own_number(row.direction, row.caller, row.called))
    ]


def _elsewhere(row: CallRecord) -> dict[str, Any]:
    """Returns the row of a call of another process, with the data from the call record."""
    latencies = [turn["latency_ms"] for turn in row.turns or [] if turn.get("latency_ms") is not None]
    return {
        "sid": row.sid or row.id,
        "caller": row.caller,
        "called": row.called,
        "direction": row.direction,
        "agent": row.agent,
        "since": None if row.started_at is None else row.started_at.isoformat(),
        "speaking": "",
        "last": {"who": "", "text": ""},
        "latency_ms": latencies[-1] if latencies else None,
        "taken_over": False,
        "transcribes": False,
        "transferring": "",
        "warnings": ["Ringing"] if row.status in ("queued", "ringing") else [],
        "over": False,
        "instance": row.instance,
    }


async def _one_call(console: Console, row: LiveRow) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    version, sent_at, described = 0, -_HEARTBEAT_S, ""
    wave = Wave()
    with console.feeds.add(row.call.sid, _Follower(wave, lambda: row.state.elapsed_ms(clock()))):
        while True:
            now = clock()
            status = console.board.describe(row, now)
            text = dump(status)
            entries = row.call.masked(row.state.since(version))
            samples = wave.take()
            if entries or samples or text != described or now >= sent_at + _HEARTBEAT_S:
                version, described, sent_at = row.state.version, text, now
                elapsed_ms = round(row.state.elapsed_ms(now))
                news = {"call": status, "entries": entries, "wave": samples, "elapsed_ms": elapsed_ms}
                yield _event(dump({**news, "targets": sorted(row.call.transfer_targets)}))
            if row.ended_at is not None:
                return
            await asyncio.sleep(_CALL_EVERY_S)


class _Follower:
    """Passes the journal records of a call to a `Wave`."""

    def __init__(self, wave: Wave, elapsed_ms: Callable[[], float]) -> None:
        self._wave = wave
        self._elapsed_ms = elapsed_ms

    def record(self, kind: str, t: float, fields: Mapping[str, Any]) -> None:
        self._wave.record(kind, fields, self._elapsed_ms())

    def raw(self, kind: str, t: float, json_text: str) -> None:
        self._wave.raw(kind, json_text, self._elapsed_ms())


def _event(data: str) -> bytes:
    return b"data: " + data.encode() + b"\n\n"
