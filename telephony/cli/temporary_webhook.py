"""Implements `telephony serve --phone`: sets the webhook of the phone number while the server runs."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlencode

import segno
import typer

from realtime_core.sources import SYSTEM
from telephony.env_file import environment
from telephony.errors import NumberError, TelephonyError
from telephony.settings import Settings, load_settings
from telephony.twilio.number_webhooks import NumberWebhooks, SavedWebhook
from telephony.twilio.signature import sign
from telephony.urls import public_address

from .errors import CliError
from .number import webhook_to_this_server
from .rest_client import rest_client
from .tunnel import tunnel

__all__ = ["TemporaryWebhook", "temporary_webhook"]

_REACHABLE_S = 60.0
"""The maximum time in seconds until the server can be reached. The DNS name of a new tunnel needs some seconds to
become known.
"""


@contextmanager
def temporary_webhook(overrides: dict[str, Any]) -> Iterator[TemporaryWebhook]:
    """Finds a public URL and a phone number, and yields the webhook of this number, which can be set during this block.
    Adds the URL to `overrides`, the settings of the server. At the end of the block, restores the previous webhook.

    Raises:
        CliError, TelephonyError: a setting is missing, or the server cannot be reached from outside.
    """
    variables = environment()
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"):
        if not variables.get(name):
            raise CliError(f"--phone needs {name}.", "The Twilio Console shows it: https://console.twilio.com")
    with ExitStack() as stack:
        if not variables.get("PUBLIC_URL"):
            port = overrides["port"] or int(variables.get("PORT") or 8000)
            overrides["public_url"] = stack.enter_context(tunnel(port))
            typer.echo(f"The tunnel's address is {overrides['public_url']}.", err=True)
        settings = load_settings(**overrides)
        webhook = TemporaryWebhook(settings, asyncio.run(_number(settings)))
        previous = signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        stack.callback(signal.signal, signal.SIGHUP, previous)
        stack.callback(webhook.restore)
        yield webhook
    if webhook.error is not None:
        raise webhook.error


async def _number(settings: Settings) -> str:
    """Returns TWILIO_PHONE_NUMBER, or the only number of the account."""
    numbers = [number.number for number in await rest_client(settings).phone_numbers() if number.voice]
    wanted = settings.twilio_phone_number
    if wanted is not None:
        if wanted not in numbers:
            raise NumberError(
                f"TWILIO_PHONE_NUMBER: the account has no voice number {wanted}. It has: {numbers or 'none'}."
            )
        return wanted
    if len(numbers) == 1:
        return numbers[0]
    if not numbers:
        raise NumberError("The account has no number that receives calls. Buy one in the Twilio Console.")
    raise NumberError(f"The account has several numbers. Set TWILIO_PHONE_NUMBER to one of {', '.join(numbers)}.")


class TemporaryWebhook:
    """Sets the voice webhook of a phone number to this server while the server runs, and restores the earlier webhook
    at the end.
    """

    def __init__(self, settings: Settings, number: str) -> None:
        self.error: TelephonyError | None = None
        """Why the webhook was not set. The server was then stopped."""
        self._settings = settings
        self._number = number
        self._webhooks = NumberWebhooks(rest_client(settings))
        self._saved: SavedWebhook | None = None
        self._ending = threading.Event()
        self._setting = threading.Thread(target=self._set, name="number", daemon=True)

    def set(self) -> None:
        """Starts a thread that sets the webhook of the phone number to this server, and returns immediately. The thread
        first waits until this server accepts a signed request at its public URL. If the thread fails, it stores the
        error in `error` and stops the server.
        """
        self._setting.start()

    def restore(self) -> None:
        """Restores the previous webhook once. If Twilio fails, `telephony number restore` can restore the webhook
        later.
        """
        self._ending.set()
        if self._setting.ident is not None:
            self._setting.join()
        saved, self._saved = self._saved, None
        if saved is None:
            return
        try:
            if asyncio.run(self._webhooks.restore(saved)):
                typer.echo(f"{self._number} leads to {saved.before} again.", err=True)
            else:
                typer.echo(f"{self._number} was changed elsewhere in the meantime and stays as it is.", err=True)
        except TelephonyError as error:
            typer.echo(
                f"{self._number} still leads here: {error} Run `telephony number restore` to try again.", err=True
            )

    def _set(self) -> None:
        try:
            self._check_reach()
            if self._ending.is_set():
                return
            self._saved = asyncio.run(self._webhooks.set(self._number, webhook_to_this_server(self._settings)))
        except TelephonyError as error:
            self.error = error
            os.kill(os.getpid(), signal.SIGTERM)
            return
        typer.echo(f"Call {self._number}. (Before, it led to {self._saved.before}.)", err=True)
        typer.echo(qr_code(f"tel:{self._number}"), err=True)

    def _check_reach(self) -> None:
        """Sends a signed request to our public address, and checks that it is accepted."""
        url = public_address(self._settings.public_url or "", "/stream-status")
        form = {"CallSid": "CA" + "0" * 32, "StreamSid": "MZ" + "0" * 32, "StreamEvent": "stream-stopped"}
        signed = sign(self._settings.signing_keys, url, form)
        request = urllib.request.Request(url, urlencode(form).encode(), signed)  # noqa: S310
        deadline = SYSTEM.now().timestamp() + _REACHABLE_S
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - PUBLIC_URL, http or https
                    return
            except urllib.error.HTTPError as error:
                with error:
                    why = f"{error.code} {error.reason}"
                if error.code == 403:
                    raise NumberError(
                        f"{url} refuses a request that is signed with TWILIO_AUTH_TOKEN. A proxy changes the address, "
                        "or another server with another TWILIO_AUTH_TOKEN answers there. `telephony doctor` shows "
                        "details."
                    ) from None
            except OSError as error:
                why = str(error)
            if self._ending.is_set():
                return
            if SYSTEM.now().timestamp() > deadline:
                raise NumberError(f"{url} does not lead here ({why}). Check PUBLIC_URL and the tunnel.")
            self._ending.wait(0.5)


def qr_code(text: str) -> str:
    """Returns a QR code for a terminal. `text` is the phone number. A phone that scans the code dials the number."""
    out = io.StringIO()
    segno.make(text, error="l").terminal(out, compact=True)
    return out.getvalue()
