"""The configuration of numbers as Python objects. `number_file` reads these objects from a file.
`create_app(numbers=...)` accepts these objects. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from ..locales.tags import check_tag
from ..twilio.numbers import dialled, e164, text_of
from .opening_hours import Hours
from .policies import ConsentConfig, Otherwise, Part, RecordingConfig, Text

__all__ = [
    "Account",
    "Choice",
    "FieldProblems",
    "Limits",
    "ModelEndpoint",
    "NumberConfig",
    "NumbersConfig",
    "Region",
    "Step",
    "StepKind",
    "number_matches",
]

MAIN = "main"
"""The name by which the configuration refers to the Twilio account of the settings (TWILIO_ACCOUNT_SID). This account
needs no entry in the configuration.
"""
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATTERN = re.compile(r"\+?[0-9]*\*")

Problem = tuple[tuple[str | int, ...], str]
Language = Annotated[str, AfterValidator(check_tag)]


class Region(StrEnum):
    """The regions of Twilio: https://www.twilio.com/docs/global-infrastructure/regions"""

    US1 = "us1"
    IE1 = "ie1"
    AU1 = "au1"


class StepKind(StrEnum):
    """What a step of a number's answering plan does with the caller: connect the caller to an agent, call another
    number, record a message, or say a text.
    """

    AGENT = "agent"
    DIAL = "dial"
    VOICEMAIL = "voicemail"
    SAY = "say"


class Choice(StrEnum):
    """The ways to choose the language of a call, in addition to the language of the number."""

    CALLER = "caller"
    """The language depends on the number of the caller (`callers`)."""
    KEYPAD = "keypad"
    """The caller hears a list of languages, and presses a key."""
    SPEECH = "speech"
    """The call changes to the language that the caller speaks."""


class FieldProblems(ValueError):
    """The problems of several fields. Each problem has the path from the checked value to the field, and a text that
    says what must be corrected.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(what for _, what in problems))
        self.problems = problems


def _dial(value: object) -> str | None:
    return None if value is None else text_of(value)


class Step(Part):
    """One step of the answering plan of a number. A step has exactly one of the fields `agent`, `dial`, `voicemail` and
    `say`.
    """

    agent: Any = None
    """Another agent, as an import string. In a Python configuration, the value can also be the agent object."""
    dial: Annotated[str | None, BeforeValidator(_dial)] = None
    """The number to call in this step: the name of a transfer target, a number, or a `sip:` address. If the call is not
    answered, the next step begins.
    """
    voicemail: bool | Text | None = None
    """Records a message of the caller after a greeting. With `true`, the greeting is the default greeting in the
    language of the call. A text is used as the greeting.
    """
    say: bool | Text | None = None
    """Says a text and hangs up. With `true`, the text is the default text in the language of the call."""
    ring_s: float = Field(default=25.0, ge=5, le=600)
    """The time in seconds for which `dial` rings."""
    max_s: int = Field(default=120, ge=5, le=3600)
    """The maximum length of a `voicemail` message in seconds."""
    transcribe: bool = False
    """Whether Twilio transcribes the message. Twilio transcribes only English messages of 2 to 120 s."""

    @property
    def kind(self) -> StepKind:
        return next(kind for kind in StepKind if getattr(self, kind) is not None)

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [kind.value for kind in StepKind if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"a step does one thing, not {len(given)}: write one of agent, dial, voicemail and say")
        if self.voicemail is False or self.say is False:
            raise ValueError(f"`{given[0]} = false` is no step: remove it")
        if self.transcribe and self.max_s > 120:
            raise ValueError("Twilio transcribes messages of at most 120 s: lower max_s, or remove transcribe")
        return self


class Limits(Part):
    """The limits of one number or pattern of numbers. The calls of all processes that share a database are counted
    together, except for `calls_per_caller_hour`. 0 means that the number has no limit of its own. The limits of the
    settings apply as well. While the database cannot be used, each process counts only its own calls.
    """

    max_calls: int = Field(default=0, ge=0)
    """The maximum number of calls at the same time."""
    calls_per_caller_hour: int = Field(default=0, ge=0)
    """The maximum number of calls from one caller within an hour. For this limit, each process always counts only its
    own calls.
    """
    minutes_per_day: float = Field(default=0.0, ge=0)
    """The maximum length of all calls to the number within a day (UTC) together, in minutes."""
    cost_per_day: float = Field(default=0.0, ge=0)
    """The maximum known cost of all calls to the number within a day (UTC) together, in US dollars. The cost includes
    the model and Twilio.
    """


class Account(Part):
    """A Twilio account or subaccount."""

    sid: str
    auth_token_env: str
    """The name of the environment variable with the auth token. The auth token signs the webhooks of this account and
    region.
    """
    region: Region = Region.US1
    us1_auth_token_env: str = ""
    """The name of the environment variable with the account's auth token in `us1`, where Twilio's API for the regions
    of numbers runs. `telephony numbers apply` needs this token for any other region. Default: `auth_token_env`.
    """
    api_key_env: str = ""
    """The name of the environment variable with an API key. By default the auth token is used. The field
    `api_secret_env` names the variable with the secret of the key.
    """
    api_secret_env: str = ""

    @field_validator("sid")
    @classmethod
    def _check_sid(cls, value: str) -> str:
        if not re.fullmatch(r"AC[0-9a-fA-F]{32}", value):
            raise ValueError("the SID of an account is AC and 32 hexadecimal digits; the Twilio Console shows it")
        return value

    @field_validator("auth_token_env", "us1_auth_token_env", "api_key_env", "api_secret_env")
    @classmethod
    def _check_env(cls, value: str) -> str:
        if value and not _ENVIRONMENT.fullmatch(value):
            raise ValueError("write the name of an environment variable, and not the secret itself")
        return value

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if bool(self.api_key_env) != bool(self.api_secret_env):
            raise ValueError("an API key needs its secret: write api_key_env and api_secret_env, or neither")
        return self


class ModelEndpoint(Part):
    """A server of a speech model: its URL, key and model. The endpoint `main` is the model of the settings, unless the
    configuration has an entry `main`.
    """

    base_url: str = ""
    """The URL of a server with OpenAI's protocol: `https://host/v1`, or for Azure
    `https://NAME.openai.azure.com/openai/v1`. The default is the URL in the settings.
    """
    api_key_env: str = "OPENAI_API_KEY"
    """The name of the environment variable with the API key."""
    model: str = ""
    """The name of the model or of the deployment. The default is the model in the settings."""

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in ("http", "https", "ws", "wss"):
            raise ValueError("write the server's address, like https://host/v1")
        return value

    @field_validator("api_key_env")
    @classmethod
    def _check_env(cls, value: str) -> str:
        if not _ENVIRONMENT.fullmatch(value):
            raise ValueError("write the name of an environment variable, and not the key itself")
        return value


def _check_fallback_url(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme != "https" or not parts.hostname):
        raise ValueError("write the https address that answers with TwiML while this server is down")
    return value


class NumberConfig(Part):
    """The configuration of one number, or of all numbers that match a pattern (`+4930*`)."""

    agent: Any
    """The agent that answers, as an import string such as `clinic:agent`. In a Python configuration, the value can also
    be the agent object.
    """
    canary: Any = None
    """A new version of the agent for a part of the callers, as an import string. In a Python configuration, the value
    can also be the agent object.
    """
    canary_percent: float = Field(default=5.0, ge=0, le=100)
    """The percentage of the callers that get the `canary`, the new version of the agent."""
    variables: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Values for the agent's instructions. A `{name}` in the instructions is replaced by the value with this name. A
    value whose name is not in the instructions is added at the end of the instructions. Tools find all values in
    `Call.data`.
    """
    greeting: Text | Path | None = "Greet the caller and ask how you can help."
    """Instructions for the first response, or an audio file (`greeting = { file = "hello.wav" }`). If the value is
    empty, the caller speaks first.
    """
    language: Language = "en"
    languages: tuple[Language, ...] = ()
    """The further languages that a caller can choose."""
    choose_language: tuple[Choice, ...] = ()
    callers: dict[str, Language] = Field(default_factory=dict)
    """The languages of callers by the prefix of their numbers: `{ "+33" = "fr" }`."""
    agents: dict[Language, Any] = Field(default_factory=dict)
    """The agents for particular languages. For any other language, `agent` is instructed to speak this language."""
    voice: str = ""
    """The voice of the model."""
    voices: dict[Language, str] = Field(default_factory=dict)
    """The voices of the model by language."""
    hours: str | Hours | None = None
    """The opening hours, or the name of opening hours in the configuration. With None, the number is always open."""
    closed: tuple[Step, ...] = (Step(say=True),)
    """The steps for callers while the number is closed."""
    models: tuple[str, ...] = (MAIN,)
    """The names of the model endpoints, in the order in which they are tried."""
    transfer_targets: dict[str, Annotated[str, BeforeValidator(dialled)]] = Field(default_factory=dict)
    warm: bool = False
    """Whether transfers are warm: the called person first hears a summary, and accepts or declines."""
    fallback: tuple[Step, ...] = ()
    """The steps for callers whom no agent can help, and for callers who are refused because a limit is reached. By
    default the number `TELEPHONY_FALLBACK_NUMBER` is called, or the caller hears an apology.
    """
    consent: ConsentConfig = ConsentConfig()
    recording: RecordingConfig = RecordingConfig()
    limits: Limits = Limits()
    account: str = MAIN
    """The name of the Twilio account that has the number. `main` is the account of the settings."""
    fallback_url: Annotated[str, AfterValidator(_check_fallback_url)] = ""
    """The URL that Twilio requests while this server cannot be reached: a TwiML Bin, or a URL on another server. The
    default is a URL of this server.
    """

    @field_validator("greeting", mode="before")
    @classmethod
    def _greeting(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {"file"}:
            return Path(str(value["file"]))
        return value

    @property
    def offered(self) -> tuple[str, ...]:
        """All languages that callers of the number can choose. The first is `language`, the language of the number."""
        return tuple(dict.fromkeys((self.language, *self.languages)))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problems := list(self._problems()):
            raise FieldProblems(problems)
        return self

    def _problems(self) -> Iterator[Problem]:
        targets = self.transfer_targets
        for where, steps in (("closed", self.closed), ("fallback", self.fallback)):
            for index, step in enumerate(steps):
                if step.dial is not None and not _can_dial(step.dial, targets):
                    yield (where, index), f"{step.dial!r} is no transfer target and no number. {_known(targets)}"
                if where == "fallback" and step.kind is StepKind.AGENT:
                    yield (where, index), "an agent is no fallback of an agent: name a second endpoint in `models`"
        transfers = Otherwise.TRANSFER in (self.consent.on_refusal, self.recording.otherwise)
        if (transfers or self.consent.transfer) and self.consent.transfer not in targets:
            yield ("consent",), f"transfer = {self.consent.transfer!r} is no transfer target. {_known(targets)}"
        if Choice.KEYPAD in self.choose_language and len(self.offered) > 9:
            yield ("languages",), "a keypad offers at most nine languages: remove some"
        if self.choose_language and len(self.offered) < 2:
            yield ("choose_language",), "there is nothing to choose: add `languages`"
        for tag in dict.fromkeys((*self.callers.values(), *self.agents, *self.voices)):
            if tag not in self.offered:
                yield ("languages",), f"{tag} is used and not offered: add it to `languages`"


def _can_dial(target: str, targets: Mapping[str, str]) -> bool:
    try:
        return target in targets or bool(dialled(target))
    except ValueError:
        return False


def _known(names: Mapping[str, Any]) -> str:
    return f"Known: {', '.join(sorted(names))}." if names else "There is none: add it."


def _number(key: str) -> str:
    """Returns the key of a number in the canonical form (E.164, a pattern, or a `sip:` or `client:` address). Raises
    `ValueError` for an invalid key.
    """
    if key.endswith("*"):
        if not _PATTERN.fullmatch(key):
            raise ValueError("this is no pattern: write the beginning of a number and a star, like +4930*")
        return key
    return key if key.startswith(("sip:", "client:")) else e164(key)


def _twice(keys: Iterable[str]) -> Iterator[Problem]:
    """Yields a problem for each key that means the same number as an earlier key."""
    earlier: dict[str, str] = {}
    for key in keys:
        if (first := earlier.setdefault(_number(key), key)) != key:
            yield (key,), f"this is the same number as {first!r}: remove one of the two"


def _wrong_number(key: str) -> str:
    try:
        _number(key)
    except ValueError as error:
        return str(error)
    return ""


class NumbersConfig(Part):
    """The configuration of all numbers."""

    numbers: dict[str, NumberConfig]
    """The configuration of each number. A key is a phone number, or a prefix of phone numbers with a star (`+4930*`). A
    full number has priority over a pattern, and a longer pattern has priority over a shorter pattern.
    """
    hours: dict[str, Hours] = Field(default_factory=dict)
    accounts: dict[str, Account] = Field(default_factory=dict)
    models: dict[str, ModelEndpoint] = Field(default_factory=dict)
    locales: Path | None = None
    """A folder with additional languages, or with other texts for known languages. See `docs/languages.md`."""

    @model_validator(mode="before")
    @classmethod
    def _merge(cls, given: Any) -> Any:
        """Merges `defaults` into each number. A field of `defaults` applies to each number that does not have this
        field. If both values are tables, the tables are merged.
        """
        if not isinstance(given, dict) or not isinstance(defaults := given.get("defaults"), dict):
            return given
        numbers = given.get("numbers")
        if not isinstance(numbers, dict):
            return {name: value for name, value in given.items() if name != "defaults"}
        merged = {key: _merged(defaults, own) for key, own in numbers.items()}
        return {**{name: value for name, value in given.items() if name != "defaults"}, "numbers": merged}

    @field_validator("numbers")
    @classmethod
    def _check_numbers(cls, value: dict[str, NumberConfig]) -> dict[str, NumberConfig]:
        if not value:
            raise ValueError("there is no number: add one")
        if problems := [((key,), why) for key in value if (why := _wrong_number(key))]:
            raise FieldProblems(problems)
        if same := list(_twice(value)):
            raise FieldProblems(same)
        return {_number(key): number for key, number in value.items()}

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if problems := list(self._unknown_names()):
            raise FieldProblems(problems)
        return self

    def _unknown_names(self) -> Iterator[Problem]:
        """Yields a problem for each name in a number that the configuration does not define."""
        for key, number in self.numbers.items():
            here = ("numbers", key)
            if isinstance(number.hours, str) and number.hours not in self.hours:
                yield (*here, "hours"), f"the hours {number.hours!r} are not defined. {_known(self.hours)}"
            if number.account != MAIN and number.account not in self.accounts:
                yield (*here, "account"), f"the account {number.account!r} is not defined. {_known(self.accounts)}"
            for name in number.models:
                if name != MAIN and name not in self.models:
                    yield (*here, "models"), f"the model {name!r} is not defined. {_known(self.models)}"

    def find(self, called: str) -> tuple[str, NumberConfig] | None:
        """Returns the entry of a called number and its key, or None if there is no such entry."""
        if (exact := self.numbers.get(called)) is not None:
            return called, exact
        patterns = sorted((key for key in self.numbers if key.endswith("*")), key=len, reverse=True)
        return next(((key, self.numbers[key]) for key in patterns if number_matches(key, called)), None)

    def hours_of(self, number: NumberConfig) -> Hours | None:
        return self.hours[number.hours] if isinstance(number.hours, str) else number.hours


def number_matches(pattern: str, called: str) -> bool:
    """Returns whether the called number `called` matches `pattern`, a key of `numbers` in the configuration. A key that
    ends with `*` matches all numbers that begin with the text before the star. Any other key matches only the equal
    number.
    """
    return called.startswith(pattern[:-1]) if pattern.endswith("*") else called == pattern


def _merged(defaults: Mapping[str, Any], own: Any) -> Any:
    if not isinstance(own, dict):
        return own
    both = {**defaults, **own}
    for name, value in own.items():
        if isinstance(value, dict) and isinstance(defaults.get(name), dict) and name not in ("greeting", "hours"):
            both[name] = {**defaults[name], **value}
    return both
