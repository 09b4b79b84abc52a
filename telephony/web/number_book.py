"""The configuration of numbers together with everything that the configuration names: agents, languages, clips and the
auth tokens of the Twilio accounts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realtime_core.errors import UserError

from ..agent_choice import check_agent
from ..audio.files import load_ulaw
from ..call.consent import Consent
from ..call.options import AgentSource
from ..errors import AudioFileError, LocaleError, NumbersFileError
from ..locales.locale import Locale, Locales
from ..numbers.config import NumberConfig, NumbersConfig, Problem, StepKind
from ..numbers.number_file import located, read_numbers
from ..numbers.toml_lines import TomlLines
from ..twilio.signature import SigningKeys

__all__ = ["LoadAgent", "NumberBook", "build_book", "consent_for", "load_book"]

LoadAgent = Callable[[str], AgentSource]
"""A function that loads the agent of an import string. Raises `UserError` with a description of the problem."""


@dataclass(frozen=True, slots=True)
class NumberBook:
    """One checked version of the configuration of numbers. A `NumberBook` never changes. A reload creates a new
    `NumberBook`.
    """

    config: NumbersConfig
    locales: Locales
    agents: Mapping[str, AgentSource] = field(repr=False)
    greetings: Mapping[Path, bytes] = field(repr=False)
    keys: Mapping[str, tuple[SigningKeys, ...]] = field(repr=False)
    """The signing keys of each Twilio account, by the SID of the account. An account may have one key for each
    region.
    """

    def agent(self, given: Any) -> AgentSource:
        source: AgentSource = self.agents[given] if isinstance(given, str) else given
        return source

    def locale(self, language: str) -> Locale:
        return self.locales.of(language)

    def account_sid(self, number: NumberConfig) -> str | None:
        """Returns the SID of the number's Twilio account, or None if the number uses the account of the settings."""
        account = self.config.accounts.get(number.account)
        return None if account is None else account.sid


def load_book(path: Path, load_agent: LoadAgent) -> NumberBook:
    """Reads a numbers file (`TELEPHONY_NUMBERS`), and loads the agents, languages and clips that the file names.

    Raises:
        NumbersFileError: the file has problems.
    """
    config = read_numbers(path)
    book, problems = _build(config, load_agent)
    if book is None:
        raise NumbersFileError(located(str(path), TomlLines(path.read_text("utf-8-sig")), problems))
    return book


def build_book(config: NumbersConfig, load_agent: LoadAgent) -> NumberBook:
    """Checks a configuration that was made in Python, and loads the agents, languages and clips that the configuration
    names.
    """
    book, problems = _build(config, load_agent)
    if book is None:
        raise NumbersFileError([f"{'.'.join(map(str, path))}: {what}" for path, what in problems])
    return book


def _build(config: NumbersConfig, load_agent: LoadAgent) -> tuple[NumberBook | None, list[Problem]]:
    loading = _Loading(config, load_agent)
    loading.run()
    if loading.problems:
        return None, loading.problems
    return NumberBook(config, loading.locales, loading.agents, loading.greetings, loading.keys), []


class _Loading:
    def __init__(self, config: NumbersConfig, load_agent: LoadAgent) -> None:
        self.problems: list[Problem] = []
        self.locales = Locales()
        self.agents: dict[str, AgentSource] = {}
        self.greetings: dict[Path, bytes] = {}
        self.keys: dict[str, tuple[SigningKeys, ...]] = {}
        self._config = config
        self._load_agent = load_agent
        self._failed: dict[str, str] = {}

    def run(self) -> None:
        try:
            self.locales = Locales.load(self._config.locales)
        except LocaleError as error:
            self.problems.append((("locales",), str(error)))
            self.locales = Locales.load()
        for name, account in self._config.accounts.items():
            if token := self._secret(("accounts", name, "auth_token_env"), account.auth_token_env):
                self.keys[account.sid] = (*self.keys.get(account.sid, ()), SigningKeys(token))
        for name, model in self._config.models.items():
            self._secret(("models", name, "api_key_env"), model.api_key_env)
        for key, number in self._config.numbers.items():
            self._number(("numbers", key), number)

    def _secret(self, path: tuple[str, ...], variable: str) -> str:
        value = os.environ.get(variable, "").strip()
        if not value:
            self.problems.append((path, f"the environment variable {variable} is not set: set it"))
        return value

    def _number(self, here: tuple[str, ...], number: NumberConfig) -> None:
        self._agent((*here, "agent"), number.agent)
        if number.canary is not None:
            self._agent((*here, "canary"), number.canary)
        for tag, agent in number.agents.items():
            self._agent((*here, "agents", tag), agent)
        for index, step in enumerate(number.closed):
            if step.kind is StepKind.AGENT:
                self._agent((*here, "closed", index), step.agent)
        for tag in number.offered:
            if self.locales.find(tag) is None:
                name = "language" if tag == number.language else "languages"
                known = ", ".join(self.locales.tags)
                self.problems.append(
                    ((*here, name), f"there are no texts in {tag!r}: known are {known}; see `locales`")
                )
        if isinstance(number.greeting, Path):
            self._greeting((*here, "greeting"), number.greeting)
        if all(self.locales.find(tag) for tag in number.offered):
            try:
                consent_for(number, self.locales)
            except (UserError, AudioFileError) as error:
                self.problems.append(((*here, "consent"), str(error)))

    def _agent(self, path: tuple[str | int, ...], given: Any) -> None:
        if not isinstance(given, str):
            try:
                check_agent(given, "agent")
            except UserError:
                self.problems.append((path, f"write an import string, such as clinic:agent, not {given!r:.80}"))
            return
        if given in self.agents:
            return
        if given not in self._failed:
            try:
                self.agents[given] = self._load_agent(given)
                return
            except UserError as error:
                self._failed[given] = str(error)
        self.problems.append((path, self._failed[given]))

    def _greeting(self, path: tuple[str, ...], file: Path) -> None:
        try:
            self.greetings[file] = load_ulaw(file, "greeting")
        except AudioFileError as error:
            self.problems.append((path, str(error)))


def consent_for(number: NumberConfig, locales: Locales) -> Consent:
    """Returns the consent policy of a number, in all of its languages."""
    given, recording = number.consent, number.recording
    notices = {
        tag: locales.of(tag).texts["recording_question" if given.asks else "recording_notice"] for tag in number.offered
    }
    transfers = number.transfer_targets.get(given.transfer, "")
    return Consent(
        policy=given.policy,
        notice=given.notice if given.notice is not None else notices,
        text=given.text,
        asks=given.asks,
        answer_s=given.answer_s,
        accept_key=given.accept_key,
        refuse_key=given.refuse_key,
        refusals=given.refusals,
        on_refusal=given.on_refusal,
        transfer_to=transfers,
        discloses_ai=given.discloses_ai,
        records=recording.enabled,
        records_at_twilio=recording.twilio,
        requires_recording=recording.required,
        without_recording=recording.otherwise,
    )
