"""The parts of configured numbers: breaker, ladder, languages, locales, installation at Twilio, and the fallback."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from realtime_core.testing import virtual_time
from telephony.cli.app import app
from telephony.doctor.fallback import check_fallbacks, check_numbers_file
from telephony.doctor.remote import Answer, Web
from telephony.errors import LocaleError
from telephony.locales.locale import SHIPPED, Locales, english, shipped
from telephony.numbers.breaker import BreakerState, CircuitBreaker
from telephony.numbers.config import NumberConfig, NumbersConfig, StepKind
from telephony.numbers.installation import OVERRIDES, Installation
from telephony.numbers.ladder import Ladder, ladder_of, language_of, route_of, text_in
from telephony.numbers.languages import LanguageDetector
from telephony.records.call_record import CallUpdate
from telephony.records.opening import open_records
from telephony.settings import Settings
from telephony.simulator import SimulatedTwilio
from telephony.twilio.number_webhooks import NumberWebhooks
from telephony.twilio.rest import TwilioRest

ONE, TWO, THREE = "+14155550101", "+14155550102", "+14155550103"
AC = "AC" + "b" * 32


# --- the breaker -----------------------------------------------------------------------------------------------------


def test_a_breaker_opens_after_failures_in_a_row_and_tries_one_call_later() -> None:
    breaker = CircuitBreaker(failures=2, open_s=10)
    breaker.failed(0)
    breaker.succeeded()
    breaker.failed(1)
    assert breaker.may_try(1), "not in a row"
    breaker.failed(2)
    assert not breaker.may_try(11.9) and breaker.state(5) is BreakerState.OPEN
    assert breaker.may_try(12)
    breaker.tries(12)
    assert not breaker.may_try(13) and breaker.state(13) is BreakerState.PROBING, "one call at a time"
    assert breaker.may_try(22), "its result never came"
    breaker.tries(22)
    breaker.failed(23)
    assert not breaker.may_try(42.9) and breaker.may_try(43), "the pause doubles"
    breaker.tries(43)
    breaker.succeeded()
    assert breaker.may_try(43) and breaker.state(43) is BreakerState.CLOSED


def test_late_failures_of_old_calls_do_not_prolong_the_pause() -> None:
    breaker = CircuitBreaker(failures=1, open_s=10)
    for at in (0.0, 1.0, 9.0):
        breaker.failed(at)
    assert breaker.may_try(10)
    for at in range(10, 4000, 500):
        breaker.failed(float(at))
    assert breaker.may_try(3510 + 240), "the pause has a limit"


# --- the ladder ------------------------------------------------------------------------------------------------------


def number(**given: Any) -> NumberConfig:
    return NumberConfig.model_validate({"agent": "a:b", **given})


def kinds(number: NumberConfig, ladder: Ladder, fallback: str | None = None) -> list[StepKind]:
    return [step.kind for step in ladder_of(number, ladder, fallback)]


def test_each_ladder_ends_with_a_step_that_ends_the_call() -> None:
    assert kinds(number(), Ladder.OPEN) == ["agent", "say"]
    assert kinds(number(), Ladder.OPEN, "+14155550123") == ["agent", "dial", "say"]
    assert kinds(number(), Ladder.CLOSED) == ["say"]
    both = number(
        fallback=[{"dial": ONE}, {"voicemail": True}, {"say": True}], closed=[{"agent": "n:n"}, {"dial": ONE}]
    )
    assert kinds(both, Ladder.OPEN, "+14155550123") == ["agent", "dial", "voicemail"], "nothing follows a message"
    assert kinds(both, Ladder.CLOSED) == ["agent", "dial", "say"]


def test_the_longest_beginning_of_a_caller_s_number_chooses_the_language() -> None:
    given = number(
        language="de",
        languages=["fr", "it"],
        choose_language=["caller"],
        callers={"+4": "fr", "+41": "it", "+33": "fr"},
    )
    callers = ("+41790000000", "+4930", "+3314", "+1415", "anonymous")
    assert [language_of(given, caller) for caller in callers] == ["it", "fr", "fr", "de", "de"]


def test_a_text_is_in_the_language_or_in_its_first_one() -> None:
    texts = {"en": "Hello", "pt": "Olá"}
    assert [text_in(texts, tag) for tag in ("en", "pt-BR", "it")] == ["Hello", "Olá", "Hello"]
    assert text_in("Hello", "it") == "Hello" and text_in(True, "it") is None and text_in(None, "it") is None


def test_a_number_without_hours_is_always_open() -> None:
    config = NumbersConfig.model_validate({"numbers": {ONE: {"agent": "a:b"}}})
    assert route_of(config, ONE, "", datetime(2026, 12, 25, 3, tzinfo=UTC)).ladder is Ladder.OPEN


# --- languages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "language"),
    [
        ([("Hola, quiero pedir una cita", ["es"])], "es"),
        ([("No", ["es"])], None),
        ([("No", ["es"]), ("Sí", ["es"])], "es"),
        ([("No", ["es"]), ("Yes", ["en"]), ("No", ["es"])], None),
        ([("Hola, quiero pedir una cita", ["es", "pt"])], None),
        ([("Olá, eu queria uma consulta", ["pt"])], None),
        ([("Hello, I need an appointment", ["en"])], None),
        ([("Hello, I need an appointment", [])], None),
        ([("Hola, quiero pedir una cita", ["es-MX"])], "es"),
    ],
)
def test_a_language_is_detected_from_long_transcripts_or_two_short_ones(
    heard: list[tuple[str, list[str]]], language: str | None
) -> None:
    detector = LanguageDetector(["en", "es"], "en")
    found = [each for text, tags in heard if (each := detector.heard(text, tags)) is not None]
    assert found == ([] if language is None else [language])


@pytest.mark.parametrize("tag", SHIPPED)
def test_each_language_that_ships_is_complete(tag: str) -> None:
    locale = shipped(tag)
    for name in ("texts", "words", "instructions"):
        assert getattr(locale, name).keys() == getattr(english(), name).keys()
        if tag != "en":
            same = [key for key, text in getattr(locale, name).items() if text == getattr(english(), name)[key]]
            assert not same, "these are not translated"
    assert locale.clips.keys() == locale.words.keys() and all(len(clip) > 8000 for clip in locale.clips.values())
    assert locale.say_language.startswith(tag)


def test_a_folder_adds_a_language_and_changes_a_text(tmp_path: Path) -> None:
    (tmp_path / "de").mkdir()
    (tmp_path / "de" / "texts.toml").write_text('[texts]\nclosed = "Zu."\n')
    here = tmp_path / "pt-BR"
    here.mkdir()
    source = Path(__file__).parents[2] / "telephony" / "locales" / "es"
    for file in source.iterdir():
        (here / file.name).write_bytes(file.read_bytes())
    locales = Locales.load(tmp_path)
    assert locales.of("de").text("closed") == "Zu." and locales.of("de").text("goodbye") == shipped("de").text(
        "goodbye"
    )
    assert locales.of("pt-BR").clips == shipped("es").clips and locales.find("pt") is None
    assert locales.of("de-AT") is locales.of("de")
    with pytest.raises(LocaleError, match="write one of en, de, es, fr, it, pt-BR"):
        locales.of("nl")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("nl", None, "copy that of another language"),
        ("nl", "[texts]\n", "is missing|has no"),
        ("de", "[texts]\nclosd = 'x'\n", "which is not used"),
        ("de", "[texts]\npress_for_language = '{digit}'\n", "no other values"),
        ("de", "[text]\n", "there is no table"),
        ("de", "texts\n", "cannot be read"),
        ("Deutsch!", "", "is no language"),
    ],
)
def test_a_folder_with_a_mistake_says_what_to_do(tmp_path: Path, name: str, text: str | None, says: str) -> None:
    (tmp_path / name).mkdir()
    if text is not None:
        (tmp_path / name / "texts.toml").write_text(text)
    with pytest.raises(LocaleError, match=says):
        Locales.load(tmp_path)


# --- the numbers at Twilio -------------------------------------------------------------------------------------------


def _rest(it: SimulatedTwilio) -> TwilioRest:
    return TwilioRest(it.account_sid, it.account_sid, it.auth_token, base_url=it.base_url, http=it.http_client())


async def _installed(tmp_path: Path) -> None:
    given = {
        "accounts": {"berlin": {"sid": AC, "auth_token_env": "BERLIN_TOKEN", "region": "ie1"}},
        "numbers": {
            ONE: {"agent": "a:b", "fallback_url": "https://handler.example.com/EH1"},
            "+1415555010*": {"agent": "a:b", "account": "berlin"},
        },
    }
    config = NumbersConfig.model_validate(given)
    main = SimulatedTwilio(numbers=(ONE, THREE))
    berlin = SimulatedTwilio(account_sid=AC, auth_token="t", numbers=(TWO,), beside=main)
    async with main, berlin:
        accounts = {"main": main, "berlin": berlin}
        rests = {
            name: TwilioRest(it.account_sid, it.account_sid, it.auth_token, base_url=it.base_url, http=it.http_client())
            for name, it in accounts.items()
        }
        main.numbers[ONE].voice_url = "https://old.example.com"
        main.numbers[ONE].status_callback = "https://old.example.com/status"
        path = tmp_path / "saved.json"
        installation = Installation(
            config, rests.__getitem__, "https://phone.example.com", lambda rest: NumberWebhooks(rest, path)
        )
        plans = {plan.number: plan for plan in await installation.plan()}
        assert "    region: us1 -> ie1" in plans[TWO].lines()
        assert {n for n, plan in plans.items() if plan.is_change} == {ONE, TWO}
        assert plans[THREE].wanted is None, "the account has it and the file does not"
        assert plans[TWO].warning and not plans[ONE].warning
        assert any(
            "https://old.example.com -> https://phone.example.com/incoming-call#ct=2000&rt=5000&rc=0" in line
            for line in plans[ONE].lines()
        )
        await installation.apply(list(plans.values()))
        assert main.numbers[ONE].voice_fallback_url == "https://handler.example.com/EH1"
        assert main.numbers[ONE].status_callback == "https://phone.example.com/call-status"
        assert berlin.numbers[TWO].voice_url == f"https://phone.example.com/incoming-call#{OVERRIDES}"
        assert berlin.numbers[TWO].voice_region == "ie1" and main.numbers[ONE].voice_region == "us1"
        assert not main.numbers[THREE].voice_url
        assert not any(plan.is_change for plan in await installation.plan())
        berlin.numbers[TWO].voice_url = "https://elsewhere.example.com"
        assert [plan.number for plan in await installation.plan() if plan.is_change] == [TWO], (
            "it was changed elsewhere"
        )
        done = {entry.number: restored for entry, restored in await installation.restore()}
        assert done == {ONE: True, TWO: False}
        assert berlin.numbers[TWO].voice_region == "ie1", "it stays with the webhook"
        assert main.numbers[ONE].voice_url == "https://old.example.com"
        assert main.numbers[ONE].status_callback == "https://old.example.com/status"
        assert not main.numbers[ONE].voice_fallback_url


async def _moved(tmp_path: Path) -> None:
    """Only the region differs. It is set, and restored."""
    account = {"sid": AC, "auth_token_env": "T", "region": "au1"}
    given = {"accounts": {"berlin": account}, "numbers": {TWO: {"agent": "a:b", "account": "berlin"}}}
    async with SimulatedTwilio(account_sid=AC, numbers=(TWO,)) as berlin:
        rest, path = _rest(berlin), tmp_path / "saved.json"
        installation = Installation(
            NumbersConfig.model_validate(given), lambda name: rest, "https://phone.example.com",
            lambda rest: NumberWebhooks(rest, path),
        )  # fmt: skip
        await installation.apply(await installation.plan())
        berlin.numbers[TWO].voice_region = "us1"
        (plan,) = await installation.plan()
        assert plan.lines()[1:] == ["    region: us1 -> au1", *plan.lines()[2:]] and plan.is_change
        await installation.apply([plan])
        assert berlin.numbers[TWO].voice_region == "au1"
        await installation.restore()
        assert berlin.numbers[TWO].voice_region == "us1" and not berlin.numbers[TWO].voice_url


def test_the_region_of_a_number_is_set_and_restored(tmp_path: Path) -> None:
    virtual_time.run(lambda: _moved(tmp_path), seed=1)


async def _no_us1() -> None:
    """The token of another region is refused by Twilio's API for regions."""
    account = {"sid": AC, "auth_token_env": "T", "region": "ie1"}
    given = {"accounts": {"berlin": account}, "numbers": {TWO: {"agent": "a:b", "account": "berlin"}}}
    async with SimulatedTwilio(account_sid=AC, numbers=(TWO,)) as berlin:
        wrong = TwilioRest(AC, AC, "of ie1", base_url=berlin.base_url, http=berlin.http_client())
        installation = Installation(
            NumbersConfig.model_validate(given), lambda name: _rest(berlin), "https://phone.example.com",
            routes_of=lambda name: wrong,
        )  # fmt: skip
        (plan,) = await installation.plan()
    assert "us1_auth_token_env" in plan.problem and not plan.is_change


def test_a_region_that_cannot_be_read_is_a_problem_with_its_cure() -> None:
    virtual_time.run(_no_us1, seed=1)


def test_numbers_are_compared_changed_and_restored_in_two_accounts(tmp_path: Path) -> None:
    virtual_time.run(lambda: _installed(tmp_path), seed=1)


async def _owned_by_another() -> None:
    config = NumbersConfig.model_validate({"numbers": {ONE: {"agent": "a:b"}, TWO: {"agent": "a:b"}}})
    async with SimulatedTwilio(numbers=(ONE,)) as main:
        rest = _rest(main)
        main.numbers[ONE].trunk_sid = "TK1"
        plans = await Installation(config, lambda name: rest, "https://phone.example.com").plan()
    assert "remove it from the trunk" in plans[0].problem and "no account of the file has it" in plans[1].problem
    assert not any(plan.is_change for plan in plans)


def test_a_number_that_cannot_be_changed_says_why() -> None:
    virtual_time.run(_owned_by_another, seed=1)


# --- the fallback outside of this server -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "answer", "state", "says"),
    [
        (
            "https://b.example/x",
            Answer(200, {}, b"<Response><Say>Hi</Say></Response>"),
            "ok",
            "answers without this server",
        ),
        ("https://b.example/x", Answer(200, {}, b"<Response/>"), "wrong", "no TwiML"),
        ("https://b.example/x", Answer(200, {}, b"<!DOCTYPE html>"), "wrong", "no TwiML"),
        ("https://b.example/x", Answer(500, {}), "wrong", "answers 500"),
        ("https://b.example/x", Answer(0, {}, error="refused"), "wrong", "does not answer: refused"),
        ("https://phone.example.com/incoming-call", Answer(200, {}), "wrong", "is this server itself"),
    ],
)
def test_the_fallback_has_to_answer_without_this_server(url: str, answer: Answer, state: str, says: str) -> None:
    async def upgrade(url: str, headers: Any) -> str:
        return ""

    settings = Settings(public_url="https://phone.example.com", twilio_auth_token="t")  # type: ignore[arg-type]
    (result,) = asyncio.run(check_fallbacks(settings, [url, url], Web(lambda url, headers: answer, upgrade)))
    assert result.state == state and says in result.message


def test_the_doctor_checks_the_file_of_numbers(tmp_path: Path) -> None:
    path = tmp_path / "numbers.toml"
    path.write_text('[numbers."+14155550101"]\nagent = "a:b"\n')
    results, urls = check_numbers_file(path)
    assert [result.state for result in results] == ["ok", "warning"] and not urls
    path.write_text('[numbers."+14155550101"]\nagnt = "a:b"\nfallback_url = "https://b.example/x"\n')
    results, urls = check_numbers_file(path)
    assert {result.state for result in results} == {"wrong"} and f"{path}:2: " in results[1].message


# --- tasks -----------------------------------------------------------------------------------------------------------


def test_open_tasks_are_listed_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/records.db")
    records = open_records(Settings())
    assert records is not None
    task = {"kind": "callback", "state": "open", "number": "+14155550177", "language": "de", "seconds": 12}
    ended = {"direction": "inbound", "status": "completed", "ending": "closed-voicemail", "task": task}
    records.note([CallUpdate("CA1", datetime(2026, 11, 28, tzinfo=UTC), True, ended)])
    runner = CliRunner()
    assert "+14155550177" in runner.invoke(app, ["calls", "tasks"]).output
    assert runner.invoke(app, ["calls", "tasks", "--done", "CA2"]).exit_code == 1
    assert runner.invoke(app, ["calls", "tasks", "--done", "CA1"]).exit_code == 0
    row = records.call("CA1")
    records.close()
    assert row is not None and row.task["state"] == "done" and "0177" not in row.task["number"]
    assert "no open tasks" in runner.invoke(app, ["calls", "tasks"]).output


def test_a_file_with_a_mistake_is_reported_by_the_command(tmp_path: Path) -> None:
    path = tmp_path / "numbers.toml"
    path.write_text('[numbers."+14155550101"]\nagent = "nowhere:agent"\n')
    done = CliRunner().invoke(app, ["numbers", "check", str(path)])
    assert done.exit_code == 1 and f"{path}:2: " in done.output and "There is no module 'nowhere'" in done.output
    path.write_text('[numbers."+14155550101"]\nagent = "tests.support.clinic:agent"\n')
    assert "1 numbers, no problem" in CliRunner().invoke(app, ["numbers", "check", str(path)]).output
