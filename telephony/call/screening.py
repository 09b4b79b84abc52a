"""Rules about callers: which calls are refused, when a call with a silent caller ends, and what happens in an
emergency. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from realtime_core.errors import UserError

from ..argument_types import Rule, check_fields, texts_of
from ..audio.files import Clip, load_words
from ..twilio.caller_id import is_withheld
from ..twilio.numbers import dialled, e164, legible
from ..twilio.phone_forms import forms_of_one_phone, main_form
from .call_info import CallInfo

__all__ = ["Emergency", "Screening", "has_phrase"]

_SHORT = re.compile(r"[0-9]{3,6}")
_ADDRESS = re.compile(r"(sips?|client):.+\*?")
FAILED_ATTESTATION = frozenset({"TN-Validation-Failed-A", "TN-Validation-Failed-B", "TN-Validation-Failed-C"})
"""The values of `StirVerstat` for a caller id whose signature is not valid. Source:
https://www.twilio.com/docs/voice/trusted-calling-with-shakenstir
"""

PHRASES: Mapping[str, Sequence[str]] = {
    "en": ("heart attack", "cannot breathe", "can't breathe", "is unconscious", "overdose", "kill myself", "suicide",
           "call an ambulance", "call nine one one", "call 911", "bleeding badly", "chest pain"),
    "de": ("herzinfarkt", "bekomme keine luft", "kriege keine luft", "ist bewusstlos", "überdosis", "umbringen",
           "selbstmord", "suizid", "krankenwagen", "notarzt", "rettungswagen"),
    "es": ("ataque al corazón", "no puedo respirar", "inconsciente", "sobredosis", "suicidarme", "suicidio",
           "una ambulancia", "infarto"),
    "fr": ("crise cardiaque", "peux pas respirer", "inconscient", "inconsciente", "overdose", "suicider", "suicide",
           "une ambulance", "infarctus"),
    "it": ("infarto", "non respiro", "non riesco a respirare", "privo di sensi", "overdose", "uccidermi", "suicidio",
           "un'ambulanza"),
}  # fmt: skip
LINES: Mapping[str, str] = {
    "en": "If this is an emergency, hang up now and call your local emergency number.",
    "de": "Wenn dies ein Notfall ist, legen Sie jetzt auf und wählen Sie den Notruf.",
    "es": "Si es una emergencia, cuelgue ahora y llame al número de emergencias.",
    "fr": "Si c'est une urgence, raccrochez maintenant et appelez le numéro d'urgence.",
    "it": "Se è un'emergenza, riagganci ora e chiami il numero di emergenza.",
}


@dataclass(frozen=True, slots=True)
class Emergency:
    """The action when a caller says one of `phrases`. The agent stops speaking immediately. Then the caller hears a
    fixed text, or is transferred.

    By default `phrases` contains phrases in five languages. A phrase is found if it occurs as whole words in the
    transcript of the caller.
    """

    transfer_to: str = ""
    """The number to which the caller is transferred. If the value is empty, the caller hears `line`, and the call
    continues.
    """
    line: Clip | str = ""
    """The words that the model says, or a clip: an audio file (its path or bytes), or mu-law at 8 kHz. The default is a
    sentence in the caller's language.
    """
    phrases: Sequence[str] = field(default_factory=lambda: [each for some in PHRASES.values() for each in some])

    def __post_init__(self) -> None:
        object.__setattr__(self, "phrases", texts_of("Emergency(phrases=...)", self.phrases))
        object.__setattr__(self, "line", load_words(self.line, "Emergency: line"))
        if not self.phrases:
            raise UserError("Emergency(phrases=[]) never applies: name the phrases, or leave them out for the default.")
        if self.transfer_to:
            object.__setattr__(self, "transfer_to", _target(self.transfer_to))

    def applies(self, text: str) -> bool:
        """Returns whether these words of the caller contain one of the phrases."""
        return has_phrase(text, self.phrases)


_RULES: Mapping[str, Rule] = {
    "needs_attestation": (bool, "True or False"),
    "withheld": (bool, "True or False"),
    "silent_s": (int | float | None, "a number of seconds"),
    "emergency": (Emergency | None, "an Emergency"),
}


@dataclass(frozen=True, slots=True)
class Screening:
    """The rules about callers.

    - `blocked`: the numbers that are refused, in E.164, and `sip:` and `client:` addresses. A number with `*` at the
      end is a prefix (`+1900*`).
    - `refuse_attestation`: the values of `StirVerstat` that are refused, such as `FAILED_ATTESTATION`.
    - `needs_attestation`: whether a caller without a value of `StirVerstat` is refused. Many honest calls have no such
      value.
    - `withheld`: whether a caller without a number is answered.
    - `silent_s`: the time in seconds after which the call ends if the caller has neither spoken nor pressed a key. The
      time counts from the start of the first media stream. With None, there is no limit.
    """

    blocked: Collection[str] = ()
    refuse_attestation: Collection[str] = ()
    needs_attestation: bool = False
    withheld: bool = True
    silent_s: float | None = None
    emergency: Emergency | None = None

    def __post_init__(self) -> None:
        """Normalizes the rules. Raises `UserError` for a rule that can never apply."""
        check_fields("Screening", _RULES, self)
        object.__setattr__(
            self, "refuse_attestation", texts_of("Screening(refuse_attestation=...)", self.refuse_attestation)
        )
        given = [self.blocked] if isinstance(self.blocked, str) else self.blocked
        try:
            object.__setattr__(self, "blocked", tuple(_rule(each) for each in given))
        except (TypeError, ValueError) as error:
            raise UserError(f"Screening(blocked=...): write a list of numbers: {error}.") from None

    def refusal(self, info: CallInfo) -> str:
        """Returns the reason why this call is refused, as one word, or an empty text if the call is answered."""
        caller = info.caller
        if any(_matches(caller, rule) for rule in self.blocked):
            return "blocked"
        if not self.withheld and (is_withheld(caller) or not re.fullmatch(r"\+?\d{3,}|sips?:.+|client:.+", caller)):
            return "withheld"
        if info.stir_verstat in self.refuse_attestation:
            return "attestation"
        return "attestation" if self.needs_attestation and not info.stir_verstat else ""


def _rule(given: object) -> str:
    """Returns a rule about blocked callers as it is compared: a number in E.164, the beginning of such a number with
    `*`, a short number, or an address. Raises `ValueError` for a rule that no caller of Twilio matches.
    """
    rule = legible(given)
    if _ADDRESS.fullmatch(rule) or _SHORT.fullmatch(rule):
        return rule
    if not rule.endswith("*"):
        return e164(rule)
    prefix = re.sub(r"[ ().-]", "", rule[:-1])
    if not re.fullmatch(r"\+[0-9]*", prefix):
        raise ValueError(f"{rule!r}: write the first digits with the country code, like +1900*")
    return f"{prefix}*"


def _matches(caller: str, rule: str) -> bool:
    """Returns whether the rule is about this caller. A rule about a number is about all numbers of its phone."""
    if rule.endswith("*"):
        return any(form.startswith(rule[:-1]) for form in forms_of_one_phone(caller))
    return main_form(caller) == main_form(rule)


def _target(number: object) -> str:
    """Returns the target of a transfer: a number in E.164, a `sip:` address, or a short number such as `112`."""
    try:
        short = legible(number)
        return short if _SHORT.fullmatch(short) else dialled(number)
    except ValueError as error:
        raise UserError(f"Emergency(transfer_to=...): {error}.") from None


def has_phrase(text: str, phrases: Collection[str]) -> bool:
    """Returns whether the text contains one of the phrases, as whole words. Case, accents and punctuation are
    ignored.
    """
    words = f" {_plain(text)} "
    return any(f" {_plain(phrase)} " in words for phrase in phrases if phrase)


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.lower().replace("’", "'").replace("ß", "ss"))
    return " ".join(re.findall(r"[\w']+", "".join(c for c in letters if not unicodedata.combining(c))))
