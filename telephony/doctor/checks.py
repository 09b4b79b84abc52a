"""Runs all checks of `telephony doctor` (the command that checks an installation), one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from realtime_core.sources import SYSTEM, Sources

from ..settings import Settings
from .account import check_twilio
from .check_result import CheckResult
from .fallback import check_fallbacks, check_numbers_file
from .local import check_audio, check_journal_folder, check_journal_storage, check_model, check_settings
from .records import check_records
from .remote import WEB, Web, check_address, check_clock, check_key

__all__ = ["run_checks"]

_REFERENCE = "https://api.twilio.com/"
"""The server whose clock is compared with the local clock."""


async def run_checks(
    environment: Mapping[str, str],
    *,
    to: str | None = None,
    model_key: bool = False,
    web: Web = WEB,
    sources: Sources = SYSTEM,
) -> list[CheckResult]:
    """Runs all checks of the command `telephony doctor`, and returns the results. If the settings are invalid, the
    checks that need the settings are skipped.

    With `to`, also checks whether this phone number may be called. With `model_key`, also checks the API key of the
    model. `web` makes the HTTP requests, and `sources` has the clock. Tests replace both.
    """
    settings, results = check_settings(environment)
    results += check_audio()
    if settings is None:
        return results
    results += [check_model(settings), await check_journal_folder(settings), *await check_journal_storage(settings)]
    results.append(await check_records(settings, sources))
    results += await check_key(settings, web.get, sources.now().date(), wanted=model_key)
    results += await check_twilio(settings, to=to)
    if settings.telephony_numbers is not None:
        about, urls = await asyncio.to_thread(check_numbers_file, settings.telephony_numbers)
        results += [*about, *await check_fallbacks(settings, urls, web)]
    address, answer = await check_address(settings, web)
    results += address
    if settings.public_url is not None or settings.twilio_account_sid is not None:
        reference = await asyncio.to_thread(web.get, _reference(settings), {})
        results.append(check_clock(reference if reference.status else answer, sources.now()))
    return results


def _reference(settings: Settings) -> str:
    return settings.telephony_twilio_api_url or _REFERENCE
