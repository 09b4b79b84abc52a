"""The settings: one validated object, read from the environment and `.env`. All problems are reported at once."""

from __future__ import annotations

import ipaddress
from datetime import time
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pydantic_settings
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .cost import ModelPrice
from .env_file import ENCODING, env_file
from .errors import SettingsError
from .masking import Patterns
from .twilio.numbers import e164, tidy
from .twilio.refusal import parse_refusal
from .twilio.signature import SigningKeys
from .webhook_target import check_secrets, check_url

__all__ = ["Settings", "is_loopback", "load_settings", "read_settings"]


_ONE_WORD = (
    "openai_api_key", "openai_base_url", "twilio_account_sid", "twilio_auth_token", "twilio_shared_key_secret",
    "twilio_api_key", "twilio_api_secret", "public_url", "host", "telephony_api_token", "telephony_twilio_api_url",
    "telephony_model_name", "telephony_webhook_url", "telephony_text_model_url", "telephony_text_model_key",
    "telephony_voice_key",
)  # fmt: skip
"""Settings whose values never contain a blank."""


RECORDS_FILE = "records.db"
"""The database of the records in the data directory."""


class Settings(BaseSettings):
    """Every setting, with its default and its documentation. Our own settings start with `TELEPHONY_`.

    `docs/reference.py` writes `docs/settings.md` and `deploy/.env.example` from this class.
    """

    model_config = SettingsConfigDict(case_sensitive=False, extra="ignore", frozen=True, env_ignore_empty=True)

    openai_api_key: SecretStr | None = None
    """The key of the account that pays for the model."""
    openai_base_url: str | None = Field(default=None, examples=["https://models.example.com/v1"])
    """The address of a server that is compatible with OpenAI's. Default: OpenAI."""
    telephony_model: Literal["auto", "openai", "scripted"] = "auto"
    """`openai` is a model. `scripted` is the embedded model, which is no AI. `auto` means that the embedded model only
    where no real caller can call.
    """
    telephony_model_name: str | None = Field(default=None, examples=["gpt-realtime-2.1"])
    """The name of the model. Default: the newest that this version knows."""
    telephony_transcription_model: str | None = Field(default=None, examples=["gpt-live-transcribe"])
    """The model that transcribes what callers say. `off`: no transcription. Default: the newest that this version
    knows."""
    telephony_script: Path | None = Field(default=None, examples=["script.toml"])
    """A script for the embedded model, as a TOML file."""

    public_url: str | None = None
    """The address that Twilio calls. It must be exact: signatures and stream URLs are computed from it."""
    twilio_account_sid: str | None = None
    """The account's SID. The REST API needs it; streams of other accounts are refused."""
    twilio_auth_token: SecretStr | None = None
    """The account's auth token. With it, webhooks and streams must be signed by Twilio. It also opens the REST API
    where no API key is set."""
    twilio_phone_number: str | None = None
    """Our own number, in E.164. Its webhook is `PUBLIC_URL/incoming-call`."""
    twilio_api_key: str | None = Field(default=None, examples=["SK00000000000000000000000000000000"])
    """An API key for the REST API, instead of the auth token. It can be revoked."""
    twilio_api_secret: SecretStr | None = Field(default=None, examples=["secret"])
    """The secret of the API key."""
    twilio_shared_key_secret: SecretStr | None = Field(default=None, examples=["secret"])
    """The secret of the SharedKey that signs webhooks with HMAC-SHA256, where the account uses one."""
    telephony_twilio_api_url: str | None = Field(default=None, examples=["http://127.0.0.1:9000"])
    """The address of a simulated Twilio REST API. Default: Twilio's."""

    telephony_numbers: Path | None = Field(default=None, examples=["numbers.toml"])
    """The file of numbers: agents, languages, hours and fallbacks of each number (`docs/numbers.md`). It is read again
    when it changes, and on SIGHUP."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """The port to listen on. 0 means any free port."""
    telephony_env_file: Path = Path(".env")
    """The file with settings that the environment does not have, in the current folder. `off`: no file. It can only be
    set in the environment."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """`debug`, `info`, `warning` or `error`."""
    log_format: Literal["text", "json"] = "text"
    """`text` or `json`."""
    telephony_instance: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["phone-1"])
    """The name of this process in the URLs that Twilio gets (`/i/<instance>/...`). A proxy uses it to route the
    requests of a call to the process of the call. Default: a random name."""
    telephony_api_token: SecretStr | None = Field(default=None, examples=["secret"])
    """The bearer token for `/metrics`, `/calls` and the console. Without a token `/metrics` and `/calls` serve this
    machine only, and refuse every request where `PUBLIC_URL` is set. The console takes named tokens, too."""
    telephony_oidc_issuer: str | None = Field(default=None, examples=["https://login.example.com"])
    """The OpenID Connect provider for logins to the console. It needs the extra `oidc`."""
    telephony_oidc_client_id: str | None = Field(default=None, examples=["telephony-console"])
    """The id of this application at `TELEPHONY_OIDC_ISSUER`."""
    telephony_oidc_client_secret: SecretStr | None = Field(default=None, examples=["secret"])
    """The secret of this application at `TELEPHONY_OIDC_ISSUER`. Default: a public client."""
    telephony_oidc_emails: str | None = Field(default=None, examples=["ada@example.com @example.org"])
    """The addresses that may log in to the console, and domains with `@` in front. Default: nobody."""
    telephony_oidc_scopes: str = Field(
        default="view", pattern=r"^(view|listen|control|export)( (view|listen|control|export))*$"
    )
    """What a login through `TELEPHONY_OIDC_ISSUER` permits: some of `view listen control export`."""
    telephony_allow_unsigned: bool = False
    """Accept unsigned requests, on any address. Anyone who finds the port can then spend your money."""
    database_url: SecretStr | None = Field(default=None, examples=["postgresql://user:password@host/telephony"])
    """The database of used stream tokens, idempotency keys and call records: `sqlite:///file.db` or
    `postgresql://user:password@host/name`. Several processes share one. Default: `records.db` in
    `TELEPHONY_DATA_DIR`."""
    telephony_data_dir: Path = Path("telephony-data")
    """The folder of the records, where `DATABASE_URL` is not set, and of the key that hashes numbers. `off` means that
    keep the records in the memory of this process.
    """
    telephony_number_key: SecretStr | None = Field(
        default=None, min_length=16, examples=["32 or more random characters"]
    )
    """The key of the hashes by which records are found after their numbers were masked, such as by
    `telephony calls erase`. Processes on several machines need the same key. If it changes, older calls are no longer
    found by their numbers. Default: a random key in `number.key` in `TELEPHONY_DATA_DIR`."""
    telephony_record_numbers: bool = False
    """Keep the full number of the other party in the records of ended calls. Default: keep only its last digits."""

    telephony_webhook_url: str | None = Field(default=None, examples=["https://crm.example.com/calls"])
    """The address that gets a signed webhook about each ended call. It must be `https:`, except on this machine or in a
    private network. Redirects are not followed."""
    telephony_webhook_secret: SecretStr | None = Field(
        default=None, examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    )
    """The secret that signs webhooks (Standard Webhooks): `whsec_` and 24 to 64 bytes in base64. Make one with
    `echo whsec_$(openssl rand -base64 32)`. While you change it, give the new and the old one with a blank between
    them."""

    otel_exporter_otlp_endpoint: str | None = Field(default=None, examples=["http://127.0.0.1:4318"])
    """The collector that gets a trace of each call (OpenTelemetry, OTLP over HTTP). It needs the extra `otel`. A
    provider that the application has set itself is used without this setting."""
    telephony_trace_content: bool = False
    """Put the agent's words and the arguments and results of tools into traces."""
    telephony_text_model_url: str | None = Field(default=None, examples=["https://api.openai.com/v1"])
    """The address of a text model with OpenAI's Chat Completions API. After a call it gets the transcript of what was
    heard, and fills in the fields of the result that the agent did not record. A value without a quote from the
    transcript is dropped. Default: no text model."""
    telephony_text_model_name: str = "gpt-4.1-mini"
    """The name of the text model."""
    telephony_text_model_key: SecretStr | None = Field(default=None, examples=["sk-..."])
    """The key of the text model."""
    telephony_voice_key: SecretStr | None = Field(default=None, examples=["sk-..."])
    """The key of the service that speaks for the personas of `telephony eval`, with `--voice http`."""
    telephony_summaries: bool = False
    """Let the text model write a summary of each call."""
    telephony_model_prices: dict[str, ModelPrice] = {}
    """Prices of models in US dollars (JSON): `{"my-model": {"text_in": 4, "audio_in": 32, "audio_out": 64}}` per
    million tokens, with `text_out`, `image_in` and `cached_text_in`, `cached_audio_in`, `cached_image_in`; or
    `per_minute`. They replace those of the installed `genai-prices`. The cost of a model without a price is not
    known."""

    telephony_journal_dir: Path | None = Field(default=None, examples=["calls"])
    """The folder for the journals, one for each call: `<dir>/<call sid>/journal.jsonl`. Default: no journals."""
    telephony_journal_required: bool = False
    """Refuse new calls while journals cannot be written, with the answer of `TELEPHONY_WHEN_FULL`. Otherwise calls
    continue without a journal."""
    telephony_journal_days: float = Field(default=30.0, ge=0)
    """The maximum age of a journal or call record, in days; `telephony calls purge` deletes older ones. If this is set
    and not 0, `serve` deletes older journals when it starts and once a day."""
    telephony_journal_compress: bool = False
    """Compress each journal after its call, in a process of the lowest priority."""
    telephony_journal_store: str | None = Field(default=None, examples=["s3://bucket/journals"])
    """Object storage for journals, as a URL of fsspec (extra `storage`). After each call its journal is compressed and
    copied to `<url>/<call sid>/journal.jsonl.gz`. Credentials come from the variables of the backend, such as
    `AWS_ACCESS_KEY_ID` and `FSSPEC_S3_ENDPOINT_URL`. Default: journals stay in `TELEPHONY_JOURNAL_DIR`."""
    telephony_journal_keep_local: bool = True
    """Keep the journals in `TELEPHONY_JOURNAL_DIR` after they were copied to `TELEPHONY_JOURNAL_STORE`."""
    telephony_redact: bool = True
    """The switch for all masking in journals: keys, secrets, `TELEPHONY_REDACT_PATTERNS` and
    `TELEPHONY_REDACT_AUDIO`."""
    telephony_redact_patterns: list[str] = []
    """Regular expressions (a JSON list) of text that is masked in journals, such as card numbers. RE2 matches
    them: look-around and back-references are refused."""
    telephony_redact_audio: bool = False
    """Replace both voices in journals by noise of the same level."""

    telephony_max_calls: int = Field(default=100, ge=1)
    """The maximum number of calls at the same time."""
    telephony_max_loop_lag_s: float = Field(default=0.25, gt=0)
    """The maximum delay of the event loop, in seconds. A process whose event loop is later has more calls than it can
    serve, and refuses new calls with the answer of `TELEPHONY_WHEN_FULL`."""
    telephony_calls_per_caller_hour: int = Field(default=20, ge=0)
    """The maximum number of calls from one number within an hour. 0 means no limit."""
    telephony_withheld_calls_per_hour: int = Field(default=200, ge=0)
    """The maximum number of calls from all withheld numbers together within an hour. 0 means no limit."""
    telephony_minutes_per_day: int = Field(default=6000, ge=0)
    """The maximum number of minutes of all calls within a day (UTC), in all processes that share the records. 0 means
    no limit.
    """
    telephony_cost_per_day: float = Field(default=0.0, ge=0)
    """The maximum cost of all calls within a day (UTC), in US dollars: what models and Twilio cost, as far as it is
    known. The cost of a call is known after its end. 0 means no limit.
    """
    telephony_number_minutes_per_day: float = Field(default=0.0, ge=0)
    """The maximum number of minutes of the calls with one number within a day (UTC), in both directions. 0 means no
    limit.
    """
    telephony_number_cost_per_day: float = Field(default=0.0, ge=0)
    """The maximum cost of the calls with one number within a day (UTC), in US dollars. 0 means no limit."""

    telephony_quiet_hours: str = "21:00-08:00"
    """The hours without outgoing calls, in the local time of the called number. `off`: no quiet hours."""
    telephony_do_not_call: Path | None = Field(default=None, examples=["lists/do-not-call.txt"])
    """A file of numbers that are never called, one in each line. Agents add people who ask for it. They are also added
    to the list in the records, which all processes share."""
    telephony_opt_out_key: str | None = Field(default=None, pattern=r"^[0-9*#]$", examples=["9"])
    """The key that puts the other party of a call on the do-not-call list and ends the call. Say so in the greeting.
    Default: no key does."""
    telephony_call_countries: str | None = Field(
        default=None, pattern=r"^[A-Za-z]{2}(,[A-Za-z]{2})*$", examples=["US,CA"]
    )
    """The countries that may be called. Default: the country of our own number."""

    telephony_when_full: str = "busy"
    """The answer to a call for which there is no room: `busy`, `queue:NAME`, `say:TEXT`, a URL to redirect to, or a
    number to dial."""
    telephony_when_limited: str = "busy"
    """The answer to a caller over the limit, and to every caller when the minutes of the day are used up."""
    telephony_when_draining: str = "busy"
    """The answer to a call while the process is stopping."""
    telephony_warm: bool = True
    """Connect the model when a call is announced, before its media stream starts. The agent then speaks sooner."""
    telephony_apology: str = "We are sorry, something went wrong at our end."
    """The text that a caller hears when a call fails."""
    telephony_fallback_number: str | None = Field(default=None, examples=["+14155550123"])
    """The number that is dialled when a call fails. Default: the apology, then the call ends."""
    telephony_unknown_number: str = "The number you have called is not in service here. Goodbye."
    """The text for a called number that has no agent, where agents are chosen by number."""

    telephony_drain_s: float = Field(default=300.0, ge=0)
    """How long live calls may continue after SIGTERM, in seconds."""
    telephony_farewell_s: float = Field(default=15.0, ge=0)
    """The maximum length of the goodbye of a call that is still live after `TELEPHONY_DRAIN_S`, in seconds. The
    supervisor of the process must wait longer than `TELEPHONY_DRAIN_S` + `TELEPHONY_FAREWELL_S` before it kills the
    process (systemd: `TimeoutStopSec`)."""

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, given: Any) -> Any:
        """Removes blanks and line breaks around values. They come from pasting, or from files with Windows line ends.

        A value of blanks only counts as not set.
        """
        if not isinstance(given, dict):
            return given
        tidied = {name: _tidied(value) for name, value in given.items()}
        return {name: value for name, value in tidied.items() if value != "" or given[name] == ""}

    @field_validator(*_ONE_WORD)
    @classmethod
    def _check_one_word(cls, value: str | SecretStr | None) -> str | SecretStr | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value or ""
        if any(c.isspace() or not c.isprintable() for c in text):
            raise ValueError("it contains a blank or a line break: remove it")
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            raise ValueError("it is in quotes, which are a part of the value here: remove them")
        return value

    @field_validator("telephony_redact_patterns")
    @classmethod
    def _check_patterns(cls, value: list[str]) -> list[str]:
        try:
            Patterns(value)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("write the address that Twilio calls, like https://phone.example.com")
            if "@" in parts.netloc:
                raise ValueError("remove the user and the password: Twilio's requests are signed")
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
            raise ValueError("write sqlite:/// and a file; with a fourth slash its path is absolute")
        return value

    @field_validator("openai_base_url", "telephony_text_model_url")
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

    @field_validator("telephony_webhook_url")
    @classmethod
    def _check_webhook_url(cls, value: str | None) -> str | None:
        return None if value is None else check_url(value)

    @field_validator("telephony_webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(check_secrets(value.get_secret_value()))

    @field_validator("twilio_account_sid")
    @classmethod
    def _check_account(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("AC"):
            raise ValueError("the SID of an account starts with AC; the Twilio Console shows it")
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
    def data_dir(self) -> Path | None:
        """`telephony_data_dir`, or None if it is `off`."""
        return None if str(self.telephony_data_dir).lower() == "off" else self.telephony_data_dir

    @property
    def records_url(self) -> str | None:
        """The database of the records: DATABASE_URL, or the file in the data directory. None means that there is
        none.
        """
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return None if self.data_dir is None else f"sqlite:///{self.data_dir / RECORDS_FILE}"

    @property
    def quiet_hours(self) -> tuple[time, time]:
        """The start and the end of the quiet hours. Equal: there are none."""
        return _hours(self.telephony_quiet_hours)

    @property
    def can_be_rung(self) -> bool:
        """Whether real callers can call. Then requests must be signed, and the embedded model answers only if it is
        set."""
        return self.public_url is not None or self.twilio_auth_token is not None or self.telephony_allow_unsigned

    @property
    def is_simulation(self) -> bool:
        """Whether no call is with a real person: Twilio is simulated on this machine, or only this machine can call."""
        addresses = (self.telephony_twilio_api_url, self.public_url)
        return not self.can_be_rung or any(is_loopback(urlsplit(each or "").hostname or "") for each in addresses)

    @property
    def model_settings(self) -> dict[str, Any]:
        """The settings of the model that are set here, as a session takes them."""
        chosen: dict[str, Any] = {}
        if self.telephony_model_name is not None:
            chosen["model_name"] = self.telephony_model_name
        if (transcriber := self.telephony_transcription_model) is not None:
            chosen["input_audio_transcription"] = None if transcriber == "off" else {"model": transcriber}
        return chosen

    @property
    def purges_journals(self) -> bool:
        """Whether `telephony_journal_days` is set, so that `serve` deletes old journals."""
        return "telephony_journal_days" in self.model_fields_set and self.telephony_journal_days > 0

    @property
    def wants_script(self) -> bool:
        """Whether the embedded model answers."""
        if self.telephony_model == "auto":
            return not self.can_be_rung and self.openai_api_key is None and self.openai_base_url is None
        return self.telephony_model == "scripted"

    @property
    def checks_signatures(self) -> bool:
        """Whether there is a secret for the check of Twilio's signatures."""
        return self.twilio_auth_token is not None or self.twilio_shared_key_secret is not None

    @property
    def signing_keys(self) -> SigningKeys:
        return SigningKeys(_revealed(self.twilio_auth_token), _revealed(self.twilio_shared_key_secret))


def load_settings(**overrides: object) -> Settings:
    """Reads the settings from the environment and `.env` (see `env_file`). `overrides` that are not None have priority.

    Raises:
        SettingsError: settings are invalid. It has one line for each, which says what to set.
    """
    settings = read_settings(**overrides)
    problems = list(_contradictions(settings))
    if problems:
        raise SettingsError(problems)
    return settings


def read_settings(**overrides: object) -> Settings:
    """Returns the same as `load_settings`, without the checks that only a server needs."""
    try:
        given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
        return Settings(_env_file=env_file(), _env_file_encoding=ENCODING, **given)  # type: ignore[call-arg]
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
            "TWILIO_AUTH_TOKEN: PUBLIC_URL is set, so anyone can send requests: set the account's auth token, "
            "with which Twilio signs its requests"
        )
    if settings.telephony_webhook_url is not None and settings.telephony_webhook_secret is None:
        problems.append("TELEPHONY_WEBHOOK_SECRET: TELEPHONY_WEBHOOK_URL is set, and webhooks are signed: set a secret")
    if settings.checks_signatures and settings.public_url is None:
        problems.append(
            "PUBLIC_URL: TWILIO_AUTH_TOKEN is set: set the address that Twilio calls, because signatures need it"
        )
    if not settings.checks_signatures and not settings.telephony_allow_unsigned and not is_loopback(settings.host):
        problems.append(
            f"HOST: without TWILIO_AUTH_TOKEN only loopback is served, not {settings.host}; "
            "TELEPHONY_ALLOW_UNSIGNED=1 serves it unsigned"
        )
    if settings.telephony_journal_required and settings.telephony_journal_dir is None:
        problems.append(
            "TELEPHONY_JOURNAL_DIR: TELEPHONY_JOURNAL_REQUIRED is set: set the folder for the journals as well"
        )
    if (store := settings.telephony_journal_store) is not None:
        if settings.telephony_journal_dir is None:
            problems.append(
                "TELEPHONY_JOURNAL_DIR: TELEPHONY_JOURNAL_STORE is set: set the folder for the journals as well, "
                "because calls are first written there"
            )
        if "://" not in store or urlsplit(store).password is not None:
            problems.append(
                "TELEPHONY_JOURNAL_STORE: write a URL without a password, such as s3://bucket/journals; "
                "credentials belong in the variables of the backend"
            )
    if (settings.twilio_api_key is None) != (settings.twilio_api_secret is None):
        problems.append(
            "TWILIO_API_KEY: an API key needs its secret: set both, or neither; the secret is TWILIO_API_SECRET"
        )
    if settings.twilio_api_key is not None and settings.twilio_account_sid is None:
        problems.append("TWILIO_ACCOUNT_SID: an API key is set: set the account of the key")
    if (
        settings.can_be_rung
        and settings.telephony_model == "auto"
        and settings.openai_api_key is None
        and settings.openai_base_url is None
    ):
        problems.append(
            "OPENAI_API_KEY: real callers can call, and no model is configured: set the key, "
            "or let the embedded model answer with --model scripted (TELEPHONY_MODEL=scripted)"
        )
    return problems


def is_loopback(host: str) -> bool:
    """Returns whether this name or address is this machine."""
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
        raise ValueError("write the start and the end, like 21:00-08:00, or off") from None


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
