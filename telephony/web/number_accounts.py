"""Helpers for the configuration of numbers: load agents by import string, create clients for Twilio accounts, and
handle SIGHUP.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from realtime_core.errors import UserError, VirtualTimeError

from .. import import_strings
from ..call.options import AgentSource
from ..errors import ImportStringError
from ..numbers.config import Account
from ..twilio.rest import TwilioRest
from .live_numbers import LiveNumbers

__all__ = ["load_agent", "reloaded_by_signal", "rest_of"]


def load_agent(name: str) -> AgentSource:
    """Returns the agent of the import string `name` (`module:attribute`). Raises `UserError` if there is no such
    agent.
    """
    try:
        return import_strings.load_agent(name)
    except ImportStringError as error:
        raise UserError(f"{error} {error.hint}".strip()) from error


def rest_of(account: Account, base_url: str | None = None) -> TwilioRest | None:
    """Returns the client for Twilio's REST API of an account, in the region of the account, or None if the environment
    variables of the account are not set.
    """
    key, secret = os.environ.get(account.api_key_env or "", ""), os.environ.get(account.api_secret_env or "", "")
    if key and secret:
        return TwilioRest(account.sid, key, secret, base_url=base_url, region=account.region.value)
    if token := os.environ.get(account.auth_token_env, ""):
        return TwilioRest(account.sid, account.sid, token, base_url=base_url, region=account.region.value)
    return None


def routes_of(account: Account, base_url: str | None = None) -> TwilioRest | None:
    """Returns the client of an account for Twilio's REST API in the region `us1`. Only this API can set the region of a
    phone number. Returns None if the environment variable with the account's auth token is not set.
    """
    token = os.environ.get(account.us1_auth_token_env or account.auth_token_env, "")
    return TwilioRest(account.sid, account.sid, token, base_url=base_url) if token else None


@contextmanager
def reloaded_by_signal(numbers: LiveNumbers | None) -> Iterator[None]:
    """Reads the numbers file again when the process receives SIGHUP, during this block. If signals cannot be handled,
    the file is read again only when the file changes.
    """
    if numbers is None or numbers.path is None or not hasattr(signal, "SIGHUP"):
        yield
        return
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGHUP, numbers.request_reload)
    except (NotImplementedError, RuntimeError, ValueError, VirtualTimeError):
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
