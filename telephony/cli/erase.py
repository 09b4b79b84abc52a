"""Implements `telephony calls erase`, which deletes all data about one person."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import typer

from realtime_core.sources import SYSTEM

from ..erasure import Places, Receipt, erase
from ..errors import TwilioNotConfigured
from ..numbers.number_file import read_numbers
from ..outbound.do_not_call import DoNotCall
from ..records.access import Action
from ..records.call_query import Party
from ..records.database import DatabaseRecords
from ..records.subjects import SubjectKey, check_key, subject_key
from ..settings import Settings, load_settings
from ..twilio.numbers import e164
from ..twilio.phone_forms import forms_of_one_phone
from ..twilio.rest import TwilioRest
from ..web.number_accounts import rest_of
from .auditing import audit
from .call_list import opened_records, stored_journals
from .errors import FAILED, USAGE, CliError
from .rest_client import observed, rest_client

__all__ = ["erase_number"]


def erase_number(number: str, folder: Path | None, output: Path | None, config: Path | None = None) -> None:
    """Erases the data that is stored about `number`. Writes the receipt to the file `output`, or prints the receipt if
    `output` is None. `folder` is the folder of the journals. `config` is the numbers file, whose Twilio accounts may
    have recordings. Exits with code 1 if some data is left. Raises `CliError` if the number is invalid or is our own
    number, or if the database contains hashes of phone numbers that were made with another key.
    """
    settings = load_settings()
    try:
        number = e164(number)
    except ValueError as error:
        raise CliError(f"--number {number!r}: {error}.", code=USAGE) from None
    if settings.twilio_phone_number in forms_of_one_phone(number):
        raise CliError(f"{number} is a number of this application. Give the number of the other party.", code=USAGE)
    accounts = _accounts(settings, config)
    key = subject_key(settings)
    person = Party.of(number, key.of)
    with opened_records(settings) as records:
        assert records is None or isinstance(records, DatabaseRecords)
        if records is not None and not (key.is_kept and check_key(records, key, SYSTEM.now())):
            raise CliError(
                "The call records have hashes of another key, so masked calls of this number cannot be found.",
                "Set the TELEPHONY_NUMBER_KEY or the TELEPHONY_DATA_DIR of the server. Nothing was erased.",
            )
        receipt = asyncio.run(_erase(person, settings, records, folder, key, accounts))
        if records is not None:
            what = f"subject {receipt.subject[:12]}: {len(receipt.calls)} calls"
            audit(records.access, SYSTEM.now(), Action.ERASE, what)
    text = jsonlib.dumps(receipt.to_json(), indent=1)
    if output is None:
        typer.echo(text)
    else:
        try:
            output.write_text(f"{text}\n")
        except OSError as error:
            typer.echo(text)
            raise CliError(f"{output} cannot be written: {error.strerror}.") from error
    if not receipt.complete:
        raise typer.Exit(FAILED)


async def _erase(
    person: Party,
    settings: Settings,
    records: DatabaseRecords | None,
    folder: Path | None,
    key: SubjectKey,
    accounts: Sequence[TwilioRest],
) -> Receipt:
    listed = settings.telephony_do_not_call
    journals = stored_journals(settings, folder)
    places = Places(
        records=records,
        journals=journals.folder,
        storage=journals.storage,
        data_dir=settings.data_dir,
        do_not_call=None if listed is None else DoNotCall(listed, subjects=key),
        recordings=accounts,
    )
    try:
        return await erase(person, places, SYSTEM.now())
    finally:
        for account in accounts:
            account.close()


def _accounts(settings: Settings, config: Path | None) -> list[TwilioRest]:
    """Returns the REST clients of all Twilio accounts that may have recordings."""
    found = []
    with suppress(TwilioNotConfigured):
        found.append(rest_client(settings))
    if (path := config or settings.telephony_numbers) is None:
        return found
    for name, account in read_numbers(path).accounts.items():
        rest = rest_of(account, settings.telephony_twilio_api_url)
        if rest is None:
            cure = f"Set {account.auth_token_env}. Nothing was erased."
            raise CliError(f"The account {name} of {path} has no keys, so its recordings cannot be erased.", cure)
        found.append(observed(rest, settings))
    return found
