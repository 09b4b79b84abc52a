"""Checks that the fallback URL of a number answers even if this server does not run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

from ..errors import NumbersFileError
from ..numbers.number_file import read_numbers
from ..settings import Settings
from .check_result import CheckResult, ok, warning, wrong
from .remote import Web

__all__ = ["check_fallbacks", "check_numbers_file"]

_ABOUT, _FILE = "fallback", "numbers"


def check_numbers_file(path: Path) -> tuple[list[CheckResult], list[str]]:
    """Checks the numbers file (`TELEPHONY_NUMBERS`). Returns the results, and the fallback URLs in the file."""
    try:
        config = read_numbers(path)
    except NumbersFileError as error:
        advice = "`telephony numbers check` shows the same. A server that runs keeps its old configuration."
        return [wrong(_FILE, problem, advice) for problem in error.problems], []
    results = [ok(_FILE, f"{path} has {len(config.numbers)} numbers")]
    without = [key for key, number in config.numbers.items() if not number.fallback_url]
    if without:
        message = (
            f"{len(without)} numbers have no fallback_url. Callers hear an error of Twilio while this server is down"
        )
        results.append(warning(_ABOUT, message, "Set fallback_url to a TwiML Bin or to another server."))
    return results, [number.fallback_url for number in config.numbers.values() if number.fallback_url]


async def check_fallbacks(settings: Settings, urls: Iterable[str], web: Web) -> list[CheckResult]:
    """Checks that each of these URLs is outside of this server and answers with TwiML that says or does something.

    The request comes from this machine, and not from Twilio's network.
    """
    own_host = urlsplit(settings.public_url or "").hostname
    results = []
    for url in dict.fromkeys(urls):
        if own_host is not None and urlsplit(url).hostname == own_host:
            advice = "Set it to a TwiML Bin or to a server on another machine."
            results.append(wrong(_ABOUT, f"{url} is this server itself, so it is down together with it", advice))
            continue
        answer = await asyncio.to_thread(web.get, url, {})
        if answer.status != 200:
            why = f"answers {answer.status}" if answer.status else f"does not answer: {answer.error}"
            results.append(wrong(_ABOUT, f"{url} {why}", "Correct fallback_url, or the server there."))
        elif not _is_twiml(answer.body):
            results.append(wrong(_ABOUT, f"{url} answers with something that is no TwiML", "Let it answer <Response>."))
        else:
            results.append(ok(_ABOUT, f"{url} answers without this server"))
    return results


def _is_twiml(body: bytes) -> bool:
    if b"<!" in body.replace(b"<!--", b""):
        return False
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - no DTD
    except ElementTree.ParseError:
        return False
    return root.tag == "Response" and len(root) > 0
