"""The doctor finds faults, says what to do, and shows no secret."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from realtime_core.sources import Sources
from telephony.cli.app import app
from telephony.doctor.check_result import CheckResult
from telephony.doctor.checks import run_checks
from telephony.doctor.local import check_audio
from telephony.doctor.remote import WEB, Answer, Web, check_address, check_clock, fetch
from telephony.errors import TwilioError
from telephony.settings import load_settings
from telephony.simulator import SimulatedTwilio
from telephony.simulator.resources import OwnedNumber
from telephony.twilio.rest import TwilioRest
from tests.support.browser import serving

ACCOUNT = "AC" + "1" * 32
PUBLIC = "https://phone.example.com"
US = Answer(200, {}, b'{"status":"ok","service":"telephony"}')
ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-of-the-doctor",
    "PUBLIC_URL": PUBLIC,
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "TWILIO_AUTH_TOKEN": "token-of-the-doctor",
    "TWILIO_PHONE_NUMBER": "+14155550100",
}


NOON = format_datetime(datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC), usegmt=True)


class Frozen(Sources):
    def now(self) -> datetime:
        return datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def web(answers: Mapping[str, Answer], upgrade_fault: str = "") -> Web:
    def get(url: str, headers: Mapping[str, str]) -> Answer:
        return next((answer for start, answer in answers.items() if url.startswith(start)), Answer(0, {}, error="gone"))

    async def upgrade(url: str, headers: Mapping[str, str]) -> str:
        return upgrade_fault

    return Web(get, upgrade)


def examined(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], answers: Mapping[str, Answer]) -> Any:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    results = asyncio.run(run_checks(environment, web=web(answers), model_key=True, sources=Frozen()))
    by_state: dict[str, list[CheckResult]] = {"ok": [], "warning": [], "wrong": [], "skipped": []}
    for result in results:
        by_state[result.state].append(result)
    return by_state


def test_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, {}, {})
    assert not found["wrong"]
    assert [result.about for result in found["ok"]] == ["settings", "codec", "resampler"]
    assert {result.about for result in found["skipped"]} >= {
        "Twilio's account",
        "number",
        "PUBLIC_URL",
        "model's key",
    }


MODELS = Answer(
    200,
    {},
    b"""{"object": "list", "data": [{"id": "gpt-realtime-2.1", "shutdown_date": null}, {"id": "gpt-live-transcribe"},
    {"id": "gpt-realtime", "shutdown_date": "2026-03-02"}, {"id": "gpt-4o-realtime", "shutdown_date": "2025-12-31"},
    {"id": "gpt-9", "shutdown_date": "2029-01-01"}]}""",
)


@pytest.mark.parametrize(
    ("model", "state", "words"),
    [
        (None, "ok", "gpt-realtime-2.1 has no shutdown date"),
        ("gpt-9", "ok", "gpt-9 is shut down on 2029-01-01"),
        ("gpt-realtime", "warning", "gpt-realtime is shut down on 2026-03-02, in 60 days"),
        ("gpt-4o-realtime", "wrong", "gpt-4o-realtime is shut down on 2025-12-31"),
        ("gpt-x", "warning", "gpt-x is not among the models"),
    ],
)
def test_the_end_of_a_model_is_read_from_its_server(
    model: str | None, state: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"OPENAI_API_KEY": "sk-1", **({"TELEPHONY_MODEL_NAME": model} if model else {})}
    found = examined(monkeypatch, settings, {"https://api.openai.com/v1/models": MODELS})
    about = [(result.state, result.message) for of in found.values() for result in of if result.about == "models"]
    assert ("ok", "gpt-live-transcribe has no shutdown date") in about
    about.remove(("ok", "gpt-live-transcribe has no shutdown date"))
    ((found_state, message),) = about
    assert found_state == state and message.startswith(words)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": 1}', b'{"data": [1]}', b"\xff"])
def test_a_list_of_models_that_cannot_be_read_is_said(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, {"OPENAI_API_KEY": "sk-1"}, {"https://api.openai.com/": Answer(200, {}, body)})
    assert any("cannot be read" in result.message for result in found["warning"])


# --- on the simulated API --------------------------------------------------------------------------------------------


def check_results(
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[SimulatedTwilio], None] = lambda twilio: None,
    answers: Mapping[str, Answer] = {},
    *,
    upgrade_fault: str = "",
    to: str | None = None,
    model_key: bool = False,
    date: str = NOON,
    **environment: str,
) -> list[CheckResult]:
    """Returns the results of a good installation with the change `change` at Twilio, and with these answers of the
    web.
    """

    async def main() -> list[CheckResult]:
        async with SimulatedTwilio(auth_token="token-of-the-doctor", numbers=()) as twilio:
            url = f"{PUBLIC}/incoming-call"
            twilio.add_number("+14155550100", voice_url=url).voice_fallback_url = url
            change(twilio)
            here = {**ENVIRONMENT, "TWILIO_ACCOUNT_SID": twilio.account_sid,
                    "TELEPHONY_TWILIO_API_URL": twilio.base_url, **environment}  # fmt: skip
            for name, value in here.items():
                monkeypatch.setenv(name, value)
            outside = {**answers, f"{PUBLIC}/healthz": US, f"{PUBLIC}/stream-status": Answer(204, {}),
                       twilio.base_url: Answer(404, {"Date": date}), **answers}  # fmt: skip
            return await run_checks(here, to=to, model_key=model_key, web=web(outside, upgrade_fault), sources=Frozen())

    return asyncio.run(main())


def wrongs(results: list[CheckResult]) -> list[CheckResult]:
    return [result for result in results if result.state in ("wrong", "warning")]


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    results = check_results(monkeypatch)
    assert wrongs(results) == []
    assert [result.about for result in results if result.state == "ok"] == [
        "settings", "codec", "resampler", "model", "Twilio's account", "number", "calling", "PUBLIC_URL", "signature",
        "media stream", "clock",
    ]  # fmt: skip


def a_trial(twilio: SimulatedTwilio) -> None:
    twilio.trial = True
    twilio.verified_numbers = {"+14155550177"}


def number_of(twilio: SimulatedTwilio) -> OwnedNumber:
    return twilio.numbers["+14155550100"]


@pytest.mark.parametrize(
    ("change", "state", "about", "says", "cure"),
    [
        (a_trial, "warning", "Twilio's account", "verified numbers only (+14155550177), calls end after 10", "Upgrade"),
        (lambda t: setattr(t, "account_status", "suspended"), "wrong", "Twilio's account", "is suspended", "Console"),
        (lambda t: setattr(t, "auth_token", "new"), "wrong", "Twilio's account", "Authenticate", "TWILIO_AUTH_TOKEN"),
        (lambda t: t.barred_countries.add("US"), "wrong", "calling", "US may not be called", "Geo permissions"),
        (lambda t: t.numbers.clear(), "wrong", "number", "has no number +14155550100", "TWILIO_PHONE_NUMBER"),
        (
            lambda t: number_of(t).capabilities.update(voice=False),
            "wrong", "number", "cannot receive voice calls", "Buy one with Voice",
        ),
        (
            lambda t: setattr(number_of(t), "voice_url", "https://old.example.com/voice"),
            "wrong", "number", f"is https://old.example.com/voice, not {PUBLIC}/incoming-call", "number set +1",
        ),
        (lambda t: setattr(number_of(t), "trunk_sid", "TK1"), "wrong", "number", "SIP trunk TK1", "Remove it"),
        (
            lambda t: setattr(number_of(t), "voice_application_sid", "AP1"),
            "wrong", "number", "TwiML app AP1 does not exist", "number set",
        ),
        (
            lambda t: (setattr(number_of(t), "voice_application_sid", "AP1"), t.applications.update(AP1="https://x/y")),  # type: ignore[func-returns-value]
            "wrong", "number", "app AP1, which overrides the number, has the webhook https://x/y", "number set",
        ),
        (
            lambda t: setattr(number_of(t), "voice_fallback_url", ""),
            "warning", "number", "no fallback", "number set +14155550100",
        ),
    ],
)  # fmt: skip
def test_what_can_be_wrong_at_twilio(
    monkeypatch: pytest.MonkeyPatch, change: Any, state: str, about: str, says: str, cure: str
) -> None:
    (result,) = wrongs(check_results(monkeypatch, change))
    assert (result.state, result.about) == (state, about)
    assert says in result.message and "\n" not in result.message
    assert cure in result.advice


def test_an_application_that_leads_here_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(twilio: SimulatedTwilio) -> None:
        number_of(twilio).voice_application_sid = "AP1"
        twilio.applications["AP1"] = f"{PUBLIC}/incoming-call"

    assert wrongs(check_results(monkeypatch, change)) == []


def test_whom_a_trial_account_and_its_geo_permissions_let_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrongs(check_results(monkeypatch, to="+4930123456")) == []
    found = check_results(monkeypatch, lambda twilio: twilio.barred_countries.add("DE"), to="+4930123456")
    assert [(f.about, "DE may not be called" in f.message) for f in wrongs(found)] == [("calling", True)]
    _, unverified = wrongs(check_results(monkeypatch, a_trial, to="+14155550123"))
    assert "+14155550123 is not verified" in unverified.message and "Verify it" in unverified.advice
    assert len(wrongs(check_results(monkeypatch, a_trial, to="+14155550177"))) == 1, "the trial itself"


def test_the_simulated_api_refuses_what_the_doctor_warns_of() -> None:
    """The simulated API refuses the requests that the doctor has warned of, with the same codes."""

    async def code(twilio: SimulatedTwilio, to: str) -> int | None:
        rest = TwilioRest(twilio.account_sid, twilio.account_sid, twilio.auth_token, base_url=twilio.base_url)
        with pytest.raises(TwilioError) as caught:
            await rest.create_call(to=to, from_="+14155550199", twiml="<Response><Hangup/></Response>")
        rest.close()
        return caught.value.code

    async def main() -> None:
        async with SimulatedTwilio() as twilio:
            twilio.barred_countries = {"DE"}
            assert await code(twilio, "+4930123456") == 21215
            a_trial(twilio)
            assert await code(twilio, "+14155550123") == 21219

    asyncio.run(main())


MISMATCH = json.dumps(
    {"signed_for": f"{PUBLIC}/stream-status?x=1", "expected": "https://old.example.com/stream-status?x=1"}
)


@pytest.mark.parametrize(
    ("answers", "upgrade_fault", "about", "says", "cure"),
    [
        ({"/healthz": Answer(0, {}, b"", "not known", "name")}, "", "PUBLIC_URL", "cannot be reached", "DNS"),
        ({"/healthz": Answer(0, {}, b"", "no", "refused")}, "", "PUBLIC_URL", "reached", "listens on port 443"),
        ({"/healthz": Answer(0, {}, b"", "timed", "time-out")}, "", "PUBLIC_URL", "timed", "blocks port 443"),
        ({"/healthz": Answer(0, {}, b"", "expired", "certificate")}, "", "PUBLIC_URL", "expired", "31910"),
        ({"/healthz": Answer(502, {})}, "", "PUBLIC_URL", "no server behind it (HTTP 502)", "telephony serve"),
        ({"/healthz": Answer(200, {}, b"<html>")}, "", "PUBLIC_URL", "another program answers", "keep the path"),
        (
            {"/stream-status": Answer(403, {}, MISMATCH.encode())},
            "", "signature", f"Twilio signs {PUBLIC}/stream-status, but the server expects https://old.example.com/stream-st",
            "PUBLIC_URL",
        ),
        ({"/stream-status": Answer(403, {}, b"no")}, "", "signature", "is refused", "another TWILIO_AUTH_TOKEN"),
        ({"/stream-status": Answer(500, {})}, "", "signature", "HTTP 500", "log"),
        ({}, "HTTP 400", "media stream", "wss://phone.example.com/media-stream does not open: HTTP 400", "WebSockets"),
    ],
)  # fmt: skip
def test_the_doctor_finds_faults_of_the_public_url(
    monkeypatch: pytest.MonkeyPatch,
    answers: Mapping[str, Answer],
    upgrade_fault: str,
    about: str,
    says: str,
    cure: str,
) -> None:
    outside = {f"{PUBLIC}{path}": answer for path, answer in answers.items()}
    (result,) = wrongs(check_results(monkeypatch, answers=outside, upgrade_fault=upgrade_fault))
    assert result.about == about
    assert says in result.message and cure in result.advice


def test_another_port_than_443_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    public = "https://phone.example.com:8443"

    def change(twilio: SimulatedTwilio) -> None:
        number_of(twilio).voice_url = number_of(twilio).voice_fallback_url = f"{public}/incoming-call"

    outside = {f"{public}/healthz": US, f"{public}/stream-status": Answer(204, {})}
    (result,) = wrongs(check_results(monkeypatch, change, outside, PUBLIC_URL=public))
    assert "on port 8443" in result.message and "443" in result.advice


def test_the_doctor_tries_the_key_of_the_model_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    (result,) = [result for result in check_results(monkeypatch) if result.about == "model's key"]
    assert (result.state, "not tried" in result.message) == ("skipped", True)


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("theirs", "token", "signature", "stream"),
    [
        ("http://127.0.0.1:{port}", "token", "ok", "ok"),
        ("https://old.example.com", "token", "but the server expects https://old.example.com/stream-status", "403"),
        ("http://127.0.0.1:{port}", "another", "is refused", "403"),
    ],
)
def test_a_real_server_is_asked_with_real_signatures(
    monkeypatch: pytest.MonkeyPatch, theirs: str, token: str, signature: str, stream: str
) -> None:
    """The server has this PUBLIC_URL and token. The doctor runs on the same machine, with the right ones."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    monkeypatch.delenv("TWILIO_ACCOUNT_SID", raising=False)
    server = {"PUBLIC_URL": theirs.format(port=port), "TWILIO_AUTH_TOKEN": token, "PORT": port}
    with serving({**server, "TELEPHONY_MODEL": "scripted"}, "--port", port):
        settings = load_settings(
            public_url=f"http://127.0.0.1:{port}", twilio_auth_token="token", telephony_model="scripted"
        )
        results, _ = asyncio.run(check_address(settings, WEB))
    by_name = {result.about: f"{result.state} {result.message}" for result in results}
    assert signature in by_name["signature"]
    assert stream in by_name["media stream"]


def _speak_plainly(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.sendall(b"no TLS\r\n")


@pytest.mark.real_time
def test_reasons_for_no_answer_are_distinguished() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert fetch(f"http://127.0.0.1:{closed.getsockname()[1]}/", {}).error_kind == "refused"
    with socket.create_server(("127.0.0.1", 0)) as plain:
        threading.Thread(target=_speak_plainly, args=(plain,), daemon=True).start()
        assert fetch(f"https://127.0.0.1:{plain.getsockname()[1]}/", {}).error_kind == "certificate"
    assert fetch("http://no-such-name.invalid/", {}).error_kind == "name"


def test_nothing_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    late = format_datetime(datetime(2026, 1, 1, 12, 2, tzinfo=UTC), usegmt=True)
    answers = {f"{PUBLIC}/healthz": Answer(502, {}), "https://api.openai": Answer(401, {})}
    found = check_results(
        monkeypatch, lambda t: setattr(t, "auth_token", "new"), answers, date=late, model_key=True
    )  # fmt: skip
    wrong = {result.about: result for result in found if result.state == "wrong"}
    assert set(wrong) == {"model's key", "Twilio's account", "PUBLIC_URL", "clock"}
    assert all(result.advice for result in wrong.values())
    assert "doctor" not in str([(f.about, f.message) for f in found]), "no secret is told"


def test_each_setting_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, {"PORT": "x", "PUBLIC_URL": "nowhere", "TELEPHONY_MAX_CALL": "5"}, {})
    assert [result.about for result in found["wrong"]] == ["PUBLIC_URL", "PORT"]
    (misspelt,) = found["warning"]
    assert (misspelt.about, misspelt.advice) == ("TELEPHONY_MAX_CALL", "Did you mean TELEPHONY_MAX_CALLS?")


@pytest.mark.parametrize(
    ("voice_url", "state"),
    [
        ("/incoming-call", "ok"),
        ("/incoming-call#rc=2", "ok"),
        ("/incoming-call/", "wrong"),
        ("/Incoming-call", "wrong"),
    ],
)
def test_the_webhook_is_compared_to_the_character(monkeypatch: pytest.MonkeyPatch, voice_url: str, state: str) -> None:
    found = check_results(monkeypatch, lambda twilio: setattr(number_of(twilio), "voice_url", f"{PUBLIC}{voice_url}"))
    assert [result.state for result in found if result.about == "number"] == [state]


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
    assert [result.state for result in check_audio()] == ["wrong", "ok"]
    monkeypatch.setattr("telephony.doctor.local._round_trip_db", lambda hz: -0.5)
    assert check_audio()[1].state == "wrong"


def test_a_request_without_an_answer_has_an_error() -> None:
    answer = fetch("http://127.0.0.1:9/healthz", {})
    assert answer.status == 0 and answer.error


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    well = CliRunner().invoke(app, ["doctor", "--json"])
    assert well.exit_code == 0 and json.loads(well.stdout)["ok"] is True
    monkeypatch.setenv("PORT", "x")
    unwell = CliRunner().invoke(app, ["doctor"])
    assert unwell.exit_code == 1 and "WRONG" in unwell.stdout and "PORT" in unwell.stdout
