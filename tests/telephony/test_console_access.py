"""Who may use the console: scopes, numbers, logins, revoked tokens, requests of other sites, and the audit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from typer.testing import CliRunner

from realtime_core import RealtimeAgent, RealtimeModelConfig
from telephony import Settings, create_app, load_settings
from telephony.cli import numbers
from telephony.cli.app import app
from telephony.console.access import COOKIE, HEADER, Action, Scope, own_number
from telephony.console.console import console_of
from telephony.errors import RecordRefused, RecordsUnavailable
from telephony.records import Records
from telephony.records.access import (
    AccessStore,
    AuditEntry,
    AuditQuery,
    StoredToken,
    hash_secret,
    split_token,
    token_text,
)
from telephony.records.call_record import CallUpdate
from telephony.records.database import DatabaseRecords

PUBLIC = "https://phone.example.com"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OURS, OTHER = "+14155550100", "+14155550101"
OWN_PAGE = {"Origin": PUBLIC, HEADER: "1"}


def token(name: str = "Ada", *, of: str = "", scopes: frozenset[Scope] = frozenset(Scope), days: float | None = None,
          numbers: frozenset[str] = frozenset(), token_id: str = "t1") -> StoredToken:  # fmt: skip
    ends = None if days is None else NOON + timedelta(days=days)
    return StoredToken(token_id, name, hash_secret("secret"), scopes, numbers, NOON, ends, parent=of)


@pytest.fixture
def store(records: Records) -> AccessStore:
    return records.access


def test_a_token_is_kept_as_it_was_made_and_a_revoked_one_ends_its_sessions(store: AccessStore) -> None:
    made = token(scopes=frozenset({Scope.VIEW, Scope.LISTEN}), numbers=frozenset({OURS}), days=1)
    session = token(of="t1", token_id="s1", days=0.5)
    store.add_token(made)
    store.add_token(session)
    assert store.token("t1") == made and store.token("s1") == session and store.token("t2") is None
    assert store.tokens() == [made], "sessions are not listed"
    assert store.revoke_token("t1", NOON) and not store.revoke_token("t1", NOON)
    assert [each is not None and each.revoked_at for each in map(store.token, ("t1", "s1"))] == [NOON, NOON]


def test_a_session_that_has_ended_is_deleted_and_a_token_is_not(store: AccessStore) -> None:
    store.add_token(token(days=-2))
    store.add_token(token(of="t1", token_id="s1", days=-1))
    store.add_token(token(of="t1", token_id="s2", days=1))
    assert store.token("t1") is not None and store.token("s1") is None and store.token("s2") is not None


def test_the_audit_is_read_the_newest_first_and_in_pages(store: AccessStore) -> None:
    written = [AuditEntry(NOON, "Ada", Action.LISTEN, f"CA{n % 2}", f"\0{n}") for n in range(5)]
    for each in written:
        store.add_entry(each)
    first = store.entries(AuditQuery(limit=2))
    assert [each.detail[-1] for each in first] == ["4", "3"]
    assert [each.detail[-1] for each in store.entries(AuditQuery(before=first[-1].id))] == ["2", "1", "0"]
    assert [each.detail[-1] for each in store.entries(AuditQuery(call="CA1"))] == ["3", "1"]


HOUR = timedelta(hours=1)
FILTERS = {
    "who": (AuditQuery(who="ADA"), "310"),
    "no pattern": (AuditQuery(who="a%a"), ""),
    "action": (AuditQuery(action=Action.LISTEN), "20"),
    "calls": (AuditQuery(calls=("1", "3")), "31"),
    "no calls": (AuditQuery(calls=()), ""),
    "begin": (AuditQuery(start=NOON + HOUR), "321"),
    "end": (AuditQuery(end=NOON + 2 * HOUR), "10"),
    "both": (AuditQuery(who="ada", start=NOON + HOUR, limit=1), "3"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_the_audit_is_filtered_by_person_action_and_time(store: AccessStore, name: str) -> None:
    for n, (who, action) in enumerate(
        [("Ada", Action.LISTEN), ("Ada L.", Action.SAY), ("Bob", Action.LISTEN), ("ada", Action.CONFIGURE)]
    ):
        store.add_entry(AuditEntry(NOON + n * HOUR, who, action, call=str(n), detail=str(n)))
    query, found = FILTERS[name]
    assert "".join(each.detail for each in store.entries(query)) == found


@pytest.mark.parametrize("statement", ["UPDATE telephony_audit SET who = 'Eve'", "DELETE FROM telephony_audit"])
def test_the_database_does_not_change_the_audit(database_url: str, statement: str) -> None:
    with closing(DatabaseRecords(database_url)) as database:
        database.access.add_entry(AuditEntry(NOON, "Ada", Action.LISTEN, "CA1"))
        with suppress(RecordRefused, RecordsUnavailable), database._transaction() as connection:
            connection.execute(sqlalchemy.text(statement))  # SQLite raises; PostgreSQL changes nothing
        assert [each.who for each in database.access.entries(AuditQuery())] == ["Ada"]


@pytest.mark.parametrize("text", ["", "tel_", "tel_.", "tel_a.", "tel_.b", "a.b", "tel_" + "a" * 300 + ".b", "tel_é.b"])
def test_a_text_that_is_no_token(text: str) -> None:
    assert split_token(text) is None
    assert split_token(token_text("a", "b.c")) == ("a", "b.c")


# --- requests ---------------------------------------------------------------------------------------------------


async def probe(request: Request) -> Response:
    """Needs the scope of the path, for calls of the number of the query."""
    scope, number = Scope(request.path_params["scope"]), request.query_params.get("number")
    grant = await console_of(request).access.admit(request, scope, number=number)
    return JSONResponse({"name": grant.name})


async def socket(websocket: WebSocket) -> None:
    access = console_of(websocket).access
    grant = await access.admit(websocket, Scope.LISTEN)
    await websocket.accept()
    async with access.while_valid(grant):
        await websocket.send_text(grant.name)
        await websocket.receive()


def client(settings: Settings, base_url: str, peer: str) -> TestClient:
    application = create_app(
        RealtimeAgent(name="Desk"),
        settings=settings,
        model_config=RealtimeModelConfig(url="ws://127.0.0.1:9/never", api_key="none"),
    )
    application.router.routes[:0] = [
        Route("/probe/{scope}", probe, methods=["GET", "POST"]),
        WebSocketRoute("/probe-socket", socket),
    ]
    return TestClient(application, base_url=base_url, client=(peer, 5000))


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The pages read the same whatever the database is, so one kind suffices."""
    return f"sqlite:///{tmp_path}/records.db"


@pytest.fixture
def public(database_url: str) -> Iterator[TestClient]:
    settings = load_settings(
        public_url=PUBLIC,
        twilio_auth_token="12345",
        telephony_api_token="letmein",
        telephony_model="scripted",
        database_url=database_url,
    )
    with client(settings, PUBLIC, "10.0.0.7") as test_client:
        yield test_client


@pytest.fixture
def local(database_url: str) -> Iterator[TestClient]:
    settings = load_settings(telephony_model="scripted", database_url=database_url)
    with client(settings, "http://127.0.0.1:8000", "127.0.0.1") as test_client:
        yield test_client


def bearer(text: str = token_text("t1", "secret")) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize("held", Scope)
@pytest.mark.parametrize("needed", Scope)
def test_a_token_permits_its_scope_and_no_other(
    public: TestClient, database: DatabaseRecords, held: Scope, needed: Scope
) -> None:
    database.access.add_token(token(scopes=frozenset({held})))
    answer = public.get(f"/probe/{needed.value}", headers=bearer())
    assert (answer.status_code == 200) is (held is needed) and answer.status_code in (200, 403)


@pytest.mark.parametrize("needed", Scope)
def test_the_operator_s_token_permits_all_and_no_token_nothing(public: TestClient, needed: Scope) -> None:
    assert public.get(f"/probe/{needed.value}", headers=bearer("letmein")).json() == {"name": "operator"}
    for wrong in ({}, bearer("wrong"), bearer(""), bearer("tel_t1.secret"), {"Authorization": "Basic letmein"},
                  {"Cookie": f"{COOKIE}=tel_t1.secret"}, {"Cookie": f"{COOKIE}=letmein"}):  # fmt: skip
        assert public.get(f"/probe/{needed.value}", headers=wrong).status_code == 401, wrong


def test_a_token_is_limited_to_calls_of_its_numbers(public: TestClient, database: DatabaseRecords) -> None:
    database.access.add_token(token(numbers=frozenset({OURS})))
    statuses = [public.get("/probe/view", params={"number": each}, headers=bearer()).status_code
                for each in (OURS, OTHER, "")]  # fmt: skip
    assert statuses == [200, 403, 403]
    assert public.get("/console/api/audit", headers=bearer()).status_code == 403, "it has the calls of all numbers"


def test_the_limit_applies_to_our_number_and_not_to_the_number_that_a_caller_sends() -> None:
    assert own_number("inbound", OTHER, OURS) == own_number("outbound-api", OURS, OTHER) == OURS


@pytest.mark.parametrize("wrong", ["tel_t1.other", "tel_t2.secret"])
def test_the_secret_has_to_be_that_of_the_token(public: TestClient, database: DatabaseRecords, wrong: str) -> None:
    database.access.add_token(token())
    assert public.get("/probe/view", headers=bearer(wrong)).status_code == 401


def test_a_token_that_has_ended_or_was_revoked_is_refused(public: TestClient, database: DatabaseRecords) -> None:
    database.access.add_token(token(token_id="old", days=1))
    database.access.add_token(token(token_id="t1"))
    assert public.get("/probe/view", headers=bearer(token_text("old", "secret"))).status_code == 401
    assert public.get("/probe/view", headers=bearer()).status_code == 200
    database.access.revoke_token("t1", NOON)
    assert public.get("/probe/view", headers=bearer()).status_code == 401


def log_in(test_client: TestClient, given: str) -> Response:
    return test_client.post("/console/api/login", json={"token": given}, headers=OWN_PAGE)  # type: ignore[return-value]


@pytest.mark.parametrize("given, name", [("letmein", "operator"), (token_text("t1", "secret"), "Ada")])
def test_a_login_has_the_scopes_of_its_token_and_ends_with_it(
    public: TestClient, database: DatabaseRecords, given: str, name: str
) -> None:
    database.access.add_token(token(scopes=frozenset({Scope.VIEW})))
    answer = log_in(public, given)
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 204 and all(it in cookie for it in ("HttpOnly", "SameSite=strict", "Secure"))
    assert given not in cookie
    assert public.get("/console/api/me").json()["name"] == name
    assert public.get("/probe/view").json() == {"name": name}
    assert public.get("/probe/control").status_code == (200 if name == "operator" else 403)
    database.access.revoke_token("t1", NOON)
    assert public.get("/probe/view").status_code == (200 if name == "operator" else 401)


def test_a_login_with_the_operator_s_token_ends_when_the_token_changes(public: TestClient, database_url: str) -> None:
    log_in(public, "letmein")
    cookies = dict(public.cookies)
    for token_now, status in (("letmein", 200), ("another", 401), (None, 401)):
        settings = load_settings(public_url=PUBLIC, twilio_auth_token="12345", telephony_api_token=token_now,
                                 telephony_model="scripted", database_url=database_url)  # fmt: skip
        with client(settings, PUBLIC, "10.0.0.7") as restarted:
            restarted.cookies.update(cookies)
            assert restarted.get("/probe/view").status_code in {status, *([403] if token_now is None else [])}


def test_a_login_can_be_ended_and_cannot_begin_another(public: TestClient) -> None:
    log_in(public, "letmein")
    session = public.cookies[COOKIE]
    assert log_in(public, session).status_code == 401
    assert public.post("/console/api/logout", headers=OWN_PAGE).status_code == 204
    public.cookies.set(COOKIE, session)
    assert public.get("/probe/view").status_code == 401


def test_tokens_cannot_be_tried_in_bulk(public: TestClient) -> None:
    statuses = [log_in(public, f"wrong {n}").status_code for n in range(8)]
    assert statuses[0] == 401 and statuses[-1] == 429


OTHER_SITES = [{"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
               {"Sec-Fetch-Site": "same-site"}, {"Origin": f"{PUBLIC}:444"},
               {"Origin": "https://phone.example.com.elsewhere.example"}]  # fmt: skip


@pytest.mark.parametrize("headers", OTHER_SITES)
def test_a_page_of_another_site_cannot_use_the_login(public: TestClient, headers: dict[str, str]) -> None:
    log_in(public, "letmein")
    assert public.post("/probe/control", headers=OWN_PAGE).status_code == 200
    assert public.post("/probe/control", headers=OWN_PAGE | headers).status_code == 403
    own = {"Origin": PUBLIC, "Cookie": f"{COOKIE}={public.cookies[COOKIE]}"}
    with public.websocket_connect("/probe-socket", headers=own) as open_socket:
        assert open_socket.receive_text() == "operator"
    with public.websocket_connect("/probe-socket", headers=own | headers) as open_socket:
        with pytest.raises(WebSocketDisconnect) as refused:
            open_socket.receive_text()
        assert refused.value.code == 4403


@pytest.mark.parametrize("headers", [{}, {"Origin": PUBLIC}, {"Sec-Fetch-Site": "same-origin"}])
def test_forms_and_sockets_without_the_headers_of_the_console_are_refused(
    public: TestClient, headers: dict[str, str]
) -> None:
    log_in(public, "letmein")
    assert public.post("/probe/control", headers=headers).status_code == 403
    assert public.post("/probe/control", headers=headers | bearer("letmein")).status_code == 200, "a program"
    own = {"Cookie": f"{COOKIE}={public.cookies[COOKIE]}", **headers}
    with public.websocket_connect("/probe-socket", headers=own) as open_socket:
        if "Origin" in headers:
            assert open_socket.receive_text() == "operator"
            return
        with pytest.raises(WebSocketDisconnect) as refused:
            open_socket.receive_text()
        assert refused.value.code == 4403


@pytest.mark.parametrize("headers", [*OTHER_SITES, {}])
def test_a_page_of_another_site_cannot_use_this_machine(local: TestClient, headers: dict[str, str]) -> None:
    own = {"Origin": "http://127.0.0.1:8000", HEADER: "1"}
    assert local.post("/probe/control", headers=own).json() == {"name": "this machine"}
    assert local.post("/probe/control", headers=own | headers).status_code == 403 or not headers
    assert local.post("/probe/control", headers=headers).status_code == 403


def test_an_old_cookie_does_not_lock_this_machine_out(local: TestClient) -> None:
    assert local.get("/probe/view", headers={"Cookie": f"{COOKIE}=tel_t1.secret"}).json() == {"name": "this machine"}
    assert local.get("/probe/view", headers=bearer("tel_t1.secret")).status_code == 401, "a token that it names"


def test_a_revoked_token_cuts_its_socket_off(
    public: TestClient, database: DatabaseRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telephony.console.access.RECHECK_S", 0.01)
    database.access.add_token(token())
    with public.websocket_connect("/probe-socket", headers=bearer()) as open_socket:
        assert open_socket.receive_text() == "Ada"
        database.access.revoke_token("t1", NOON)
        with pytest.raises(WebSocketDisconnect) as cut:
            open_socket.receive_text()
        assert cut.value.code == 4401


def test_the_audit_has_who_did_what(public: TestClient) -> None:
    log_in(public, "letmein")
    public.post("/console/api/logout", headers=OWN_PAGE)
    page = public.get("/console/api/audit", headers=bearer("letmein")).json()
    assert [(it["who"], it["action"]) for it in page["entries"]] == [("operator", "log out"), ("operator", "log in")]
    first = public.get("/console/api/audit?limit=1", headers=bearer("letmein")).json()
    rest = public.get(f"/console/api/audit?limit=1&before={first['next']}", headers=bearer("letmein")).json()
    assert first["entries"] + rest["entries"] == page["entries"]
    assert "log in" in first["actions"] and rest["next"] is None
    only = public.get("/console/api/audit?action=log+in&who=OPER&from=2026-01-01", headers=bearer("letmein")).json()
    assert only["entries"] == page["entries"][1:]
    for wrong in ("limit=x", "before=0", "action=look", "from=yesterday", "to=x"):
        assert public.get(f"/console/api/audit?{wrong}", headers=bearer("letmein")).status_code == 400, wrong
    assert public.get("/console/api/audit").status_code == 401


@pytest.mark.parametrize("what, needed", [("listen", Scope.LISTEN), ("take-over", Scope.CONTROL)])
@pytest.mark.parametrize("held", [*Scope, None])
def test_a_socket_of_a_call_needs_its_scope(
    public: TestClient, database: DatabaseRecords, what: str, needed: Scope, held: Scope | None
) -> None:
    database.access.add_token(token(scopes=frozenset({held} if held else ())))
    headers = bearer() if held else {}
    path = f"/console/api/calls/CA1/{what}"
    with public.websocket_connect(path, headers=headers) as opened, pytest.raises(WebSocketDisconnect) as refused:
        opened.receive_text()
    assert refused.value.code == (4404 if held is needed else 4403 if held else 4401), "there is no call CA1"


def test_a_socket_is_sent_to_the_process_of_its_call(public: TestClient, database: DatabaseRecords) -> None:
    database.renew("p9", ttl_s=60, now=datetime.now(UTC))
    database.note([CallUpdate("CA1", NOON, changes={"sid": "CA1", "direction": "inbound", "status": "in-progress",
                                                   "instance": "phone-9", "process": "p9"})])  # fmt: skip
    path, headers = "/console/api/calls/CA1/listen", bearer("letmein")
    with public.websocket_connect(path, headers=headers) as opened, pytest.raises(WebSocketDisconnect) as moved:
        opened.receive_text()
    assert (moved.value.code, moved.value.reason) == (4307, "/i/phone-9")
    answer = public.post("/console/api/calls/CA1/say", headers=bearer("letmein"), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/i/phone-9/console/api/calls/CA1/say")
    again = public.post("/i/phone-9/console/api/calls/CA1/say", headers=bearer("letmein"), follow_redirects=False)
    assert again.status_code == 503, "a proxy sent it here, because that process is gone"


def test_a_limited_token_dials_only_its_numbers(public: TestClient, database: DatabaseRecords) -> None:
    database.access.add_token(token(numbers=frozenset({OURS})))
    form = {"CallSid": "CA" + "0" * 32, "From": OTHER}
    dial = "/console/phone/webhook/incoming-call"
    statuses = [public.post(dial, data={**form, "To": to}, headers=bearer()).status_code for to in (OURS, OTHER)]
    assert statuses == [200, 403]


def test_the_command_makes_a_token_that_works_until_it_is_revoked(
    public: TestClient, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    run = CliRunner().invoke
    made = run(app, ["tokens", "create", "Ada", "--scope", "listen", "--number", "+1 415 555 0100", "--days", "7"])
    text = made.stdout.strip()
    assert public.get("/probe/listen", params={"number": OURS}, headers=bearer(text)).json() == {"name": "Ada"}
    assert public.get("/probe/view", headers=bearer(text)).status_code == 403
    (shown,) = json.loads(run(app, ["tokens", "list", "--json"]).stdout)
    assert (shown["name"], shown["scopes"], shown["numbers"]) == ("Ada", ["listen"], [OURS])
    assert text.partition(".")[2] not in str(shown)
    assert run(app, ["tokens", "revoke", shown["id"]]).exit_code == 0
    assert public.get("/probe/listen", headers=bearer(text)).status_code == 401
    assert run(app, ["tokens", "revoke", shown["id"]]).exit_code == 1
    assert "revoked" in run(app, ["tokens", "list"]).stdout
    entries = public.get("/console/api/audit", headers=bearer("letmein")).json()["entries"]
    assert [each["action"] for each in entries] == ["revoke token", "create token"]
    assert "Ada" in entries[0]["detail"] and entries[0]["who"].endswith("(command line)")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x1b[31mb", "a\u202eb", "x" * 101], ids=repr)
def test_a_name_that_would_spoil_the_list_makes_no_token(
    name: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    made = CliRunner().invoke(app, ["tokens", "create", name])
    assert made.exit_code == 2 and "control character" in made.output
    assert CliRunner().invoke(app, ["tokens", "list"]).stdout == ""


class Numbers:
    """The numbers of a file at Twilio."""

    async def plan(self) -> list[Plan]:
        return [Plan(OURS)]

    async def apply(self, changes: list[Plan]) -> None:
        pass

    async def restore(self, *, force: bool) -> list[tuple[Plan, bool]]:
        return [(Plan(OURS), True)]


@dataclass
class Plan:
    number: str
    is_change = True
    problem = ""
    before = "nothing"

    def lines(self) -> list[str]:
        return []


def test_changes_of_the_configuration_by_commands_are_in_the_audit(
    database: DatabaseRecords, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.check()
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(numbers, "_installation", lambda file: Numbers())
    for command in (["numbers", "apply", "--yes"], ["numbers", "restore", "--yes"], ["versions", "resume", OURS]):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    found = [(each.action, each.detail) for each in reversed(database.access.entries(AuditQuery()))]
    assert found == [
        (Action.CONFIGURE, f"numbers of numbers.toml applied: {OURS}"),
        (Action.CONFIGURE, "numbers of numbers.toml restored"),
        (Action.CONFIGURE, f"canary of {OURS}: running (by command)"),
    ]
