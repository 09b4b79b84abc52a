"""The settings: one validated object, read from the environment and `.env`. All problems are reported together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from .cost import ModelPrice
from .env_file import env_file, values_of
from .errors import SettingsError
from .masking import Patterns
from .setting_values import (
    check_account,
    check_api_url,
    check_base_url,
    check_countries,
    check_database_url,
    check_host,
    check_one_word,
    check_public_url,
    is_loopback,
    quiet_hours,
    with_home,
)  # fmt: skip
from .twilio.numbers import e164, tidy
from .twilio.refusal import parse_refusal
from .twilio.signature import SigningKeys
from .webhook_target import check_secrets, check_url

__all__ = ["Settings", "load_settings", "read_settings"]


Word = Annotated[str, AfterValidator(check_one_word)]
"""A text that never contains a blank."""
BaseUrl = Annotated[Word, AfterValidator(check_base_url)]
PhoneNumber = Annotated[str, BeforeValidator(e164)]
PathFromHome = Annotated[Path, AfterValidator(with_home)]
"""A file or a folder. It may begin with `~`."""


def _checked_secret(check: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(lambda secret: SecretStr(check(secret.get_secret_value())))


SecretWord = Annotated[SecretStr, _checked_secret(check_one_word)]

RECORDS_FILE = "records.db"
"""The name of the database file in the data directory."""


class _Variables(EnvSettingsSource):
    """Environment variables, or the variables of a file of settings.

    Looks only at the settings that have a variable. `EnvSettingsSource` examines the type of every setting each time,
    which takes 4 ms.
    """

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str] | None = None) -> None:
        super().__init__(settings_cls)
        if variables is not None:
            self.env_vars = {name.lower(): value for name, value in variables.items()}

    def __call__(self) -> dict[str, Any]:
        return {
            name: self._value(name, field, value)
            for name, field in self.settings_cls.model_fields.items()
            if (value := self.env_vars.get(name)) is not None
        }

    def _value(self, name: str, field: FieldInfo, value: str) -> Any:
        try:
            return self.prepare_field_value(name, field, value, False)
        except ValueError:  # the field is read as JSON
            is_list = get_origin(field.annotation) is list
            form = 'list, like ["[0-9]{16}"]' if is_list else 'object, like {"name": {"key": 1}}'
            raise SettingsError([f"{name.upper()}: write a JSON {form}"]) from None


class Settings(BaseSettings):
    """All settings, with their defaults and their documentation. Settings of this package start with `TELEPHONY_`.

    `docs/reference.py` writes `docs/settings.md` and `deploy/.env.example` from this class.
    """

    model_config = SettingsConfigDict(case_sensitive=False, extra="ignore", frozen=True, env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Tells pydantic to read `.env` with `env_file.values_of`, which keeps passwords as they are written."""
        sources = [init_settings, _Variables(settings_cls)]
        if isinstance(dotenv_settings, DotEnvSettingsSource) and isinstance(path := dotenv_settings.env_file, Path):
            sources.append(_Variables(settings_cls, values_of(path)))
        return tuple(sources)

    openai_api_key: SecretWord | None = None
    """The API key of the account that pays for the model."""
    openai_base_url: BaseUrl | None = Field(default=None, examples=["https://models.example.com/v1"])
    """The URL of a server that is compatible with OpenAI's. Default: OpenAI."""
    telephony_model: Literal["auto", "openai", "scripted"] = "auto"
    """The model that speaks. `openai` is a model of OpenAI. `scripted` is the embedded model, which is not an AI.
    `auto` is `scripted` if no real caller can call and neither `OPENAI_API_KEY` nor `OPENAI_BASE_URL` is set, and
    otherwise `openai`.
    """
    telephony_model_name: Word | None = Field(default=None, examples=["gpt-realtime-2.1"])
    """The name of the model. Default: the newest model that this version knows."""
    telephony_transcription_model: str | None = Field(default=None, examples=["gpt-live-transcribe"])
    """The model that transcribes the words of callers, and of supervisors who take over a call. `off` switches the
    transcription off. Default: the newest model that this version knows.
    """
    telephony_script: PathFromHome | None = Field(default=None, examples=["script.toml"])
    """A script for the embedded model (which is not an AI), as a TOML file."""

    public_url: Word | None = None
    """The URL that Twilio calls. The URL must be exact, because signatures and stream URLs are computed from this
    URL.
    """
    twilio_account_sid: Annotated[Word, AfterValidator(check_account)] | None = None
    """The SID of the Twilio account. The REST API needs the SID. Media streams of other accounts are refused."""
    twilio_auth_token: SecretWord | None = None
    """The auth token of the Twilio account. If set, webhooks and streams must be signed by Twilio. The auth token is
    also used for the REST API if no API key is set.
    """
    twilio_phone_number: PhoneNumber | None = None
    """The phone number of this application, in E.164. The webhook of the number is `PUBLIC_URL/incoming-call`."""
    twilio_api_key: Word | None = Field(default=None, examples=["SK00000000000000000000000000000000"])
    """An API key for the REST API, used in place of the auth token. An API key can be revoked."""
    twilio_api_secret: SecretWord | None = Field(default=None, examples=["secret"])
    """The secret of the API key."""
    twilio_shared_key_secret: SecretWord | None = Field(default=None, examples=["secret"])
    """The secret of the SharedKey that signs webhooks with HMAC-SHA256, if the account uses a SharedKey."""
    telephony_twilio_api_url: Annotated[Word, AfterValidator(check_api_url)] | None = Field(
        default=None, examples=["http://127.0.0.1:9000"]
    )
    """The URL of a simulated Twilio REST API. Default: Twilio's REST API."""

    telephony_numbers: PathFromHome | None = Field(default=None, examples=["numbers.toml"])
    """The numbers file: the agent, the languages, the opening hours and the fallback of each phone number
    (`docs/numbers.md`). The file is read again when it changes, and on SIGHUP.
    """

    host: Annotated[Word, AfterValidator(check_host)] = "127.0.0.1"
    """The address on which the server listens."""
    port: int = Field(default=8000, ge=0, le=65535)
    """The port on which the server listens. 0 selects any free port."""
    telephony_env_file: Path = Path(".env")
    """The file in the current folder with settings that are not in the environment. `off` means no file. This setting
    can only be set in the environment.
    """
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The level of the log: `debug`, `info`, `warning` or `error`."""
    log_format: Literal["text", "json"] = "text"
    """The form of the log lines: `text` or `json`."""
    telephony_instance: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["phone-1"])
    """The name of this process in the URLs that Twilio gets (`/i/<instance>/...`). A proxy uses the name to route the
    requests of a call to the process of the call. Default: a random name.
    """
    telephony_api_token: SecretWord | None = Field(default=None, examples=["secret"])
    """The bearer token for `/metrics`, `/calls` and the console. Without a token, `/metrics` and `/calls` accept only
    requests from this machine, and refuse every request if `PUBLIC_URL` is set. The console also accepts named tokens.
    """
    telephony_oidc_issuer: str | None = Field(default=None, examples=["https://login.example.com"])
    """The OpenID Connect provider for logins to the console. Needs the extra `oidc`."""
    telephony_oidc_client_id: str | None = Field(default=None, examples=["telephony-console"])
    """The id of this application at `TELEPHONY_OIDC_ISSUER`."""
    telephony_oidc_client_secret: SecretStr | None = Field(default=None, examples=["secret"])
    """The secret of this application at `TELEPHONY_OIDC_ISSUER`. Default: no secret (a public client)."""
    telephony_oidc_emails: str | None = Field(default=None, examples=["ada@example.com @example.org"])
    """The e-mail addresses that may log in to the console, and domains with `@` in front. Default: no address."""
    telephony_oidc_scopes: str = Field(
        default="view", pattern=r"^(view|listen|control|export)( (view|listen|control|export))*$"
    )
    """The scopes of a login through `TELEPHONY_OIDC_ISSUER`: some of `view listen control export`."""
    telephony_allow_unsigned: bool = False
    """Accept unsigned requests, on any address. Any person who finds the port can then cause costs."""
    database_url: SecretStr | None = Field(default=None, examples=["postgresql://user:password@host/telephony"])
    """The database of used stream tokens, idempotency keys and call records: `sqlite:///file.db` or
    `postgresql://user:password@host/name`. Several processes can share a database. Default: `records.db` in
    `TELEPHONY_DATA_DIR`.
    """
    telephony_data_dir: PathFromHome = Path("telephony-data")
    """The folder for the database file (if `DATABASE_URL` is not set) and for the key that hashes phone numbers. `off`
    keeps all records in the memory of this process.
    """
    telephony_number_key: SecretStr | None = Field(
        default=None, min_length=16, examples=["32 or more random characters"]
    )
    """The key for the hashes of phone numbers. The hashes find records whose numbers were masked, for example for
    `telephony calls erase`. Processes on several machines need the same key. If the key changes, older calls are no
    longer found by their numbers. Default: a random key in `number.key` in `TELEPHONY_DATA_DIR`.
    """
    telephony_record_numbers: bool = False
    """Keep the full phone number of the other party in the database after the call. Default: keep only its last
    digits.
    """

    telephony_webhook_url: Annotated[Word, AfterValidator(check_url)] | None = Field(
        default=None, examples=["https://crm.example.com/calls"]
    )
    """The URL that gets a signed webhook about each ended call. The URL must be `https:`, except on this machine or in
    a private network. Redirects are not followed.
    """
    telephony_webhook_secret: Annotated[SecretStr, _checked_secret(check_secrets)] | None = Field(
        default=None, examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    )
    """The secret that signs webhooks (Standard Webhooks): `whsec_` and 24 to 64 bytes in base64. Create a secret with
    `echo whsec_$(openssl rand -base64 32)`. To change the secret, set the new and the old secret with a blank between
    them.
    """

    otel_exporter_otlp_endpoint: str | None = Field(default=None, examples=["http://127.0.0.1:4318"])
    """The collector that gets a trace of each call (OpenTelemetry, OTLP over HTTP). Needs the extra `otel`. If the
    application has set a provider, this provider is used without this setting.
    """
    telephony_trace_content: bool = False
    """Include the agent's words and the arguments and results of tools in traces."""
    telephony_text_model_url: BaseUrl | None = Field(default=None, examples=["https://api.openai.com/v1"])
    """The URL of a text model with OpenAI's Chat Completions API. After a call, the text model gets the transcript of
    the heard words, and fills in the fields of the result that the agent did not record. A value without a quote from
    the transcript is dropped. Default: no text model.
    """
    telephony_text_model_name: str = "gpt-4.1-mini"
    """The name of the model at `TELEPHONY_TEXT_MODEL_URL`."""
    telephony_text_model_key: SecretWord | None = Field(default=None, examples=["sk-..."])
    """The key of the text model."""
    telephony_voice_key: SecretWord | None = Field(default=None, examples=["sk-..."])
    """The key of the speech service that speaks for the personas (simulated callers) of `telephony eval`, with `--voice
    http`.
    """
    telephony_summaries: bool = False
    """Let the text model write a summary of each call."""
    telephony_model_prices: dict[str, ModelPrice] = {}
    """Prices of models in US dollars (JSON): `{"my-model": {"text_in": 4, "audio_in": 32, "audio_out": 64}}` per
    million tokens, with `text_out`, `image_in` and `cached_text_in`, `cached_audio_in`, `cached_image_in`; or
    `per_minute`. These prices replace the prices of the installed `genai-prices`. The cost of a model without a price
    is unknown.
    """

    telephony_journal_dir: PathFromHome | None = Field(default=None, examples=["calls"])
    """The folder for journals. Each call has one journal: `<dir>/<call sid>/journal.jsonl`. Default: no journals."""
    telephony_journal_required: bool = False
    """Refuse new calls while journals cannot be written, with the response of `TELEPHONY_WHEN_FULL`. Otherwise calls
    continue without a journal.
    """
    telephony_journal_days: float = Field(default=30.0, ge=0)
    """The maximum age of a journal or call record, in days. `telephony calls purge` deletes older journals and records.
    If this setting is set and not 0, `serve` deletes older journals when it starts and once a day.
    """
    telephony_journal_compress: bool = False
    """Compress each journal after its call, in a process of the lowest priority."""
    telephony_journal_store: str | None = Field(default=None, examples=["s3://bucket/journals"])
    """Object storage for journals, as a URL of fsspec (extra `storage`). After each call, its journal is compressed and
    copied to `<url>/<call sid>/journal.jsonl.gz`. Credentials come from the environment variables of the backend, such
    as `AWS_ACCESS_KEY_ID` and `FSSPEC_S3_ENDPOINT_URL`. Default: journals stay in `TELEPHONY_JOURNAL_DIR`.
    """
    telephony_journal_keep_local: bool = True
    """Keep the journals in `TELEPHONY_JOURNAL_DIR` after they were copied to `TELEPHONY_JOURNAL_STORE`."""
    telephony_redact: bool = True
    """Mask in journals the phone keys that callers press, the passwords and API keys of the settings, and text that
    matches `TELEPHONY_REDACT_PATTERNS`. Voices are masked only if `TELEPHONY_REDACT_AUDIO` is also true. If false,
    nothing in journals is masked.
    """
    telephony_redact_patterns: list[str] = []
    """Regular expressions (a JSON list) of text that is masked in journals, such as card numbers. RE2 matches these
    expressions, so look-around and back-references are refused.
    """
    telephony_redact_audio: bool = False
    """Replace both voices in journals by noise of the same level. Has no effect if `TELEPHONY_REDACT` is false."""

    telephony_max_calls: int = Field(default=100, ge=1)
    """The maximum number of calls at the same time."""
    telephony_max_loop_lag_s: float = Field(default=0.25, gt=0)
    """The maximum delay of the event loop, in seconds. A process with a larger delay has more calls than it can serve,
    and refuses new calls with the response of `TELEPHONY_WHEN_FULL`.
    """
    telephony_calls_per_caller_hour: int = Field(default=20, ge=0)
    """The maximum number of calls from one number within an hour. 0 means no limit."""
    telephony_withheld_calls_per_hour: int = Field(default=200, ge=0)
    """The maximum number of calls from all withheld numbers together within an hour. 0 means no limit."""
    telephony_minutes_per_day: int = Field(default=6000, ge=0)
    """The maximum number of minutes of all calls within a day (UTC), in all processes that share the database. 0 means
    no limit.
    """
    telephony_cost_per_day: float = Field(default=0.0, ge=0)
    """The maximum known cost of all calls within a day (UTC), in US dollars. The cost includes models and Twilio. The
    cost of a call becomes known after its end. 0 means no limit.
    """
    telephony_number_minutes_per_day: float = Field(default=0.0, ge=0)
    """The maximum number of minutes of the calls with one phone number within a day (UTC), in both directions. 0 means
    no limit.
    """
    telephony_number_cost_per_day: float = Field(default=0.0, ge=0)
    """The maximum cost of the calls with one phone number within a day (UTC), in US dollars. 0 means no limit."""

    telephony_quiet_hours: str = "21:00-08:00"
    """The hours without outgoing calls, in the local time of the called number. `off` means no quiet hours."""
    telephony_do_not_call: PathFromHome | None = Field(default=None, examples=["lists/do-not-call.txt"])
    """A file of phone numbers that must never be called, one number per line. Agents add the numbers of people who ask
    for this. These numbers are also added to the list in the database, which all processes share.
    """
    telephony_opt_out_key: str | None = Field(default=None, pattern=r"^[0-9*#]$", examples=["9"])
    """The key with which the other party of a call adds their number to the do-not-call list and ends the call. The
    greeting should mention the key. Default: no key.
    """
    telephony_call_countries: str | None = Field(default=None, examples=["US,CA"])
    """The countries that may be called. Default: the country of the application's phone number."""

    telephony_when_full: str = "busy"
    """The response to a call when the maximum number of calls is reached: `busy`, `queue:NAME`, `say:TEXT`, a URL to
    redirect to, or a number to dial.
    """
    telephony_when_limited: str = "busy"
    """The response to a caller who calls more often than `TELEPHONY_CALLS_PER_CALLER_HOUR` permits, and to every caller
    when the minutes or the cost of the day are used up: `busy`, `queue:NAME`, `say:TEXT`, a URL to redirect to, or a
    number to dial.
    """
    telephony_when_draining: str = "busy"
    """The response to a call while the process is stopping: `busy`, `queue:NAME`, `say:TEXT`, a URL to redirect to, or
    a number to dial.
    """
    telephony_warm: bool = True
    """Connect the model when a call is announced, before its media stream starts. The agent then speaks sooner."""
    telephony_apology: str = "We are sorry, something went wrong at our end."
    """The text that a caller hears when a call fails."""
    telephony_fallback_number: PhoneNumber | None = Field(default=None, examples=["+14155550123"])
    """The number that is dialled when a call fails. Default: the caller hears the apology, and the call ends."""
    telephony_unknown_number: str = "The number you have called is not in service here. Goodbye."
    """The text for a called number without an agent, if agents are selected by number."""

    telephony_drain_s: float = Field(default=300.0, ge=0)
    """The maximum time in seconds for which live calls may continue after SIGTERM."""
    telephony_farewell_s: float = Field(default=15.0, ge=0)
    """The maximum length in seconds of the goodbye in a call that is still live after `TELEPHONY_DRAIN_S`. The
    supervisor of the process must wait longer than `TELEPHONY_DRAIN_S` + `TELEPHONY_FAREWELL_S` before it kills the
    process (systemd: `TimeoutStopSec`).
    """

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, given: Any) -> Any:
        """Removes blanks and line breaks around values. Such characters come from pasted text, or from files with
        Windows line ends.

        A value that contains only blanks counts as not set.
        """
        if not isinstance(given, dict):
            return given
        tidied = {name: _tidied(value) for name, value in given.items()}
        return {name: value for name, value in tidied.items() if value != "" or given[name] == ""}

    @field_validator("telephony_model", "log_level", "log_format", mode="before")
    @classmethod
    def _in_lower_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("telephony_call_countries")
    @classmethod
    def _check_countries(cls, value: str | None) -> str | None:
        return check_countries(value) if value else None

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
        return check_public_url(value) if value else None

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not (url := value.get_secret_value()):
            return None
        return SecretStr(check_database_url(url))

    @field_validator("telephony_when_full", "telephony_when_limited", "telephony_when_draining")
    @classmethod
    def _check_refusal(cls, value: str) -> str:
        parse_refusal(value)
        return value

    @field_validator("telephony_quiet_hours")
    @classmethod
    def _check_quiet_hours(cls, value: str) -> str:
        quiet_hours(value)
        return value

    @property
    def data_dir(self) -> Path | None:
        """The value of `telephony_data_dir`, or None if the value is `off`."""
        return None if str(self.telephony_data_dir).lower() == "off" else self.telephony_data_dir

    @property
    def records_url(self) -> str | None:
        """The URL of the database: DATABASE_URL, or the file in the data directory, or None if there is no database."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return None if self.data_dir is None else f"sqlite:///{self.data_dir / RECORDS_FILE}"

    @property
    def quiet_hours(self) -> tuple[time, time]:
        """The start and the end of the quiet hours. If both are equal, there are no quiet hours."""
        return quiet_hours(self.telephony_quiet_hours)

    @property
    def can_be_rung(self) -> bool:
        """Whether real callers can call. If True, requests must be signed, and the embedded model (which is not an AI)
        answers only if `TELEPHONY_MODEL` is `scripted`.
        """
        return self.public_url is not None or self.twilio_auth_token is not None or self.telephony_allow_unsigned

    @property
    def is_simulation(self) -> bool:
        """Whether all calls are simulated. True if the setting for Twilio's API or PUBLIC_URL names this machine, or if
        `can_be_rung` is False, so that no call from Twilio can reach the server.
        """
        addresses = (self.telephony_twilio_api_url, self.public_url)
        return not self.can_be_rung or any(is_loopback(urlsplit(each or "").hostname or "") for each in addresses)

    @property
    def model_settings(self) -> dict[str, Any]:
        """The configured settings of the model, in the form that a session accepts."""
        chosen: dict[str, Any] = {}
        if self.telephony_model_name is not None:
            chosen["model_name"] = self.telephony_model_name
        if (transcriber := self.telephony_transcription_model) is not None:
            chosen["input_audio_transcription"] = None if transcriber == "off" else {"model": transcriber}
        return chosen

    @property
    def purges_journals(self) -> bool:
        """Whether `telephony_journal_days` is set. If True, `serve` deletes old journals."""
        return "telephony_journal_days" in self.model_fields_set and self.telephony_journal_days > 0

    @property
    def wants_script(self) -> bool:
        """Whether the embedded model, which is not an AI, answers calls in place of a real model."""
        if self.telephony_model == "auto":
            return not self.can_be_rung and self.openai_api_key is None and self.openai_base_url is None
        return self.telephony_model == "scripted"

    @property
    def checks_signatures(self) -> bool:
        """Whether a secret for the check of Twilio's signatures is configured."""
        return self.twilio_auth_token is not None or self.twilio_shared_key_secret is not None

    @property
    def signing_keys(self) -> SigningKeys:
        return SigningKeys(_revealed(self.twilio_auth_token), _revealed(self.twilio_shared_key_secret))


def load_settings(**overrides: object) -> Settings:
    """Reads the settings from the environment and `.env` (see `env_file`). Values of `overrides` that are not None have
    priority.

    Raises:
        SettingsError: settings are invalid. The exception has one line for each problem with the remedy.
    """
    settings = read_settings(**overrides)
    problems = list(_contradictions(settings))
    if problems:
        raise SettingsError(problems)
    return settings


def read_settings(**overrides: object) -> Settings:
    """Reads the settings from the environment and `.env`. Values of `overrides` that are not None have priority. Does
    not check whether the settings fit together (for example, whether the webhooks have a secret). A server must use
    `load_settings`, which also checks this.

    Raises:
        SettingsError: a setting is invalid.
    """
    try:
        given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
        return Settings(_env_file=env_file(), **given)  # type: ignore[call-arg]
    except ValidationError as error:
        problems = [f"{_place(*problem['loc'])}: {_plain(problem['msg'])}" for problem in error.errors()]
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


def _tidied(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return SecretStr(tidy(value.get_secret_value()))
    if isinstance(value, Path):
        return Path(tidy(str(value)))
    return tidy(value) if isinstance(value, str) else value


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _place(name: object = "", *path: object) -> str:
    """Returns the name of a setting with the path to a value inside its JSON."""
    return ".".join((str(name).upper(), *map(str, path)))


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
