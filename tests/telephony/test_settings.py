"""Settings: every problem together, each with its remedy. No secret is ever printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from telephony.errors import SettingsError
from telephony.setting_values import misspelt
from telephony.settings import Settings, load_settings

NAMES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "PUBLIC_URL", "TWILIO_AUTH_TOKEN", "HOST", "PORT", "TELEPHONY_MODEL")


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def problems(**overrides: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(**overrides)
    return caught.value.problems


def test_without_anything_only_loopback_is_served() -> None:
    settings = load_settings()
    assert settings.host == "127.0.0.1"
    assert not settings.can_be_rung
    (problem,) = problems(host="0.0.0.0")
    assert "TWILIO_AUTH_TOKEN" in problem


def test_a_public_address_needs_a_token_and_a_model() -> None:
    found = problems(public_url="https://phone.example.com")
    assert any(line.startswith("TWILIO_AUTH_TOKEN") for line in found)
    assert any(line.startswith("OPENAI_API_KEY") and "--model scripted" in line for line in found)


def test_a_script_may_answer_a_real_caller_when_it_is_set() -> None:
    settings = load_settings(
        public_url="https://phone.example.com/", twilio_auth_token="12345", telephony_model="scripted"
    )
    assert settings.public_url == "https://phone.example.com"


@pytest.mark.parametrize(
    "url",
    [
        "https://phone.example.com//",
        "HTTPS://phone.example.com",
        "https://phone.example.com/?",
        " https://phone.example.com/# ",
    ],
)
def test_the_public_url_is_normalized(url: str) -> None:
    settings = load_settings(public_url=url, twilio_auth_token="12345", telephony_model="scripted")
    assert settings.public_url == "https://phone.example.com"


def test_all_problems_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "seventy")
    monkeypatch.setenv("PUBLIC_URL", "phone.example.com")
    monkeypatch.setenv("OPENAI_BASE_URL", "nowhere")
    found = problems()
    assert [line.split(":")[0] for line in found] == ["OPENAI_BASE_URL", "PUBLIC_URL", "PORT"]


def test_plain_http_is_for_this_machine_only() -> None:
    assert "TLS" in problems(public_url="http://phone.example.com", twilio_auth_token="x", openai_api_key="y")[0]


def test_secrets_do_not_print() -> None:
    settings = load_settings(
        public_url="https://phone.example.com",
        twilio_auth_token="tok3n-value",
        openai_api_key="sk-value",
        database_url="postgresql://ada:pass-word@host/records",
    )
    assert "pass-word" not in repr(settings) + str(settings.model_dump())
    assert "tok3n-value" not in repr(settings)
    assert "sk-value" not in str(settings.model_dump())


def test_credentials_that_belong_together() -> None:
    assert [line.split(":")[0] for line in problems(twilio_api_key="SK1")] == ["TWILIO_API_KEY", "TWILIO_ACCOUNT_SID"]
    assert load_settings(twilio_api_key="SK1", twilio_api_secret="s", twilio_account_sid="AC1").twilio_api_key == "SK1"


def test_unsigned_requests_have_to_be_requested() -> None:
    settings = load_settings(host="0.0.0.0", telephony_allow_unsigned=True, telephony_model="scripted")
    assert settings.can_be_rung and not settings.checks_signatures
    assert "OPENAI_API_KEY" in problems(host="0.0.0.0", telephony_allow_unsigned=True)[0], "no script by accident"


def test_a_shared_key_alone_checks_signatures() -> None:
    settings = load_settings(
        public_url="https://phone.example.com", twilio_shared_key_secret="s", telephony_model="scripted"
    )
    assert settings.checks_signatures


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("twilio_account_sid", "SK1", "starts with AC"),
        ("twilio_phone_number", "0415 555", "E.164"),
        ("telephony_fallback_number", "911", "E.164"),
        ("telephony_when_full", "bsuy", "write busy, queue:NAME"),
        ("telephony_instance", "a/b", "pattern"),
        ("telephony_twilio_api_url", "127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("telephony_drain_s", "-1", "greater than or equal to 0"),
        ("public_url", "https://ada:pass-word@phone.example.com", "remove the user"),
        ("database_url", "mysql://host/records", "postgresql://"),
        ("database_url", "sqlite://records.db", "sqlite:///"),
        ("database_url", "sqlite:///", "sqlite:///file.db"),
        ("database_url", "sqlite:///records.db?timeout=5", "leave out the ?"),
        ("database_url", "postgresql://ada:pass@word@host/name", "encode the characters of the password: @ is %40"),
        ("database_url", "postgresql://ada:pass-word@host:port/name", "postgresql://user:password@host/name"),
        ("public_url", "https://<your-domain>", "its host is not a host name"),
        ("public_url", "https://my_phone.example.com", "underscore"),
        ("public_url", "https://phone.example.com:84430", "like https://phone.example.com"),
        ("public_url", "https://phone.example.com/incoming-call", "leave /incoming-call out"),
        ("public_url", "https://phone.example.com/x/Media-Stream/", "leave /media-stream out"),
        ("public_url", "https://phone.example.com/x/../y", "segment of dots"),
        ("public_url", "https://phone.example.com/x//y", "contains //"),
        ("public_url", "https://phone.example.com:", "the port after the colon is missing"),
        ("public_url", "https://phone.example.com?x=1", "like https://phone.example.com"),
        ("public_url", "https://b\u00fccher.example", "not ASCII"),
        ("twilio_auth_token", "\u201cpass-word\u201d", "a curly quote: remove it"),
        ("openai_api_key", "sk-pass-word\u2026", "not ASCII"),
        ("host", "http://0.0.0.0", "without a scheme and a port"),
        ("host", "0.0.0.0:8000", "without a scheme and a port"),
        ("telephony_call_countries", "US,UK", "'UK' is not a country: write GB"),
        ("telephony_call_countries", "+1", "two letters of ISO 3166"),
        ("telephony_quiet_hours", "21:00Z-08:00+02:00", "leave the time zone out"),
    ],
)
def test_what_does_not_fit_names_its_cure(name: str, value: str, cure: str) -> None:
    (problem,) = problems(**{name: value})
    assert problem.startswith(name.upper()) and cure in problem
    assert "pass" not in problem.replace("password", ""), "a part of a secret is shown"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("telephony_call_countries", "us, Ca", "US,CA"),
        ("telephony_call_countries", "us;ca", "US,CA"),
        ("log_level", "INFO", "info"),
        ("log_format", "JSON", "json"),
        ("host", "[::1]", "::1"),
        ("telephony_journal_dir", "~/calls", Path.home() / "calls"),
        ("telephony_do_not_call", "~/list.txt", Path.home() / "list.txt"),
    ],
)
def test_usual_notations_are_normalised(name: str, value: str, expected: object) -> None:
    assert getattr(load_settings(**{name: value}), name) == expected


def test_a_password_of_a_database_may_have_any_encoded_character() -> None:
    url = "postgresql://ada:p%40ss:w%20rd%2F%23@host:5432/name?sslmode=require"
    assert load_settings(database_url=url).records_url == url


def test_names_that_look_like_settings_get_advice() -> None:
    given = ["TELEPHONY_JOURNAL_DIRR", "TELEPHONY_SIMULATE", "telephony_model", "TELEPHONY_XYZZY", "TWILIO_REGION"]
    assert list(misspelt(given, Settings.model_fields)) == [
        ("TELEPHONY_JOURNAL_DIRR", "Did you mean TELEPHONY_JOURNAL_DIR?"),
        ("TELEPHONY_XYZZY", "See deploy/.env.example."),
    ]
