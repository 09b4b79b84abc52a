"""The doctor: finds what is wrong, says what to do, and is silent about secrets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from test_rest import ACCOUNT, NUMBER, Twilio, refusal, twilio  # noqa: F401 - a fixture
from typer.testing import CliRunner

from realtime_core.sources import Sources
from telephony.cli.app import app
from telephony.doctor.examination import examine
from telephony.doctor.findings import Finding
from telephony.doctor.local import check_audio
from telephony.doctor.remote import Answer, check_clock, check_number, fetch
from telephony.settings import load_settings
from telephony.twilio.rest import PhoneNumber

PUBLIC = "https://phone.example.com"
US = Answer(200, {}, b'{"status":"ok","service":"telephony"}')
ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-of-the-doctor",
    "PUBLIC_URL": PUBLIC,
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "TWILIO_AUTH_TOKEN": "token-of-the-doctor",
    "TWILIO_PHONE_NUMBER": "+14155550100",
}


class Frozen(Sources):
    def now(self) -> datetime:
        return datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def web(answers: Mapping[str, Answer]) -> Any:
    def get(url: str, headers: Mapping[str, str]) -> Answer:
        return next((answer for start, answer in answers.items() if url.startswith(start)), Answer(0, {}, fault="gone"))

    return get


def examined(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], answers: Mapping[str, Answer]) -> Any:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    findings = asyncio.run(examine(environment, get=web(answers), sources=Frozen()))
    by_state: dict[str, list[Finding]] = {"ok": [], "warning": [], "wrong": [], "skipped": []}
    for finding in findings:
        by_state[finding.state].append(finding)
    return by_state


def test_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, {}, {})
    assert not found["wrong"]
    assert [finding.about for finding in found["ok"]] == ["settings", "codec", "resampler"]
    assert {finding.about for finding in found["skipped"]} >= {
        "Twilio's account",
        "number",
        "PUBLIC_URL",
        "model's key",
    }


def test_all_is_well(monkeypatch: pytest.MonkeyPatch, twilio: Twilio) -> None:  # noqa: F811
    twilio.answers = {
        f"/Accounts/{ACCOUNT}.json": (200, {"sid": ACCOUNT, "status": "active", "type": "Full"}),
        "/IncomingPhoneNumbers.json": (
            200,
            {"incoming_phone_numbers": [{**NUMBER, "voice_fallback_url": "https://b"}], "page": 0, "page_size": 1},
        ),
    }
    api = f"http://127.0.0.1:{twilio.server_port}"
    date = format_datetime(datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC), usegmt=True)
    answers = {
        f"{PUBLIC}/healthz": US,
        "https://api.openai.com/v1/models": Answer(200, {}),
        api: Answer(404, {"Date": date}),
    }
    found = examined(monkeypatch, {**ENVIRONMENT, "TELEPHONY_TWILIO_API_URL": api}, answers)
    assert not found["wrong"] and not found["warning"], found
    abouts = {finding.about for finding in found["ok"]}
    assert abouts >= {"settings", "model", "model's key", "Twilio's account", "number", "PUBLIC_URL", "clock"}


def test_nothing_is_well(monkeypatch: pytest.MonkeyPatch, twilio: Twilio) -> None:  # noqa: F811
    twilio.answer = refusal(401, 20003, "Authenticate")
    api = f"http://127.0.0.1:{twilio.server_port}"
    late = format_datetime(datetime(2026, 1, 1, 12, 2, tzinfo=UTC), usegmt=True)
    answers = {
        f"{PUBLIC}/healthz": Answer(502, {}),
        "https://api.openai": Answer(401, {}),
        api: Answer(404, {"date": late}),
    }
    found = examined(monkeypatch, {**ENVIRONMENT, "TELEPHONY_TWILIO_API_URL": api}, answers)
    wrong = {finding.about: finding for finding in found["wrong"]}
    assert set(wrong) == {"model's key", "Twilio's account", "PUBLIC_URL", "clock"}
    assert all(finding.advice for finding in found["wrong"])
    assert "doctor" not in str(found), "no secret is told"


def test_each_setting_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, {"PORT": "x", "PUBLIC_URL": "nowhere", "TELEPHONY_MAX_CALL": "5"}, {})
    assert [finding.about for finding in found["wrong"]] == ["PUBLIC_URL", "PORT"]
    (misspelt,) = found["warning"]
    assert (misspelt.about, misspelt.advice) == ("TELEPHONY_MAX_CALL", "Did you mean TELEPHONY_MAX_CALLS?")


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        ({}, "ok", "asks https://phone.example.com/incoming-call"),
        ({"voice_url": f"{PUBLIC}/incoming-call#rc=2"}, "ok", "asks"),
        ({"voice_url": f"{PUBLIC}/incoming-call/"}, "wrong", "not https://phone.example.com/incoming-call"),
        ({"voice_url": ""}, "wrong", "empty"),
        ({"voice": False}, "wrong", "takes no calls"),
        ({"trunk_sid": "TK1"}, "wrong", "TK1"),
        ({"voice_application_sid": "AP1"}, "warning", "AP1"),
    ],
)
def test_the_numbers_webhook(changes: dict[str, Any], state: str, says: str) -> None:
    settings = load_settings(public_url=PUBLIC, twilio_auth_token="t", telephony_model="scripted")
    url = f"{PUBLIC}/incoming-call"
    fields = {"sid": "PN1", "number": "+1", "voice": True, "voice_url": url, "voice_method": "POST"}
    fields |= {"voice_fallback_url": "", "status_callback": "", "voice_application_sid": "", "trunk_sid": "", **changes}
    first, *others = check_number(settings, PhoneNumber(**fields))
    assert first.state == state and says in first.message
    assert [other.state for other in others] == (["warning"] if state == "ok" else []), "no fallback"


@pytest.mark.parametrize(
    ("off_s", "state"), [(0, "ok"), (-4, "ok"), (10, "warning"), (-10, "warning"), (60, "wrong"), (-60, "wrong")]
)
def test_the_clock(off_s: int, state: str) -> None:
    now = Frozen().now()
    date = format_datetime(now + timedelta(seconds=off_s), usegmt=True)
    assert check_clock(Answer(200, {"Date": date}), now).state == state


@pytest.mark.parametrize("answer", [None, Answer(200, {}), Answer(200, {"Date": "yesterday"})])
def test_a_clock_without_another(answer: Answer | None) -> None:
    assert check_clock(answer, Frozen().now()).state == "skipped"


def test_a_broken_codec_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.doctor.local.g711.encode", lambda pcm: b"\xff" * (len(pcm) // 2))
    assert [finding.state for finding in check_audio()] == ["wrong", "ok"]
    monkeypatch.setattr("telephony.doctor.local._round_trip_db", lambda hz: -0.5)
    assert check_audio()[1].state == "wrong"


def test_nobody_answers() -> None:
    answer = fetch("http://127.0.0.1:9/healthz", {})
    assert answer.status == 0 and answer.fault


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    well = CliRunner().invoke(app, ["doctor", "--json"])
    assert well.exit_code == 0 and json.loads(well.stdout)["ok"] is True
    monkeypatch.setenv("PORT", "x")
    unwell = CliRunner().invoke(app, ["doctor"])
    assert unwell.exit_code == 1 and "WRONG" in unwell.stdout and "PORT" in unwell.stdout
