"""The routes of the call history and of the page of one call. The data comes from the call records.

```
GET  /console/api/calls                     the newest first; ?q=&agent=&why=&interrupted=&taken_over=&from=&to=&cursor=
GET  /console/api/calls/{sid}               one call: its record, and where it is live
GET  /console/api/calls/{sid}/timeline      turns, events and loudness of a recorded call
GET  /console/api/calls/{sid}/audio         the recording: WAV, left the caller, right the agent; ranges, ?playback=
GET  /console/api/calls/{sid}/export.json   record, measurements, transcript
POST /console/api/calls/{sid}/test          {"name": "refund", "agent": "desk:agent"}: a test from this call, as zip
```
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from realtime_core.errors import UserError

from ..errors import (
    AccessRefused,
    JournalError,
    RecordRefused,
    RecordsUnavailable,
    ReplayError,
    StorageError,
)
from ..journal.encoding import dump, parse_object
from ..journal.journals import redaction_of
from ..records.access import AuditQuery
from ..records.call_query import CallQuery, query_of
from ..records.call_record import CallRecord
from ..replay.recording_files import make_test
from ..web.phone_server import PhoneServer
from .access import Action, Grant, Scope, own_number
from .board import LiveRow
from .bodies import json_of
from .console import Console, console_of
from .endings import CHOICES, words_of
from .number_search import text_query
from .recordings import PreparedFiles, Source
from .taken_over import all_taken_over, supervisors_of

__all__ = ["routes"]

log = logging.getLogger(__name__)

_PAGE = 50
_SCAN = 2_000
"""The maximum number of calls that one request searches. A search for rare words takes several short requests."""
_LISTENING = timedelta(hours=12)
"""The maximum time from the first to the last request of one listening."""
_NO_STORE = {"Cache-Control": "no-store"}
_NOTHING_KEPT = (
    "This server keeps no recordings. Set TELEPHONY_JOURNAL_DIR, and the audio and the words of later calls are here."
)


def routes() -> list[BaseRoute]:
    one = "/console/api/calls/{sid}"
    return [
        Route("/console/api/calls", list_calls),
        Route(one, one_call),
        Route(f"{one}/timeline", timeline),
        Route(f"{one}/audio", audio),
        Route(f"{one}/export.json", export),
        Route(f"{one}/test", test, methods=["POST"]),
    ]


async def list_calls(request: Request) -> Response:
    """Returns a page of the call history: `{"calls": [...], "next": cursor, "agents": [...], "why": {...}}`. `agents`
    has the names of the agents, and `why` has the reasons for the end of a call with their labels, as choices for the
    filters. `q` is a phone number, or words that the summary or the result contains. `interrupted=1` selects the calls
    in which the caller interrupted the agent. `taken_over=1` selects the calls that a supervisor took over. Returns 400
    for an invalid filter, and 503 if the database cannot be used.
    """
    console = console_of(request)
    phone = console.phone
    grant = await console.access.admit(request, Scope.VIEW)
    try:
        query = _query(phone, request.query_params)
        if request.query_params.get("taken_over"):
            query = replace(query, sids=await all_taken_over(console.access))
        page = await phone.call_records.client.calls(query)
    except UserError as error:
        return JSONResponse({"error": str(error)}, status_code=400, headers=_NO_STORE)
    except (RecordsUnavailable, RecordRefused) as error:
        return JSONResponse({"error": f"The database cannot be read: {error}"}, status_code=503, headers=_NO_STORE)
    shown = [row for row in page.calls if grant.allows(Scope.VIEW, own_number(row.direction, row.caller, row.called))]
    choices = {key: label for key, (label, _) in CHOICES.items()}
    names = sorted({name for name in phone.routing.names.values() if name})
    supervisors = await supervisors_of(console.access, [row.sid for row in shown if row.sid])
    listed = [_listed(row) | {"taken_over_by": supervisors.get(row.sid or "", [])} for row in shown]
    return JSONResponse(
        {"calls": listed, "next": page.cursor or None, "agents": names, "why": choices}, headers=_NO_STORE
    )


def _query(phone: PhoneServer, given: Mapping[str, str]) -> CallQuery:
    """Returns the filters of the request as a query. Raises `UserError` for an invalid filter."""
    wanted = {name: given[name] for name in ("agent", "from", "to", "cursor") if given.get(name)}
    for name in ("from", "to"):
        if name in wanted and not re.match(r"\d{4}-\d{2}-\d{2}", wanted[name]):
            raise UserError(f"{name}: write a date like 2026-01-31.")
    why = given.get("why", "")
    if why and why not in CHOICES:
        raise UserError(f"why: choose one of {', '.join(CHOICES)}.")
    if given.get("interrupted", "") not in ("", "1"):
        raise UserError("interrupted: write 1, or leave it out.")
    if given.get("taken_over", "") not in ("", "1"):
        raise UserError("taken_over: write 1, or leave it out.")
    query = query_of(wanted, now=phone.sources.now(), subject_of=phone.call_records.subjects.of)
    return replace(
        text_query(phone, given.get("q", ""), query),
        endings=CHOICES[why][1] if why else (),
        is_interrupted=given.get("interrupted") == "1",
        limit=_PAGE,
        scan=_SCAN,
    )


def _listed(row: CallRecord) -> dict[str, Any]:
    words = words_of(row)
    return {
        "sid": row.sid or row.id,
        "caller": row.caller,
        "called": row.called,
        "direction": row.direction,
        "agent": row.agent or (row.agents or [""])[-1],
        "started_at": None if row.started_at is None else row.started_at.isoformat(),
        "duration_s": row.duration_s,
        "outcome": row.outcome,
        "summary": row.summary,
        "why": "" if words is None else words.label,
        "live": not row.over,
    }


async def one_call(request: Request) -> Response:
    """Returns one call: its record, the reason of its end in words, whether the call has a recording, and the process
    in which the call is live. Returns 404 if there is no such call.
    """
    console, sid = console_of(request), request.path_params["sid"]
    phone = console.phone
    row, live, grant = await _found(request, Scope.VIEW)
    if row is None:
        assert live is not None
        return JSONResponse({"sid": sid, "record": None, "live": _live(phone, live, row)}, headers=_NO_STORE)
    words, sid = words_of(row), row.sid or row.id
    record = row.to_json()
    without = _NOTHING_KEPT if phone.journals.folder is None else "There is no recording of this call."
    try:
        recorded = await _journal(console, row) is not None
    except AccessRefused as error:
        recorded, without = False, str(error)
    return JSONResponse(
        {
            "sid": sid,
            "record": {name: value for name, value in record.items() if name != "journal"},
            "ended": None if words is None else {"label": words.label, "sentence": words.sentence},
            "live": _live(phone, live, row),
            "taken_over_by": (await supervisors_of(console.access, [sid])).get(sid, []),
            "recording": recorded,
            "no_recording": without,
            "may": [
                scope.value for scope in Scope if grant.allows(scope, own_number(row.direction, row.caller, row.called))
            ],
        },
        headers=_NO_STORE,
    )


def _live(phone: PhoneServer, live: LiveRow | None, row: CallRecord | None) -> dict[str, Any] | None:
    """Returns the process in which the call is live, or None if the call is over."""
    if live is not None and live.ended_at is None:
        return {"here": True, "instance": phone.instance}
    if row is None or row.over:
        return None
    return {"here": False, "instance": row.instance}


async def timeline(request: Request) -> Response:
    """Returns the turns, events and loudness of a recorded call. Returns 404 if there is no recording."""
    console = console_of(request)
    row, journal, _ = await _journal_of(request, Scope.VIEW)
    with _journal_errors(row.sid or row.id):
        file = await console.recordings.timeline(journal)
    return FileResponse(file, media_type="application/json", headers=_NO_STORE)


async def audio(request: Request) -> Response:
    """Returns the recording as WAV. The route supports range requests. `?download=1` needs the scope `export`, playing
    needs the scope `listen`. The audit log gets one entry for each download, and one each time that a person listens. A
    player sends many range requests while a person listens. To count these requests as one, the client sends the same
    `?playback=` with all of them (up to 16 letters and digits of its choice).
    """
    downloads = request.query_params.get("download") == "1"
    row, prepared, grant = await _recorded(request, Scope.EXPORT if downloads else Scope.LISTEN)
    playback = request.query_params.get("playback", "")
    if playback and not re.fullmatch(r"[0-9A-Za-z]{1,16}", playback):
        return JSONResponse({"error": "playback: write up to 16 letters and digits."}, status_code=400)
    sid, action = row.sid or row.id, Action.EXPORT if downloads else Action.LISTEN
    detail = f"recording, playback {playback}" if playback else "recording"
    begins = request.headers.get("range", "bytes=0-").startswith("bytes=0-") and not playback
    sends = request.method != "HEAD"
    if sends and (begins or not await _is_recorded(console_of(request), grant, action, sid, detail)):
        await console_of(request).access.record(grant, action, call=sid, detail=detail)
    name = f"{sid}.wav" if downloads else None
    return FileResponse(prepared.audio, media_type="audio/wav", filename=name, headers=_NO_STORE)


async def _is_recorded(console: Console, grant: Grant, action: Action, sid: str, detail: str) -> bool:
    """Returns whether the audit log has this action of this person with this recording, of the last hours. The first
    request of a listening may have gone to another process.
    """
    start = console.phone.sources.now() - _LISTENING
    found = await console.access.entries(AuditQuery(call=sid, who=grant.name, action=action, start=start))
    return any(each.who == grant.name and each.detail == detail for each in found)


async def export(request: Request) -> Response:
    """Returns a JSON file with the call record, the measurements (such as response latency) and the transcript of a
    call.
    """
    row, prepared, grant = await _recorded(request, Scope.EXPORT)
    await console_of(request).access.record(grant, Action.EXPORT, call=row.sid or row.id, detail="transcript")
    made = parse_object(await asyncio.to_thread(prepared.timeline.read_bytes)) or {}
    record = {name: value for name, value in row.to_json().items() if name != "journal"}
    body = dump({"record": record, "figures": made.get("figures"), "transcript": made.get("entries")})
    named = {"Content-Disposition": f'attachment; filename="{row.sid or row.id}.json"'}
    return Response(body, media_type="application/json", headers=_NO_STORE | named)


async def test(request: Request) -> Response:
    """Returns a test from this call as a zip file, with the files that `telephony calls test add` writes. Returns 400
    if the name is not an identifier.
    """
    console = console_of(request)
    phone = console.phone
    row, _, grant = await _recorded(request, Scope.EXPORT)
    given = await json_of(request)
    name, agent = str(given.get("name", "")), str(given.get("agent") or "") or None
    journal = await _journal(console, row)
    if journal is None:
        raise AccessRefused(404, _NOTHING_KEPT)
    await console.access.record(grant, Action.EXPORT, call=row.sid or row.id, detail="test")
    redaction = redaction_of(phone.settings)

    def made(journal: Path) -> bytes:
        with tempfile.TemporaryDirectory() as folder, io.BytesIO() as buffer:
            tests = Path(folder) / "tests"
            tests.mkdir()
            make_test(journal, name, agent, tests, redaction)
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
                for file in sorted(tests.rglob("*")):
                    if file.is_file():
                        packed.write(file, file.relative_to(folder))
            return buffer.getvalue()

    try:
        async with console.recordings.file(journal) as file:
            body = await asyncio.to_thread(made, file)
    except (ReplayError, JournalError) as error:
        return JSONResponse({"error": str(error)}, status_code=400, headers=_NO_STORE)
    except StorageError as error:
        raise _unreachable(row.sid or row.id, error) from None
    named = {"Content-Disposition": f'attachment; filename="test_{name}.zip"'}
    return Response(body, media_type="application/zip", headers=_NO_STORE | named)


# --- finding a call ---------------------------------------------------------------------------------------------


async def _found(request: Request, scope: Scope) -> tuple[CallRecord | None, LiveRow | None, Grant]:
    """Returns the record of the call, and the row of the call if the call is live in this process. Raises
    `AccessRefused` (404 if both are missing).
    """
    console, sid = console_of(request), request.path_params["sid"]
    await console.access.admit(request, scope)  # before anything says whether the call exists
    row = await console.phone.call_records.client.call(sid)
    live = console.board.get(row.sid or sid if row is not None else sid)
    if row is not None:
        number = own_number(row.direction, row.caller, row.called)
    elif live is not None:
        number = own_number(live.call.info.direction, live.call.caller, live.call.called)
    else:
        raise AccessRefused(404, "There is no such call, or its record was deleted.")
    return row, live, await console.access.admit(request, scope, number=number)


async def _recorded(request: Request, scope: Scope) -> tuple[CallRecord, PreparedFiles, Grant]:
    """Returns the record of the call and its prepared recording. Raises `AccessRefused` if the client is not allowed or
    if there is no recording.
    """
    row, journal, grant = await _journal_of(request, scope)
    with _journal_errors(row.sid or row.id):
        return row, await console_of(request).recordings.get(journal), grant


async def _journal_of(request: Request, scope: Scope) -> tuple[CallRecord, Source, Grant]:
    """Returns the record of the call and the place of its journal. Raises `AccessRefused` if the client is not allowed
    or if there is no recording.
    """
    row, _, grant = await _found(request, scope)
    console = console_of(request)
    journal = None if row is None else await _journal(console, row)
    if row is None or journal is None:
        raise AccessRefused(404, _NOTHING_KEPT if console.phone.journals.folder is None else "There is no recording.")
    return row, journal, grant


@contextlib.contextmanager
def _journal_errors(sid: str) -> Iterator[None]:
    """Raises `AccessRefused` for a journal that cannot be read in this block."""
    try:
        yield
    except JournalError as error:
        raise AccessRefused(404, str(error)) from None
    except StorageError as error:
        raise _unreachable(sid, error) from None


async def _journal(console: Console, row: CallRecord) -> Source | None:
    """Returns the place of this call's journal, or None if the journal is neither on this machine nor in object
    storage. Raises `AccessRefused` (503) if object storage cannot be used.
    """
    sid = row.sid or row.id
    places = [Path(row.journal)] if row.journal and "://" not in row.journal else []
    if (own := console.phone.journals.path_of(sid)) is not None:
        places.append(own)
    try:
        return await console.recordings.find(sid, places)
    except StorageError as error:
        raise _unreachable(sid, error) from None


def _unreachable(sid: str, error: StorageError) -> AccessRefused:
    log.warning("The journal of call %s cannot be read: %s", sid, error)
    return AccessRefused(503, "Object storage does not answer. Try again later.")
