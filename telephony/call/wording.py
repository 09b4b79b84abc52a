"""The language of the fixed texts and clips of one call. The language may change during the call."""

from __future__ import annotations

from ..locales.locale import Locale, english
from ..twilio.twiml import DEFAULT_VOICE, Voice

__all__ = ["Wording", "voice_of"]


class Wording:
    """The fixed texts and clips of one call. After a change of `locale`, all texts and clips are in the new
    language.
    """

    def __init__(self, locale: Locale) -> None:
        self.locale = locale

    def clip(self, name: str) -> bytes:
        """Returns the clip `name` (mu-law, 8 kHz) in the language of the call."""
        return self.locale.clips[name]

    def text(self, name: str, **values: str) -> str:
        """Returns the text `name`, which Twilio says, in the language of the call. `values` replace the placeholders of
        the text.
        """
        return self.locale.text(name, **values)

    @property
    def voice(self) -> Voice:
        """The voice with which Twilio says texts (the TwiML verb `<Say>`) in the language of the call."""
        return voice_of(self.locale)

    def introduction(self, caller: str, agent: str) -> str:
        """Returns the words that introduce a transferred caller if there is no summary: who calls, and which agent has
        spoken with the caller. `caller` is the number of the caller, and `agent` is the name of the agent. An empty
        number is left out.
        """
        comes = self.text("comes_from", number=" ".join(caller)) if caller else self.text("comes_from_hidden")
        return f"{comes} {self.text('spoke_with', agent=agent or self.text('assistant'))}"

    def instructions(self, given: str) -> str:
        """Returns instructions for the model in the language of the call. If `given` are English instructions of this
        package, their translation is returned. Any other text is returned unchanged.
        """
        own = english().instructions
        return next((self.locale.instructions[name] for name, text in own.items() if text == given), given)


def voice_of(locale: Locale) -> Voice:
    """Returns the voice of `<Say>` for a language. For the built-in English, the result is the default voice of the
    Twilio account.
    """
    return DEFAULT_VOICE if locale is english() else Voice(locale.say_language, locale.say_voice)
