"""The language of one call, which may change during the call."""

from __future__ import annotations

from ..locales.locale import Locale, english
from ..twilio.twiml import DEFAULT_VOICE, Voice

__all__ = ["Wording", "voice_of"]


class Wording:
    """The fixed texts and clips of one call. Everything that is said after a change of `locale` is in its language."""

    def __init__(self, locale: Locale) -> None:
        self.locale = locale

    def clip(self, name: str) -> bytes:
        """A clip (mu-law, 8 kHz)."""
        return self.locale.clips[name]

    def text(self, name: str, **values: str) -> str:
        """A text that Twilio says."""
        return self.locale.text(name, **values)

    @property
    def voice(self) -> Voice:
        """The voice of `<Say>`."""
        return voice_of(self.locale)

    def introduction(self, caller: str, agent: str) -> str:
        """Returns the introduction of a call without a summary: who calls, and who has spoken with the caller. An empty
        number is not shown.
        """
        comes = self.text("comes_from", number=" ".join(caller)) if caller else self.text("comes_from_hidden")
        return f"{comes} {self.text('spoke_with', agent=agent or self.text('assistant'))}"

    def instructions(self, given: str) -> str:
        """Instructions for the model. Our own English instructions are replaced by the instructions of the language."""
        own = english().instructions
        return next((self.locale.instructions[name] for name, text in own.items() if text == given), given)


def voice_of(locale: Locale) -> Voice:
    """Returns the voice of `<Say>` in a language. In the English that ships, it is the voice of the account."""
    return DEFAULT_VOICE if locale is english() else Voice(locale.say_language, locale.say_voice)
