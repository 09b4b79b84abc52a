"""The options of `telephony campaign create` and `run`: the configuration of a campaign and its contacts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from telephony.campaigns.attempt_call import Speech
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact_list import ContactList, contacts_from_csv
from telephony.campaigns.dial_check import check_of, is_url
from telephony.campaigns.runner import Check
from telephony.errors import CampaignError
from telephony.outbound.dialing_rules import DialingRules
from telephony.outbound.do_not_call import dialing_rules_of
from telephony.outbound.plan import LeaveMessage
from telephony.settings import Settings
from telephony.simulator.twilio import OWN_NUMBER
from telephony.text_encoding import encoding_of

from ..import_strings import load_agent, load_object
from .call import load_model
from .errors import USAGE, CliError

__all__ = ["config_of", "loaded_check", "own_number", "read_contacts", "rules_of", "speech_of"]

_MAX_FILE = 100_000_000
_CHECK_FORM = "A check is a URL, or module:function."


def config_of(file: Path | None, pairs: Sequence[str], **given: Any) -> CampaignConfig:
    """Returns the configuration of a campaign. The values come from the TOML file `file`, then from the `name=value`
    texts of `pairs`, and then from the options `given`. Later values replace earlier values. Raises `CliError` for an
    invalid value.
    """
    values: dict[str, Any] = {} if file is None else _toml(file)
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise CliError(f"--set {pair!r}: write name=value, like at_once=10.", code=USAGE)
        values[name.strip()] = value.strip()
    values |= {name: value for name, value in given.items() if value is not None}
    try:
        return CampaignConfig.model_validate(values)
    except ValidationError as error:
        raise CliError(_problems(error), "docs/campaigns.md has the names.", code=USAGE) from None


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CliError(f"{file} cannot be read: {error}", "It has to be a TOML file.", code=USAGE) from None


def _problems(error: ValidationError) -> str:
    problems = []
    for each in error.errors():
        where = ".".join(str(part) for part in each["loc"]) or "campaign"
        problems.append(f"{where}: {each['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)


def read_contacts(file: Path, settings: Settings, rules: DialingRules, *, group: bool) -> ContactList:
    """Reads the contacts from a CSV file in UTF-8, or in UTF-16 with its byte order mark, as Excel writes it. With
    `group`, all lines with the same number become one contact. Raises `CliError` if the file is too large, cannot be
    read, is invalid, or has no contacts.
    """
    try:
        if file.stat().st_size > _MAX_FILE:
            raise CliError(f"{file} is larger than {_MAX_FILE // 1_000_000} MB.", "Split it.", code=USAGE)
        data = file.read_bytes()
        text = data.decode(encoding_of(data))
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{file} cannot be read: {error}", "It has to be a CSV file in UTF-8.", code=USAGE) from None
    try:
        found = contacts_from_csv(text, own_number=own_number(settings), rules=rules, group=group)
    except CampaignError as error:
        raise CliError(f"{file}: {error}", code=USAGE) from None
    if not found.contacts:
        raise CliError(f"{file} has no contacts.", "Each line after the first one is a contact.", code=USAGE)
    return found


def own_number(settings: Settings) -> str:
    """Returns the phone number from which the calls are made. Its country is the default country of the contacts'
    numbers.
    """
    return settings.twilio_phone_number or OWN_NUMBER


def rules_of(settings: Settings, *, simulate: bool) -> DialingRules:
    """Returns the dialing rules of the settings, such as quiet hours and allowed countries. With `simulate`, all
    countries may be called if the settings have neither a phone number of the application nor allowed countries. The
    other rules also apply then.
    """
    rules = dialing_rules_of(settings)
    if simulate and settings.twilio_phone_number is None and settings.telephony_call_countries is None:
        rules = replace(rules, countries=DialingRules.none().countries)
    return rules


def loaded_check(config: CampaignConfig, *, fast: bool = False) -> Check | None:
    """Returns the function that checks before each call of a campaign whether the call is still wanted. Returns None if
    the campaign has no check. Also returns None and prints a warning if the check is a URL and `fast` is True, because
    a URL cannot be requested in virtual time. Raises `CliError` if the check cannot be used.
    """
    if fast and config.check is not None and is_url(config.check):
        typer.echo("The check is a URL, and no URL is requested in virtual time. Every contact passes.", err=True)
        return None
    return check_of(config.check, lambda name: load_object(name, _CHECK_FORM, "function"))


def speech_of(config: CampaignConfig, secrets: Mapping[str, Any] | None = None) -> Speech:
    """Loads the agent and the result type of a campaign. `secrets` are data for the tools that the model does not get.
    Raises `CliError` if they cannot be loaded.
    """
    if not config.agent:
        raise CliError("The campaign has no agent.", "Add --agent module:attribute.", code=USAGE)
    return Speech(
        load_agent(config.agent),
        None if config.result is None else load_model(config.result),
        None if config.message is None else LeaveMessage(config.message),
        secrets,
    )
