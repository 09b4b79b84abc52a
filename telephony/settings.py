"""The settings: one validated object, read from the environment; all problems are told at once, secrets never print."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import SettingsError

__all__ = ["Settings", "is_loopback", "load_settings"]


class Settings(BaseSettings):
    """Every setting and its default. Names are the environment's; ours start with `TELEPHONY_`."""

    model_config = SettingsConfigDict(case_sensitive=False, extra="ignore", frozen=True, env_ignore_empty=True)

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    """Where a compatible server listens (`https://host/v1`); default: OpenAI."""
    twilio_account_sid: str | None = None
    twilio_auth_token: SecretStr | None = None
    """With it, webhooks and streams must be signed by Twilio."""
    twilio_api_key: str | None = None
    twilio_api_secret: SecretStr | None = None
    twilio_phone_number: str | None = None
    public_url: str | None = None
    """The address that Twilio was given: signatures and stream URLs are computed from it."""
    database_url: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    telephony_model: Literal["auto", "openai", "scripted"] = "auto"
    """`scripted`: the embedded server, which is no AI; `auto`: that one only where no real caller can come."""
    telephony_model_name: str | None = None
    telephony_script: Path | None = None
    """A script for the embedded server."""
    telephony_journal_dir: Path | None = None
    """Where to write a journal of each call: `<dir>/<call sid>/journal.jsonl`."""
    telephony_max_calls: int = Field(100, ge=1)

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("write the address that Twilio calls, like https://phone.example.com")
            if parts.scheme == "http" and not is_loopback(parts.hostname):
                raise ValueError("Twilio opens media streams over TLS only: write https://...")
        return value.rstrip("/") if value else None

    @field_validator("openai_base_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("http", "https", "ws", "wss"):
            raise ValueError("write the server's address, like https://host/v1 or ws://127.0.0.1:8080/v1")
        return value

    @property
    def can_be_rung(self) -> bool:
        """May a real caller come? Then nothing is done unsigned, and no script answers unless told to."""
        return self.public_url is not None or self.twilio_auth_token is not None


def load_settings(**overrides: object) -> Settings:
    """Read the environment; `overrides` (None: not given) win.

    Raises:
        SettingsError: one line for each problem, with its cure.
    """
    try:
        settings = Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, p['loc'])).upper()}: {_plain(p['msg'])}" for p in error.errors()]
        raise SettingsError(problems) from None
    problems = list(_contradictions(settings))
    if problems:
        raise SettingsError(problems)
    return settings


def _contradictions(settings: Settings) -> list[str]:
    problems = []
    if settings.public_url is not None and settings.twilio_auth_token is None:
        problems.append(
            "TWILIO_AUTH_TOKEN: PUBLIC_URL is set, so anybody can come: set the account's auth token, "
            "with which Twilio signs its requests"
        )
    if settings.twilio_auth_token is not None and settings.public_url is None:
        problems.append("PUBLIC_URL: TWILIO_AUTH_TOKEN is set: set the address that Twilio calls; signatures need it")
    if settings.twilio_auth_token is None and not is_loopback(settings.host):
        problems.append(
            f"HOST: without TWILIO_AUTH_TOKEN nothing can be checked, so only loopback is served, not {settings.host}"
        )
    if (
        settings.can_be_rung
        and settings.telephony_model == "auto"
        and settings.openai_api_key is None
        and settings.openai_base_url is None
    ):
        problems.append(
            "OPENAI_API_KEY: a real caller may come, and no model is there to answer: set the key, "
            "or say --model scripted (TELEPHONY_MODEL=scripted) to have the embedded script answer"
        )
    return problems


def is_loopback(host: str) -> bool:
    """Does this name or address mean this machine alone?"""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
