"""Settings: every problem at once, each with its cure; no secret ever printed."""

from __future__ import annotations

import pytest

from telephony.errors import SettingsError
from telephony.settings import load_settings

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


def test_a_script_may_answer_a_real_caller_when_told_so() -> None:
    settings = load_settings(
        public_url="https://phone.example.com/", twilio_auth_token="12345", telephony_model="scripted"
    )
    assert settings.public_url == "https://phone.example.com"


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "seventy")
    monkeypatch.setenv("PUBLIC_URL", "phone.example.com")
    monkeypatch.setenv("OPENAI_BASE_URL", "nowhere")
    found = problems()
    assert [line.split(":")[0] for line in found] == ["OPENAI_BASE_URL", "PUBLIC_URL", "PORT"]


def test_plain_http_is_for_this_machine_only() -> None:
    assert "TLS" in problems(public_url="http://phone.example.com", twilio_auth_token="x", openai_api_key="y")[0]


def test_secrets_do_not_print() -> None:
    settings = load_settings(
        public_url="https://phone.example.com", twilio_auth_token="tok3n-value", openai_api_key="sk-value"
    )
    assert "tok3n-value" not in repr(settings)
    assert "sk-value" not in str(settings.model_dump())
