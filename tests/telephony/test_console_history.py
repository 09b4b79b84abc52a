"""The history of the console: search, one call, its recording and what can be made of it. And the pages' frame."""

from __future__ import annotations

import asyncio
import gzip
import io
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from realtime_core import RealtimeAgent, RealtimeModelConfig
from telephony import create_app, load_settings
from telephony.call.ending import Ending, EndReason
from telephony.console.access import Access, Credential, Grant
from telephony.console.endings import CHOICES, words_of
from telephony.console.pages import PAGES, render
from telephony.console.prepare import TIMELINE, main
from telephony.console.recordings import Recordings, Source
from telephony.console.taken_over import NOT_TAKEN_OVER
from telephony.errors import StorageError
from telephony.journal.compression import compress
from telephony.records.access import Action
from telephony.records.call_record import CallRecord, CallUpdate
from telephony.records.database import DatabaseRecords
from telephony.records.subjects import SubjectKey
from telephony.web.call_records import REFUSED_CALLS

JOURNAL = Path(__file__).parent / "journals" / "schema_4.jsonl.gz"
NOW = datetime.now(UTC)
OURS = {"X-Telephony-Console": "1"}
API = "/console/api/calls"
ADA, OWN = "+14155550123", "+14155550199"


def call(n: int, **changes: Any) -> CallUpdate:
    at = NOW - timedelta(minutes=n)
    over = {"status": "completed", "ended_at": at, "duration_s": 60, "ending": "hung_up", "reason": "hung up"}
    base = {"sid": f"CA{n:03}", "started_at": at, "direction": "inbound", "caller": "+14•••••••99", "called": OWN}
    return CallUpdate(f"CA{n:03}", at, changes={**base, **over, "agent": "Desk", **changes})


@pytest.fixture
def console(tmp_path: Path) -> Iterator[TestClient]:
    with opened(tmp_path) as client:
        yield client


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A console for the tests that leave its calls as they are. Its start takes 0.2 s of the processor."""
    with opened(tmp_path_factory.mktemp("shown")) as client:
        yield client


@contextmanager
def opened(tmp_path: Path, **given: Any) -> Iterator[TestClient]:
    folder = tmp_path / "calls" / "CA001"
    folder.mkdir(parents=True)
    shutil.copy(JOURNAL, folder / "journal.jsonl.gz")
    settings = load_settings(
        telephony_model="scripted",
        telephony_data_dir=tmp_path / "data",
        telephony_journal_dir=tmp_path / "calls",
        telephony_number_key="a key of the tests, long enough",
        twilio_phone_number=OWN,
        **given,
    )
    (tmp_path / "data").mkdir()
    key = SubjectKey(b"a key of the tests, long enough")
    assert settings.records_url is not None
    with closing(DatabaseRecords(settings.records_url)) as records:
        records.note(
            [
                call(1, caller="+14•••••••23", subject=key.of(ADA), summary="A refund of order 7.", agent="Billing"),
                call(2, ending="failed", reason="failed: ToolError: no stock", result={"Order": "Zebra"}),
                call(3, ending="transferred", reason="transferred to kitchen", interruptions=2),
                call(4, ending="", status="interrupted", interruptions=0),
                *(call(n) for n in range(5, 60)),
                call(60, ending="refused-full", reason="refused: no room for another call"),
            ]
        )
    app = create_app(
        RealtimeAgent(name="Desk"),
        settings=settings,
        model_config=RealtimeModelConfig(url="ws://127.0.0.1:9/never", api_key="none"),
    )
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5000)) as client:
        yield client


def found(console: TestClient, **filters: str) -> list[str]:
    page = console.get(API, params=filters)
    assert page.status_code == 200, page.text
    return [each["sid"] for each in page.json()["calls"]]


@pytest.mark.parametrize(
    "filters, sids",
    [
        ({"q": ADA}, ["CA001"]),
        ({"q": "+1 415 555 0123"}, ["CA001"]),
        ({"q": "•23"}, ["CA001"]),
        ({"q": "(415) 555-01 99", "agent": "Billing"}, ["CA001"]),
        ({"q": "(415) 555-0123"}, ["CA001"]),
        ({"q": "415 555 0123"}, ["CA001"]),
        ({"q": "1.415.555.0123"}, ["CA001"]),
        ({"q": "415 555 0124"}, []),
        ({"q": "001"}, []),
        ({"q": "CA001"}, ["CA001"]),
        ({"q": "REFUND"}, ["CA001"]),
        ({"q": "zebra"}, ["CA002"]),
        ({"q": "no stock"}, ["CA002"]),
        ({"q": "100%"}, []),
        ({"agent": "Billing"}, ["CA001"]),
        ({"why": "transferred"}, ["CA003"]),
        ({"why": "failed"}, ["CA002"]),
        ({"why": "refused"}, ["CA060"]),
        ({"why": "failed", "q": "refund"}, []),
        ({"why": "server"}, ["CA004"]),
        ({"interrupted": "1"}, ["CA003"]),
        ({"interrupted": "1", "why": "failed"}, []),
        ({"from": "2020-01-01", "to": "2020-12-31"}, []),
    ],
)
def test_calls_are_found_by_number_words_agent_reason_and_date(
    shown: TestClient, filters: dict[str, str], sids: list[str]
) -> None:
    assert found(shown, **filters) == sids


def test_pages_continue_where_the_page_before_ended(shown: TestClient) -> None:
    first = shown.get(API).json()
    second = shown.get(API, params={"cursor": first["next"]}).json()
    assert [len(first["calls"]), len(second["calls"]), second["next"]] == [50, 10, None]
    assert [each["sid"] for each in first["calls"] + second["calls"]] == [f"CA{n:03}" for n in range(1, 61)]


def test_a_search_looks_at_a_part_of_the_calls_and_says_where_to_go_on(
    shown: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telephony.console.history._SCAN", 20)
    sids: list[str] = []
    cursor, pages = "", 0
    while cursor is not None:
        page = shown.get(API, params={"why": "refused", "cursor": cursor}).json()
        sids += [each["sid"] for each in page["calls"]]
        cursor, pages = page["next"], pages + 1
    assert (sids, pages) == (["CA060"], 4)


@pytest.mark.parametrize("filters", [{"from": "yesterday"}, {"why": "boredom"}, {"interrupted": "x"}, {"cursor": "?"}])
def test_an_invalid_filter_is_explained(shown: TestClient, filters: dict[str, str]) -> None:
    response = shown.get(API, params=filters)
    assert (response.status_code, bool(response.json()["error"])) == (400, True)


def test_one_call_has_its_record_and_why_it_ended(shown: TestClient) -> None:
    one = shown.get(f"{API}/CA003").json()
    assert one["ended"] == {"label": "Transferred", "sentence": "The caller was transferred to kitchen."}
    assert (one["live"], one["recording"], one["record"]["duration_s"]) == (None, False, 60)
    assert "journal" not in one["record"], "a path of the server"
    assert shown.get(f"{API}/CA999").status_code == 404


def test_a_recorded_call_has_a_timeline_and_audio_with_ranges(console: TestClient) -> None:
    assert console.get(f"{API}/CA001").json()["recording"]
    made = console.get(f"{API}/CA001/timeline").json()
    assert made["duration_ms"] > 1000
    turns = [entry for entry in made["entries"] if entry["type"] == "turn"]
    assert {turn["speaker"] for turn in turns} == {"caller", "agent"}
    assert all(0 <= turn["heard_share"] <= 1 for turn in turns if turn["speaker"] == "agent")
    assert len(made["wave"]["caller"]) == len(made["wave"]["agent"]) > 20
    whole = console.get(f"{API}/CA001/audio")
    assert (whole.status_code, whole.headers["content-type"], whole.content[:4]) == (200, "audio/wav", b"RIFF")
    part = console.get(f"{API}/CA001/audio", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert "attachment" in console.get(f"{API}/CA001/audio?download=1").headers["content-disposition"]


def noted(console: TestClient) -> list[tuple[str, str]]:
    """The actions with the recorded call that are in the audit, the oldest first."""
    entries = console.get("/console/api/audit").json()["entries"]
    return [(entry["action"], entry["detail"]) for entry in reversed(entries) if entry["call"] == "CA001"]


def test_listening_and_exporting_are_in_the_audit_and_looking_is_not(console: TestClient) -> None:
    for path in ("", "/timeline"):
        assert console.get(f"{API}/CA001{path}").status_code == 200
    assert noted(console) == []
    for path in ("audio", "audio?download=1", "export.json"):
        assert console.get(f"{API}/CA001/{path}").status_code == 200
    assert noted(console) == [("listen", "recording"), ("export", "recording"), ("export", "transcript")]


RANGES = [
    ("bytes=0-", "bytes=100-199", "bytes=0-"), ("bytes=100-", "bytes=0-1"), ("bytes=-50", "bytes=200-"), ("bytes=1-",),
]  # fmt: skip


@pytest.mark.parametrize("nth", range(len(RANGES)))
def test_the_requests_of_one_listening_are_one_entry(shown: TestClient, nth: int) -> None:
    before, playbacks = noted(shown), (f"a{nth}", f"b{nth}")
    for playback in playbacks:
        for each in RANGES[nth]:
            part = shown.get(f"{API}/CA001/audio?playback={playback}", headers={"Range": each})
            assert part.status_code == 206
    assert noted(shown) == [*before, *(("listen", f"recording, playback {playback}") for playback in playbacks)]
    assert shown.get(f"{API}/CA001/audio?playback=a;1").status_code == 400


@pytest.mark.parametrize("query, action", [("", "listen"), ("?download=1", "export")])
def test_a_recording_without_its_first_bytes_is_in_the_audit(console: TestClient, query: str, action: str) -> None:
    for _ in range(2):
        assert console.get(f"{API}/CA001/audio{query}", headers={"Range": "bytes=1-"}).status_code == 206
    assert noted(console) == [(action, "recording")]


def test_a_call_that_a_supervisor_took_over_is_marked_and_found(console: TestClient) -> None:
    access: Access = console.app.state.console.access  # type: ignore[attr-defined]
    grant, portal = Grant("Ada", Credential.BEARER), console.portal
    assert portal is not None
    for sid, detail in (("CA003", ""), ("CA004", ""), ("CA004", NOT_TAKEN_OVER)):
        portal.call(partial(access.record, grant, Action.TAKE_OVER, call=sid, detail=detail))
    assert found(console, taken_over="1") == ["CA003"]
    assert found(console, taken_over="1", why="failed") == []
    listed = {each["sid"]: each["taken_over_by"] for each in console.get(API).json()["calls"]}
    assert [listed[sid] for sid in ("CA003", "CA004", "CA005")] == [["Ada"], [], []]
    assert console.get(f"{API}/CA003").json()["taken_over_by"] == ["Ada"]
    assert console.get(API, params={"taken_over": "yes"}).status_code == 400


def test_the_audit_has_the_number_of_the_caller_as_the_record_has_it(console: TestClient) -> None:
    assert console.get(f"{API}/CA001/export.json").status_code == 200
    for wanted, n in ((ADA, 1), ("(415) 555-0123", 1), ("CA001", 1), ("+14155550177", 0)):
        entries = console.get("/console/api/audit", params={"call": wanted}).json()["entries"]
        listed = [(entry["call"], entry["number"]) for entry in entries]
        assert listed == [("CA001", "+14•••••••23")] * n, wanted


def test_the_timeline_comes_before_the_audio_and_stays_when_the_journal_is_compressed(tmp_path: Path) -> None:
    folder = tmp_path / "calls" / "CA001"
    folder.mkdir(parents=True)
    journal = folder / "journal.jsonl"
    journal.write_bytes(gzip.decompress(JOURNAL.read_bytes()))

    async def story() -> None:
        async with Recordings() as recordings:
            source = Source(local=journal)
            timeline = await recordings.timeline(source)
            assert timeline.read_text(encoding="utf-8").endswith("}")
            whole = await recordings.get(source)
            assert whole.timeline == timeline and whole.audio.exists()
            packed = Source(local=compress(journal))
            assert await recordings.timeline(packed) == timeline
            assert await recordings.get(packed) is whole

    asyncio.run(story())


def test_a_journal_that_is_compressed_meanwhile_is_read(tmp_path: Path) -> None:
    shutil.copy(JOURNAL, tmp_path / "journal.jsonl.gz")
    (tmp_path / "made").mkdir()
    main(tmp_path / "journal.jsonl", tmp_path / "made")
    assert (tmp_path / "made" / TIMELINE).exists()


def test_a_call_whose_journal_was_deleted_cannot_be_played(console: TestClient, tmp_path: Path) -> None:
    assert console.get(f"{API}/CA001/timeline").status_code == 200
    shutil.rmtree(tmp_path / "calls" / "CA001")
    assert console.get(f"{API}/CA001/audio").status_code == 404


def test_a_call_whose_journal_is_in_object_storage_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, local = f"file://{tmp_path}/store", tmp_path / "calls" / "CA001"
    with opened(tmp_path, telephony_journal_store=store, telephony_journal_keep_local=False) as console:
        while local.exists():
            console.get("/healthz")
        assert console.get(f"{API}/CA001").json()["recording"]
        assert not console.get(f"{API}/CA00").json().get("recording"), "CA00 is no call, only the beginning of one"
        assert "turn" in {entry["type"] for entry in console.get(f"{API}/CA001/timeline").json()["entries"]}
        assert console.get(f"{API}/CA001/audio").content[:4] == b"RIFF"
        assert console.get(f"{API}/CA001/export.json").json()["transcript"]
        made = console.post(f"{API}/CA001/test", json={"name": "refund", "agent": "desk:agent"}, headers=OURS)
        with zipfile.ZipFile(io.BytesIO(made.content)) as packed:
            assert sorted(packed.namelist()) == ["tests/calls/refund.jsonl.gz", "tests/test_refund.py"]
        assert 'telephony_journal_uploads_total{outcome="sent"} 1.0' in console.get("/metrics").text

        def fails(*_: object, **__: object) -> None:
            raise StorageError("store: no answer")

        monkeypatch.setattr("telephony.console.recordings.journal_of", fails)
        one = console.get(f"{API}/CA001").json()
        assert (one["recording"], one["no_recording"]) == (False, "Object storage does not answer. Try again later.")
        assert console.get(f"{API}/CA001/audio").status_code == 503


def test_a_test_is_made_of_a_call(console: TestClient) -> None:
    made = console.post(f"{API}/CA001/test", json={"name": "refund", "agent": "desk:agent"}, headers=OURS)
    assert made.status_code == 200, made.text
    with zipfile.ZipFile(io.BytesIO(made.content)) as packed:
        assert sorted(packed.namelist()) == ["tests/calls/refund.jsonl.gz", "tests/test_refund.py"]
        source = packed.read("tests/test_refund.py").decode()
    assert 'replay("refund", agent="desk:agent")' in source
    compile(source, "test_refund.py", "exec")


@pytest.mark.parametrize("body", [{"name": "no name"}, {"name": ""}, {"name": "x", "agent": 'a:b")\nimport os#'}])
def test_a_name_that_is_no_name_makes_no_test(shown: TestClient, body: dict[str, str]) -> None:
    response = shown.post(f"{API}/CA001/test", json=body, headers=OURS)
    assert response.status_code == 400, response.text


def test_a_call_that_is_not_live_has_no_feed(shown: TestClient) -> None:
    assert shown.get(f"{API}/CA001/feed").status_code == 404


def test_without_a_login_nothing_is_shown(tmp_path: Path) -> None:
    settings = load_settings(
        public_url="https://phone.example.com",
        twilio_auth_token="12345",
        telephony_api_token="letmein",
        telephony_model="scripted",
        telephony_data_dir=tmp_path,
    )
    app = create_app(RealtimeAgent(name="Desk"), settings=settings)
    with TestClient(app, base_url="https://phone.example.com", client=("10.0.0.7", 5000)) as client:
        for path in ("", "/CA001", "/CA001/timeline", "/CA001/audio", "/CA001/export.json", "/CA001/feed"):
            assert client.get(f"{API}{path}").status_code == 401, path
        assert client.get("/console/api/live").status_code == 401
        assert client.get("/console").status_code == 200, "the page itself has no data"


# --- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", EndReason)
def test_every_ending_has_words_and_a_choice(reason: EndReason) -> None:
    code = reason.name.lower()
    row = CallRecord("CA1", status="completed", ending=code, reason=str(Ending(reason)))
    words = words_of(row)
    assert words is not None and words.sentence != f"{row.ending_words}.", "these are words of its own"
    moved = ("stream_taken", "stream_elsewhere")
    assert code in moved or any(code in codes for _, codes in CHOICES.values())


@pytest.mark.parametrize("why", REFUSED_CALLS)
def test_every_refusal_has_words_and_a_choice(why: str) -> None:
    row = CallRecord("CA1", status="completed", ending=f"refused-{why}", reason="refused: x")
    words = words_of(row)
    assert words is not None and not words.label.startswith("Refused-")
    assert f"refused-{why}" in CHOICES["refused"][1]


# --- pages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, base",
    [("/console", "console/"), ("/console/calls", "./"), ("/console/calls/CA1", "../"), ("/console/phone", "./")],
)
@pytest.mark.parametrize("mount", ["", "/voice", "/i/abc"])
def test_the_addresses_of_a_page_are_relative_to_the_console(mount: str, path: str, base: str) -> None:
    fits = {"/console": "", "/console/calls/CA1": "calls/{sid}"}
    page = next(each for each in PAGES if each.path == fits.get(path, path.removeprefix("/console/")))
    html = render(page, mount + path)
    assert f'<base href="{base}">' in html
    assert "{{" not in html
    assert html.count("aria-current=page") == (0 if "{sid}" in page.path else 1), "a call may be live or past"
    assert 'href="/' not in html and 'src="/' not in html
