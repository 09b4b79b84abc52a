"""Implements `telephony number`, which shows, sets and restores the webhooks of a Twilio number."""

from __future__ import annotations

import asyncio
import json as jsonlib
from dataclasses import asdict
from urllib.parse import urlsplit

import typer

from telephony.errors import NumberError
from telephony.settings import Settings, read_settings
from telephony.twilio.number_webhooks import NumberWebhooks, VoiceWebhook
from telephony.twilio.numbers import e164, tidy
from telephony.twilio.resources import PhoneNumber
from telephony.urls import public_address

from .auditing import audit_change
from .errors import FAILED, USAGE, CliError
from .rest_client import rest_client

__all__ = ["list_numbers", "restore_number", "set_number", "webhook_to_this_server"]


def list_numbers(*, json: bool) -> None:
    numbers = asyncio.run(rest_client(read_settings()).phone_numbers())
    if json:
        typer.echo(jsonlib.dumps([asdict(number) for number in numbers], indent=1))
        return
    for number in numbers:
        typer.echo(f"{number.number}  {_leads_to(number)}")
    if not numbers:
        typer.echo("The account has no numbers.")


def set_number(number: str, url: str | None, fallback_url: str | None) -> None:
    settings = read_settings()
    number = _written(number)
    webhook = webhook_to_this_server(settings, url, fallback_url)
    webhooks = NumberWebhooks(rest_client(settings))
    audit_change(f"number {number}: leads to {webhook}")
    saved = asyncio.run(webhooks.set(number, webhook))
    typer.echo(f"{saved.number} leads to {webhook}.")
    if urlsplit(webhook.fallback_url).hostname == urlsplit(webhook.url).hostname:
        hint = "Callers hear an error of Twilio while this server is down: set --fallback-url to a TwiML Bin."
        typer.echo(f"Its fallback is the same server. {hint}", err=True)
    typer.echo(f"Before: {saved.before}. `telephony number restore {saved.number}` restores it.")


def restore_number(number: str | None, *, force: bool) -> None:
    webhooks = NumberWebhooks(rest_client(read_settings()))
    number = None if number is None else _written(number)
    saved = [entry for entry in webhooks.saved().values() if number in (None, entry.number)]
    if not saved:
        raise NumberError("Nothing is saved" + (f" for {number}." if number else ": no number was set."))
    changed_since = 0
    for entry in saved:
        audit_change(f"number {entry.number}: restored")
        if asyncio.run(webhooks.restore(entry, force=force)):
            typer.echo(f"{entry.number} leads to {entry.before} again.")
        else:
            changed_since += 1
            typer.echo(f"{entry.number} was changed elsewhere and stays as it is. Before, it led to {entry.before}.")
    if changed_since:
        raise typer.Exit(FAILED)


def _written(number: str) -> str:
    try:
        return e164(number)
    except ValueError as error:
        raise CliError(
            f"{number!r}: {error}.", "`telephony number list` shows the account's numbers.", code=USAGE
        ) from None


def webhook_to_this_server(settings: Settings, url: str | None = None, fallback_url: str | None = None) -> VoiceWebhook:
    """Returns the webhook settings of a phone number that lead its calls to this server. `url` is the voice webhook, by
    default the one of PUBLIC_URL. `fallback_url` is by default the same URL, so Twilio tries this URL twice.
    """
    if url is None:
        if settings.public_url is None:
            raise CliError("No address for the calls is set.", "Set PUBLIC_URL, or use --url https://...")
        url = public_address(settings.public_url, "/incoming-call")
    return VoiceWebhook(tidy(url), fallback_url=tidy(fallback_url or url))


def _leads_to(number: PhoneNumber) -> str:
    if number.trunk_sid:
        return f"trunk {number.trunk_sid}"
    return str(VoiceWebhook.of(number)) if number.voice else "cannot receive voice calls"
