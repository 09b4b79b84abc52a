"""The journal that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .format import Journal
from .redaction import Redaction, redaction
from .store import JOURNALS
from .writer import open_journal

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["journal_for", "redaction_of"]


def journal_for(settings: Settings, call_sid: str) -> Journal:
    """A journal for a call: `<TELEPHONY_JOURNAL_DIR>/<call sid>/journal.jsonl`, or none."""
    folder = settings.telephony_journal_dir
    safe = "".join(c for c in call_sid if c.isalnum())[:64] or "unknown"
    path = None if folder is None else folder / safe / JOURNALS[0]
    return open_journal(path, redaction=redaction_of(settings), compress=settings.telephony_journal_compress)


def redaction_of(settings: Settings) -> Redaction:
    """What the settings say that no journal may hold; every secret of theirs is among it."""
    secrets = [value for _, value in settings if hasattr(value, "get_secret_value")]
    return redaction(
        on=settings.telephony_redact,
        secrets=[secret.get_secret_value() for secret in secrets],
        patterns=settings.telephony_redact_patterns,
        audio=settings.telephony_redact_audio,
    )
