"""The check before dialing: a function of the user, or a URL, decides whether the call to a contact is still wanted."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any

from realtime_core import user_code

from ..errors import CampaignError
from ..webhook_target import check_url
from .contact import Contact
from .runner import Check

__all__ = ["check_of", "is_url"]

_WITHIN_S = 10.0
_MAX_ANSWER = 10_000


def is_url(check: str) -> bool:
    return "://" in check


def check_of(check: str | None, load: Callable[[str], Any]) -> Check | None:
    """Returns the function that checks before each call of a campaign whether the call is still wanted, or None if the
    campaign has no check.

    `check` is a URL, or a name `module:function` that `load` can load. A URL gets a POST request with the contact as
    JSON (`id`, `number`, `data`), and must answer `{"wanted": true}` or `{"wanted": false}`. A function gets the
    `Contact` and returns a bool. The function may be a coroutine function. After any other answer the call is not made
    now, and the check is repeated later.

    Raises:
        CampaignError: the URL is not allowed, or the name is not the name of a function.
    """
    if check is None:
        return None
    if is_url(check):
        try:
            return _asking(check_url(check))
        except ValueError as error:
            raise CampaignError(f"check: {error}") from None
    function = load(check)
    if not callable(function):
        raise CampaignError(f"check: {check} is not a function")
    return _calling(function)


def _calling(function: Callable[[Contact], Any]) -> Check:
    async def is_wanted(contact: Contact) -> bool:
        is_async = inspect.iscoroutinefunction(function)
        work = user_code.called(function, contact) if is_async else user_code.in_thread(function, (contact,), {})
        wanted = await user_code.within(work, _WITHIN_S)
        if not isinstance(wanted, bool):
            raise CampaignError(f"the check returned {wanted!r}: return True or False")
        return wanted

    return is_wanted


def _asking(url: str) -> Check:
    async def is_wanted(contact: Contact) -> bool:
        import httpx2

        contact_json = {"id": contact.id, "number": contact.number, "data": dict(contact.data)}
        body, headers = json.dumps(contact_json, default=str), {"content-type": "application/json"}
        try:
            async with asyncio.timeout(_WITHIN_S), httpx2.AsyncClient(follow_redirects=False) as http:
                response = await http.post(url, content=body, headers=headers)
                wanted = json.loads(response.content[:_MAX_ANSWER])["wanted"] if response.is_success else None
        except (httpx2.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            raise CampaignError(f"the check has no usable answer: {type(error).__name__}") from error
        if not isinstance(wanted, bool):
            raise CampaignError(f'the check answered {response.status_code} without {{"wanted": true or false}}')
        return wanted

    return is_wanted
