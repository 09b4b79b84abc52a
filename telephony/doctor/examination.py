"""All checks, one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from realtime_core.sources import SYSTEM, Sources

from ..settings import Settings
from .findings import Finding
from .local import check_audio, check_journal_folder, check_model, check_settings
from .remote import Fetch, check_clock, check_key, check_public_url, check_twilio, fetch

__all__ = ["examine"]

_REFERENCE = "https://api.twilio.com/"
"""Asked for the time where PUBLIC_URL is our own machine, or silent."""


async def examine(environment: Mapping[str, str], *, get: Fetch = fetch, sources: Sources = SYSTEM) -> list[Finding]:
    """Everything that can be checked; settings that do not fit leave the rest for later."""
    settings, findings = check_settings(environment)
    findings += check_audio()
    if settings is None:
        return findings
    return [*findings, check_model(settings), check_journal_folder(settings), *await _ask(settings, get, sources)]


async def _ask(settings: Settings, get: Fetch, sources: Sources) -> list[Finding]:
    reached, answer = await check_public_url(settings, get)
    findings = [await check_key(settings, get), *await check_twilio(settings), reached]
    if settings.public_url is not None or settings.twilio_account_sid is not None:
        reference = await asyncio.to_thread(get, settings.telephony_twilio_api_url or _REFERENCE, {})
        findings.append(check_clock(reference if reference.status else answer, sources.now()))
    return findings
