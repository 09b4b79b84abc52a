"""`deploy/.env.example` is valid: its defaults are those of the code, and its examples are accepted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from telephony.settings import Settings, load_settings

LINES = (Path(__file__).parents[2] / "deploy" / ".env.example").read_text().splitlines()
SETTING = re.compile(r"(#?)([A-Z][A-Z0-9_]*)=(.*)")
FOUND = [match.groups() for line in LINES if (match := SETTING.fullmatch(line))]


def test_each_setting_is_there_once() -> None:
    names = [name for _, name, _ in FOUND]
    assert sorted(names) == sorted(name.upper() for name in Settings.model_fields)


def test_all_other_lines_are_comments() -> None:
    assert all(SETTING.fullmatch(line) or line == "" or line.startswith("# ") for line in LINES)


def test_what_is_commented_out_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for commented, name, value in FOUND:
        default = Settings.model_fields[name.lower()].default
        if default is None:
            assert commented or not value, f"{name} has no default; an example is commented out"
        else:
            monkeypatch.setenv(name, value)
            assert getattr(load_settings(), name.lower()) == default, name


def test_the_examples_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for _, name, value in FOUND:
        if value:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("PUBLIC_URL", "https://phone.example.com")
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC1")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "token")
    assert load_settings().telephony_when_full == "busy"


def test_as_it_stands_it_serves_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for commented, name, value in FOUND:
        if not commented:
            monkeypatch.setenv(name, value)
    assert not load_settings().can_be_rung
