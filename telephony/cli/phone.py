"""`telephony serve --phone`: our number leads here for as long as the server runs."""

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
from telephony.errors import NumberError, TelephonyError
from telephony.settings import Settings, load_settings
from telephony.twilio.rest import TwilioRest
from telephony.twilio.signature import sign
from telephony.twilio.webhook_keeper import Kept, WebhookKeeper
from telephony.urls import public_address

from .errors import CliError
from .number import to_us
from .tunnel import tunnel

__all__ = ["OnThePhone", "on_the_phone"]

_REACHABLE_S = 60.0
"""A new tunnel's name takes some seconds to be known everywhere."""


@contextmanager
def on_the_phone(overrides: dict[str, Any]) -> Iterator[OnThePhone]:
    """Finds an address for us (it goes into `overrides`) and a number. At the end, whatever the end, the number leads
    where it led before.

    Raises:
        CliError, TelephonyError: something is missing, or the server could not be reached from outside.
    """
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"):
        if not os.environ.get(name):
            raise CliError(f"--phone needs {name}.", "The Twilio Console shows it: https://console.twilio.com")
    with ExitStack() as stack:
        if not os.environ.get("PUBLIC_URL"):
            port = overrides["port"] or int(os.environ.get("PORT") or 8000)
            overrides["public_url"] = stack.enter_context(tunnel(port))
            typer.echo(f"The tunnel's address is {overrides['public_url']}.", err=True)
        settings = load_settings(**overrides)
        phone = OnThePhone(settings, asyncio.run(_number(settings)))
        previous = signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        stack.callback(signal.signal, signal.SIGHUP, previous)
        stack.callback(phone.give_back)
        yield phone
    if phone.error is not None:
        raise phone.error


async def _number(settings: Settings) -> str:
    """TWILIO_PHONE_NUMBER, or the account's only one."""
    numbers = [number.number for number in await TwilioRest.of(settings).phone_numbers() if number.voice]
    wanted = settings.twilio_phone_number
    if wanted is not None:
        if wanted not in numbers:
            raise NumberError(
                f"TWILIO_PHONE_NUMBER: the account has no voice number {wanted}, but {numbers or 'none'}."
            )
        return wanted
    if len(numbers) == 1:
        return numbers[0]
    if not numbers:
        raise NumberError("The account has no number that takes calls: buy one in the Twilio Console.")
    raise NumberError(f"Which number? Set TWILIO_PHONE_NUMBER to one of {', '.join(numbers)}.")


class OnThePhone:
    """The number while the server runs."""

    def __init__(self, settings: Settings, number: str) -> None:
        self.error: TelephonyError | None = None
        """Why the number was not taken; the server was stopped then."""
        self._settings = settings
        self._number = number
        self._keeper = WebhookKeeper(TwilioRest.of(settings))
        self._kept: Kept | None = None
        self._ending = threading.Event()
        self._taking = threading.Thread(target=self._take, name="number", daemon=True)

    def take(self) -> None:
        """The server listens: once we are reached from outside, and our signature is accepted, the number is ours.
        Returns at once; a failure stops the server."""
        self._taking.start()

    def give_back(self) -> None:
        """Put back what was there; once. If Twilio cannot be asked, `telephony number restore` can do it later."""
        self._ending.set()
        if self._taking.ident is not None:
            self._taking.join()
        kept, self._kept = self._kept, None
        if kept is None:
            return
        try:
            if asyncio.run(self._keeper.restore(kept)):
                typer.echo(f"{self._number} leads to {kept.before} again.", err=True)
            else:
                typer.echo(f"{self._number} was changed by somebody else meanwhile, and stays so.", err=True)
        except TelephonyError as error:
            typer.echo(f"{self._number} still leads here: {error} `telephony number restore` tries again.", err=True)

    def _take(self) -> None:
        try:
            self._reach()
            if self._ending.is_set():
                return
            self._kept = asyncio.run(self._keeper.set(self._number, to_us(self._settings)))
        except TelephonyError as error:
            self.error = error
            os.kill(os.getpid(), signal.SIGTERM)
            return
        typer.echo(f"Call {self._number}. (Before, it led to {self._kept.before}.)", err=True)
        typer.echo(qr_code(f"tel:{self._number}"), err=True)

    def _reach(self) -> None:
        """Ask ourselves from outside, signed as Twilio signs."""
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
                        f"{url} refuses our own signature: something on the way changes the address, or another server "
                        "with another TWILIO_AUTH_TOKEN answers there. `telephony doctor` tells more."
                    ) from None
            except OSError as error:
                why = str(error)
            if self._ending.is_set():
                return
            if SYSTEM.now().timestamp() > deadline:
                raise NumberError(f"{url} does not lead here ({why}). Is PUBLIC_URL right, and the tunnel up?")
            self._ending.wait(0.5)


def qr_code(text: str) -> str:
    """For a terminal, two modules a character: scan it, and the telephone dials."""
    out = io.StringIO()
    segno.make(text, error="l").terminal(out, compact=True)
    return out.getvalue()
