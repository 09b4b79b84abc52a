"""Phone numbers that are more than a number, and values with blanks around them: cleaned or refused at each
entrance."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from realtime_core import RealtimeAgent
from realtime_core.errors import UserError
from telephony import DialingRules, transfer
from telephony.cli.app import app
from telephony.errors import CallRefused, SettingsError
from telephony.outbound import dialing_rules
from telephony.outbound.call_request import CallRequest
from telephony.settings import Settings, load_settings, read_settings
from telephony.twilio.numbers import e164, plain
from telephony.twilio.refusal import parse_refusal
from telephony.web.routing import Routing

ADA = "+14155550123"
EXTENSIONS = [
    "+14155550123x42", "+14155550123 x 42", "+1 415 555 0123 ext. 42", "+14155550123 ext 42", "+14155550123 Ext:42",
    "+14155550123 extension 42", "+14155550123,,42", "+14155550123,42#", "+14155550123;42", "+14155550123;ext=42",
    "+14155550123#42", "+14155550123p42", "+14155550123w42", "+14155550123 (x42)", "+14155550123 Durchwahl 42",
    "+14155550123;postd=42", "+14155550123~42", "+14155550123*42",
]  # fmt: skip
OTHERS = {
    "+1415555CALL": "letters",
    "+1-800-FLOWERS": "letters",
    "tel:+14155550123": "tel: address",
    "tel:+14155550123;ext=42": "tel: address",
    "whatsapp:+14155550123": "whatsapp: address",
    "+14155550123, +14155550124": "several",
    "+14155550123/+14155550124": "several",
    "+14155550123 +14155550124": "several",
    "+14155550123\n+14155550124": "several",
    "+14155550123 or 4155550124": "several",
    "+14155550123;4155550124": "several",
    "+14155550123 (home)": "letters",
    "+14155550123\0": "not a phone number",
    "+14155550123?": "not a phone number",
    "": "no number",
    " \r\n": "no number",
}
PLAIN = {
    "+14155550123": ADA,
    " +14155550123\r\n": ADA,
    "+1 (415) 555-0123": ADA,
    "+1.415.555.0123": ADA,
    "\u202a+1\u00a0415\u2011555\u20110123\u202c": ADA,
    "\uff0b\uff114155550123": ADA,
    "+44 (0)20 7946 0958": "+442079460958",
    "+49 30/1234567": "+49301234567",
}


def _set(name: str) -> Callable[[str], Any]:
    return lambda number: getattr(read_settings(**{name: number}), name)


def _called(number: str) -> Any:
    return dialing_rules.e164(number, "+14155550100")


def _transferred(number: str) -> Any:
    return transfer(kitchen=number).targets["kitchen"]  # type: ignore[attr-defined]


def _answered(number: str) -> Any:
    return next(iter(Routing({number: RealtimeAgent(name="Desk")}).names))


def _dialled_when_full(number: str) -> Any:
    return parse_refusal(number).value


def _unwanted(number: str) -> Any:
    return next(iter(DialingRules(do_not_call={number}).do_not_call))  # type: ignore[call-overload]


DOORS: dict[str, Callable[[str], Any]] = {
    "plain": plain,
    "e164": e164,
    "call": _called,
    "transfer": _transferred,
    "agents": _answered,
    "own number": _set("twilio_phone_number"),
    "fallback": _set("telephony_fallback_number"),
    "when full": _dialled_when_full,
    "do not call": _unwanted,
}
REFUSALS = (ValueError, CallRefused, UserError, SettingsError)


def answer(door: str, number: str) -> str:
    """Returns what a door says to a number: the error, or the number that it understands."""
    try:
        return str(DOORS[door](number))
    except REFUSALS as error:
        return f"refused: {error}"


@pytest.mark.parametrize("door", DOORS)
def test_an_extension_is_refused_with_its_cure(door: str) -> None:
    answers = {number: answer(door, number) for number in EXTENSIONS}
    cure = re.compile(r"refused: .*extension 42.*send_digits", re.DOTALL)
    assert {number: text for number, text in answers.items() if not cure.match(text)} == {}


@pytest.mark.parametrize("door", DOORS)
def test_what_is_more_or_less_than_one_number_is_refused(door: str) -> None:
    # For some doors an empty text means that there is no number, and other texts are names.
    all_are_numbers = door not in ("agents", "own number", "fallback", "when full")
    answers = {number: answer(door, number) for number in OTHERS if all_are_numbers or number.startswith("+")}
    assert {
        number: text
        for number, text in answers.items()
        if not text.startswith("refused: ") or OTHERS[number] not in text
    } == {}


@pytest.mark.parametrize("door", DOORS)
def test_a_number_as_people_write_it_is_the_same_number(door: str) -> None:
    assert {number: answer(door, number) for number in PLAIN} == PLAIN


def test_a_sip_address_stays_a_transfer_target() -> None:
    assert _transferred(" sip:kitchen@example.com\r") == "sip:kitchen@example.com"


@pytest.mark.parametrize("command", [["number", "set"], ["doctor", "--to"], ["number", "restore"]])
def test_commands_refuse_an_extension(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC" + "1" * 32)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    done = CliRunner().invoke(app, [*command, "+14155550123x42"])
    assert done.exit_code == 2 and "send_digits" in done.output, done.output


def test_simulated_callees_are_known_by_their_numbers() -> None:
    from telephony.cli.simulate import _at_number

    assert _at_number("+1 (415) 555-0123=voicemail")[0] == ADA
    done = CliRunner().invoke(app, ["simulate", "--callee", "+14155550123x42=busy"])
    assert done.exit_code == 2 and "send_digits" in done.output


def test_an_order_has_no_blanks_around_its_values() -> None:
    order = CallRequest.model_validate(
        {"to": " +14155550123\r\n", "agent": "desk:agent\r", "timezone": "Europe/Berlin\n"}
    )
    assert (order.to, order.agent, order.timezone) == (ADA, "desk:agent", "Europe/Berlin")


def test_countries_are_known() -> None:
    assert DialingRules(countries="us, DE").countries == {"US", "DE"}
    with pytest.raises(UserError, match="UK"):
        DialingRules(countries={"UK"})


# --- settings --------------------------------------------------------------------------------------------------------

AROUND = [" {} ", "{}\r", "{}\r\n", "\t{}", "\ufeff{}", "{}\u200b", "\u00a0{}\u00a0"]
VALUES = {
    "openai_api_key": "sk-1", "openai_base_url": "https://models.example.com/v1", "twilio_account_sid": "AC1",
    "twilio_auth_token": "secret", "twilio_shared_key_secret": "s", "twilio_api_key": "SK1", "twilio_api_secret": "s",
    "twilio_phone_number": ADA, "public_url": "https://phone.example.com", "database_url": "sqlite:///calls.db",
    "host": "127.0.0.1", "port": "8000", "log_level": "info", "log_format": "json", "telephony_model": "scripted",
    "telephony_model_name": "gpt-realtime", "telephony_script": "script.toml", "telephony_journal_dir": "calls",
    "telephony_journal_days": "3", "telephony_redact": "1", "telephony_instance": "a-1", "telephony_api_token": "t",
    "telephony_twilio_api_url": "http://127.0.0.1:9", "telephony_max_calls": "9", "telephony_quiet_hours": "off",
    "telephony_do_not_call": "no.txt", "telephony_call_countries": "US,DE", "telephony_when_full": "queue:desk",
    "telephony_when_limited": "busy", "telephony_when_draining": "say:We close.", "telephony_warm": "1",
    "telephony_fallback_number": ADA, "telephony_apology": "Sorry.", "telephony_unknown_number": "No.",
    "telephony_drain_s": "9",
}  # fmt: skip


def _shown(settings: Settings, name: str) -> Any:
    value = getattr(settings, name)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@pytest.mark.parametrize("name", VALUES)
def test_blanks_around_a_setting_are_not_part_of_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_value = _shown(read_settings(**{name: VALUES[name]}), name)
    for around in AROUND:
        written = around.format(VALUES[name])
        assert _shown(read_settings(**{name: written}), name) == plain_value, repr(written)
        with monkeypatch.context() as environment:
            environment.setenv(name.upper(), written)
            assert _shown(read_settings(), name) == plain_value, repr(written)


def test_a_secret_and_a_path_from_python_are_tidied_too() -> None:
    settings = read_settings(twilio_auth_token=SecretStr("secret\r"), telephony_journal_dir=Path("calls\r"))
    assert settings.signing_keys.auth_token == "secret" and settings.telephony_journal_dir == Path("calls")


@pytest.mark.parametrize("name", [n for n in VALUES if isinstance(VALUES[n], str) and n not in ("port",)])
def test_a_setting_of_blanks_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = _shown(read_settings(), name)
    monkeypatch.setenv(name.upper(), " \r")
    assert _shown(read_settings(), name) == default


@pytest.mark.parametrize("value", ["se cret", "sec\rret", "sec\0ret", '"secret"', "'secret'"])
@pytest.mark.parametrize("name", ["twilio_auth_token", "openai_api_key", "twilio_api_secret", "telephony_api_token"])
def test_what_would_break_a_secret_is_refused_at_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name.upper()) as result:
        read_settings(**{name: value})
    assert "secret" not in str(result.value)


@pytest.mark.parametrize(
    "value", ["https://phone .example.com", '"https://phone.example.com"', "https://a\r.example.com"]
)
def test_what_would_break_an_address_is_refused_at_the_start(value: str) -> None:
    with pytest.raises(SettingsError, match="PUBLIC_URL"):
        load_settings(public_url=value)


def test_a_list_that_is_none_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPHONY_REDACT_PATTERNS", "[0-9]+")
    with pytest.raises(SettingsError, match="TELEPHONY_REDACT_PATTERNS: write a JSON list"):
        read_settings()


def test_a_problem_inside_an_object_is_named_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPHONY_MODEL_PRICES", '{"My-model": {"text_in": "four"}}')
    with pytest.raises(SettingsError, match=r"TELEPHONY_MODEL_PRICES\.My-model\.text_in: "):
        read_settings()


def test_an_object_that_is_none_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPHONY_MODEL_PRICES", "'{}'")
    with pytest.raises(SettingsError, match="TELEPHONY_MODEL_PRICES: write a JSON object, like"):
        read_settings()
