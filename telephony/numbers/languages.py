"""Detects the language of a caller from the transcripts. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..locales.tags import base_of

__all__ = ["LanguageDetector"]

_WORDS = 4
"""The minimum number of words of a transcript that changes the language alone. A shorter transcript changes the
language only if the transcript before it is in the same language, because many short words belong to several languages.
"""


class LanguageDetector:
    """Decides when a call changes to another of the offered languages."""

    def __init__(self, offered: Sequence[str], language: str) -> None:
        self._offered = {base_of(tag): tag for tag in reversed(offered)}
        self.language = language
        self._last = ""

    def heard(self, transcript: str, languages: Sequence[str]) -> str | None:
        """Decides after a turn of the caller whether the call changes its language. `languages` are the languages that
        the transcription model reports for the transcript of this turn. Returns the new language of the call, or None
        if the language does not change.
        """
        found = self._offered.get(base_of(languages[0].lower())) if len(languages) == 1 else None
        before, self._last = self._last, found or ""
        if found is None or base_of(found) == base_of(self.language):
            return None
        if len(transcript.split()) < _WORDS and before != found:
            return None
        self.language = found
        return found
