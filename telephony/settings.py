"""The settings: one validated object, read from the environment; all problems are told at once, secrets never print."""

from __future__ import annotations

import ipaddress
import re
from datetime import time
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pydantic_settings
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import SettingsError
from .twilio.numbers import e164, tidy
from .twilio.refusal import parse_refusal
from .twilio.signature import SigningKeys

__all__ = ["Settings", "is_loopback", "load_settings", "read_settings"]


_ONE_WORD = (
    "openai_api_key", "openai_base_url", "twilio_account_sid", "twilio_auth_token", "twilio_shared_key_secret",
    "twilio_api_key", "twilio_api_secret", "public_url", "host", "telephony_api_token", "telephony_twilio_api_url",
    "telephony_model_name",
)  # fmt: skip
"""What never has a blank in it, whatever its value."""


class Settings(BaseSettings):
    """Every setting and its default. Names are the environment's; ours start with `TELEPHONY_`.

    `deploy/.env.example` lists them with what they mean.
    """

    model_config = SettingsConfigDict(case_sensitive=False, extra="ignore", frozen=True, env_ignore_empty=True)

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    """Where a compatible server listens (`https://host/v1`); default: OpenAI."""
    twilio_account_sid: str | None = None
    twilio_auth_token: SecretStr | None = None
    """With it, webhooks and streams must be signed by Twilio."""
    twilio_shared_key_secret: SecretStr | None = None
    """Of the SharedKey that signs webhooks (HMAC-SHA256), where Twilio was told to use one."""
    twilio_api_key: str | None = None
    twilio_api_secret: SecretStr | None = None
    """For the REST API, instead of the auth token."""
    twilio_phone_number: str | None = None
    public_url: str | None = None
    """The address that Twilio was given: signatures and stream URLs are computed from it."""
    database_url: SecretStr | None = None
    """Where used stream tokens, idempotency keys and a record of each call are kept, for all processes:
    `sqlite:///file.db` or `postgresql://user:password@host/name`; default: in this process's memory."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    telephony_model: Literal["auto", "openai", "scripted"] = "auto"
    """`scripted`: the embedded server, which is no AI; `auto`: that one only where no real caller can come."""
    telephony_model_name: str | None = None
    """The model to ask for."""
    telephony_transcription_model: str | None = None
    """The model that transcribes what callers say; `off`: no model. Default: the engine's."""
    telephony_script: Path | None = None
    """A script for the embedded server."""
    telephony_journal_dir: Path | None = None
    """Where to write a journal of each call: `<dir>/<call sid>/journal.jsonl`."""
    telephony_journal_required: bool = False
    """Take no new call while journals cannot be written; each gets the answer of `TELEPHONY_WHEN_FULL`. Default: calls
    go on without a journal."""
    telephony_journal_days: float = Field(default=30.0, ge=0)
    """How old a journal, or a call's record, may become before `telephony calls purge` removes it. Where this is set
    (and not 0), `serve` removes older journals itself, when it starts and once a day."""
    telephony_journal_compress: bool = False
    """Compress each journal when its call is over, by a process of the lowest priority."""
    telephony_record_numbers: bool = False
    """Keep the other party's number in the records of calls that are over; else all but its last digits are masked."""
    telephony_redact: bool = True
    """The one switch: mask keys, secrets, `TELEPHONY_REDACT_PATTERNS` and, where wanted, the voices in journals."""
    telephony_redact_patterns: list[str] = []
    """Regular expressions (a JSON list) of what no journal may hold, such as card numbers."""
    telephony_redact_audio: bool = False
    """Put noise of the same level in place of both voices in journals."""

    telephony_instance: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """This process's name in the URLs that Twilio gets (`/i/<instance>/...`), so that a proxy can bring requests home;
    default: a random one."""
    telephony_api_token: SecretStr | None = None
    """The bearer token for `/metrics`, off this machine."""
    telephony_allow_unsigned: bool = False
    """Serve requests that nobody signed, on any address. Whoever finds the port can spend your money."""
    telephony_twilio_api_url: str | None = None
    """Where Twilio's REST API is, if not at Twilio (a simulator)."""

    telephony_max_calls: int = Field(default=100, ge=1)
    """Calls at once."""
    telephony_calls_per_caller_hour: int = Field(default=20, ge=0)
    """Calls of one number within an hour. 0: any number."""
    telephony_withheld_calls_per_hour: int = Field(default=200, ge=0)
    """Calls of all withheld numbers together within an hour; they have no other limit of their own. 0: any number."""
    telephony_minutes_per_day: int = Field(default=6000, ge=0)
    """Minutes of all calls within a day (UTC), in this process. 0: no budget."""

    telephony_quiet_hours: str = "21:00-08:00"
    """When we call nobody, in their local time; `off`: at any hour."""
    telephony_do_not_call: Path | None = None
    """A file of numbers that we never call, one a line. With it, whoever asks for it on the phone is added at once."""
    telephony_call_countries: str | None = Field(default=None, pattern=r"^[A-Za-z]{2}(,[A-Za-z]{2})*$")
    """The countries that we may call (`US,DE`); default: that of our own number."""

    telephony_when_full: str = "busy"
    """The answer to a call for which there is no room: `busy`, `queue:NAME`, a URL to redirect to, a number to dial, or
    `say:TEXT`."""
    telephony_when_limited: str = "busy"
    """The same for a caller who called too often, and for a day whose budget is used up."""
    telephony_when_draining: str = "busy"
    """The same for a process that is about to stop."""
    telephony_warm: bool = True
    """Connect the model when a call is announced, before its stream is there: the first word comes sooner."""
    telephony_fallback_number: str | None = None
    """Who takes a call that we have lost; default: an apology, then the call ends."""
    telephony_apology: str = "We are sorry, something went wrong at our end."
    telephony_unknown_number: str = "The number you have called is not in service here. Goodbye."
    """What is said where agents are chosen by number, and this number has none."""

    telephony_drain_s: float = Field(default=300.0, ge=0)
    """After SIGTERM, how long live calls may go on."""
    telephony_farewell_s: float = Field(default=15.0, ge=0)
    """Then, how long they may take to say goodbye."""

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, given: Any) -> Any:
        """Blanks and line breaks around a value are nobody's intention: they come from pasting, or from a file with
        Windows' line ends. A value of blanks is none."""
        if not isinstance(given, dict):
            return given
        tidied = {name: _tidied(value) for name, value in given.items()}
        return {name: value for name, value in tidied.items() if value != "" or given[name] == ""}

    @field_validator(*_ONE_WORD)
    @classmethod
    def _check_one_word(cls, value: str | SecretStr | None) -> str | SecretStr | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value or ""
        if any(c.isspace() or not c.isprintable() for c in text):
            raise ValueError("a blank or a line break is in it: write it without")
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            raise ValueError("it is in quotes, which count as part of it here: write it without")
        return value

    @field_validator("telephony_redact_patterns")
    @classmethod
    def _check_patterns(cls, value: list[str]) -> list[str]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("write the address that Twilio calls, like https://phone.example.com")
            if "@" in parts.netloc:
                raise ValueError("write it without a user and a password: Twilio's requests are signed")
            if parts.scheme == "http" and not is_loopback(parts.hostname):
                raise ValueError("Twilio opens media streams over TLS only: write https://...")
        return value.rstrip("/") if value else None

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not (url := value.get_secret_value()):
            return None
        scheme, _, rest = url.partition("://")
        if scheme not in ("sqlite", "postgresql", "postgresql+psycopg", "postgres") or not rest.strip("/"):
            raise ValueError("write sqlite:///file.db or postgresql://user:password@host/name")
        if scheme == "sqlite" and not rest.startswith("/"):
            raise ValueError("write sqlite:/// and a file: with a fourth slash its path is absolute")
        return value

    @field_validator("openai_base_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("http", "https", "ws", "wss"):
            raise ValueError("write the server's address, like https://host/v1 or ws://127.0.0.1:8080/v1")
        return value

    @field_validator("telephony_twilio_api_url")
    @classmethod
    def _check_api_url(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("write the server's address, like http://127.0.0.1:9000")
        return value

    @field_validator("twilio_account_sid")
    @classmethod
    def _check_account(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("AC"):
            raise ValueError("an account's sid begins with AC; the Twilio Console shows it")
        return value

    @field_validator("twilio_phone_number", "telephony_fallback_number")
    @classmethod
    def _check_number(cls, value: str | None) -> str | None:
        return None if value is None else e164(value)

    @field_validator("telephony_when_full", "telephony_when_limited", "telephony_when_draining")
    @classmethod
    def _check_refusal(cls, value: str) -> str:
        parse_refusal(value)
        return value

    @field_validator("telephony_quiet_hours")
    @classmethod
    def _check_quiet_hours(cls, value: str) -> str:
        _hours(value)
        return value

    @property
    def quiet_hours(self) -> tuple[time, time]:
        """From when until when nobody is called; equal: at any hour."""
        return _hours(self.telephony_quiet_hours)

    @property
    def can_be_rung(self) -> bool:
        """May a real caller come? Then nothing is done unsigned, and no script answers unless told to."""
        return self.public_url is not None or self.twilio_auth_token is not None or self.telephony_allow_unsigned

    @property
    def purges_journals(self) -> bool:
        """Has somebody said for how long journals are kept?"""
        return "telephony_journal_days" in self.model_fields_set and self.telephony_journal_days > 0

    @property
    def wants_script(self) -> bool:
        """Does the embedded script answer, and not a model?"""
        if self.telephony_model == "auto":
            return not self.can_be_rung and self.openai_api_key is None and self.openai_base_url is None
        return self.telephony_model == "scripted"

    @property
    def checks_signatures(self) -> bool:
        """Is there a secret to check Twilio's signatures with?"""
        return self.twilio_auth_token is not None or self.twilio_shared_key_secret is not None

    @property
    def signing_keys(self) -> SigningKeys:
        return SigningKeys(_revealed(self.twilio_auth_token), _revealed(self.twilio_shared_key_secret))


def load_settings(**overrides: object) -> Settings:
    """Read the environment; `overrides` (None: not given) win.

    Raises:
        SettingsError: one line for each problem, with its cure.
    """
    settings = read_settings(**overrides)
    problems = list(_contradictions(settings))
    if problems:
        raise SettingsError(problems)
    return settings


def read_settings(**overrides: object) -> Settings:
    """`load_settings` for what does not serve: each setting is valid, together they may be not enough to serve with."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except pydantic_settings.SettingsError as error:  # from a field that is read as JSON
        name = str(error).partition('"')[2].partition('"')[0].upper()
        raise SettingsError([f'{name}: write a JSON list, like ["[0-9]{{16}}"]']) from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, p['loc'])).upper()}: {_plain(p['msg'])}" for p in error.errors()]
        raise SettingsError(problems) from None


def _contradictions(settings: Settings) -> list[str]:
    problems = []
    if settings.public_url is not None and not settings.checks_signatures and not settings.telephony_allow_unsigned:
        problems.append(
            "TWILIO_AUTH_TOKEN: PUBLIC_URL is set, so anybody can come: set the account's auth token, "
            "with which Twilio signs its requests"
        )
    if settings.checks_signatures and settings.public_url is None:
        problems.append("PUBLIC_URL: TWILIO_AUTH_TOKEN is set: set the address that Twilio calls; signatures need it")
    if not settings.checks_signatures and not settings.telephony_allow_unsigned and not is_loopback(settings.host):
        problems.append(
            f"HOST: without TWILIO_AUTH_TOKEN nothing can be checked, so only loopback is served, not {settings.host}; "
            "TELEPHONY_ALLOW_UNSIGNED=1 serves it all the same"
        )
    if settings.telephony_journal_required and settings.telephony_journal_dir is None:
        problems.append(
            "TELEPHONY_JOURNAL_DIR: TELEPHONY_JOURNAL_REQUIRED is set: set the folder for the journals, too"
        )
    if (settings.twilio_api_key is None) != (settings.twilio_api_secret is None):
        problems.append("TWILIO_API_KEY: an API key and its secret go together: set TWILIO_API_SECRET, too, or neither")
    if settings.twilio_api_key is not None and settings.twilio_account_sid is None:
        problems.append("TWILIO_ACCOUNT_SID: an API key is set: set the account that it belongs to")
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


def _hours(text: str) -> tuple[time, time]:
    if text.lower() == "off":
        return time(0), time(0)
    begin, _, end = text.partition("-")
    try:
        return (
            time.fromisoformat(begin.strip()).replace(tzinfo=None),
            time.fromisoformat(end.strip()).replace(tzinfo=None),
        )
    except ValueError:
        raise ValueError("write from when until when, like 21:00-08:00, or off") from None


def _tidied(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return SecretStr(tidy(value.get_secret_value()))
    if isinstance(value, Path):
        return Path(tidy(str(value)))
    return tidy(value) if isinstance(value, str) else value


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
