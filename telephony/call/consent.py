"""The consent policy of a call: the notice about the recording, the answer of the caller, and the action after a
refusal. Pure.

Some laws require the consent of one party of the call to a recording, other laws require the consent of all parties.
This module applies the policy that the user has chosen, and contains no knowledge of the laws.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from realtime_core import user_code
from realtime_core.errors import UserError

from ..argument_types import Rule, check_fields, texts_of
from ..audio.files import Clip, load_words
from ..numbers.policies import ConsentPolicy, Otherwise
from ..twilio.numbers import dialled
from .call_info import CallInfo
from .screening import has_phrase

__all__ = [
    "Answer",
    "Consent",
    "ConsentEvidence",
    "ConsentPolicy",
    "ConsentSource",
    "Otherwise",
    "consent_of",
    "language_of",
]

Texts = str | Mapping[str, str]


class Answer(StrEnum):
    """The caller's reaction to the notice that the call is recorded."""

    NONE = ""
    """The caller has not answered yet."""
    STAYED = "stayed"
    """The caller counts as having agreed, because the caller stayed on the line after the whole notice, or because no
    notice is required.
    """
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNHEARD = "unheard"
    """The caller did not hear the notice to its end, so nothing is recorded."""


_REFUSALS: Mapping[str, Sequence[str]] = {
    "en": ("do not record", "don't record", "no recording", "not be recorded", "not to be recorded", "stop recording",
           "stop the recording", "without recording"),
    "de": ("nicht aufzeichnen", "nicht aufnehmen", "nicht mitschneiden", "keine aufzeichnung", "keine aufnahme",
           "kein mitschnitt", "nicht aufgezeichnet", "nicht aufgenommen"),
    "es": ("no grabe", "no me grabe", "no me graben", "no quiero que me graben", "no quiero que se grabe",
           "no quiero ser grabado", "no quiero ser grabada", "no deseo ser grabado", "no deseo ser grabada",
           "sin grabar", "no grabar"),
    "fr": ("n'enregistrez pas", "ne m'enregistrez pas", "pas d'enregistrement", "ne pas enregistrer",
           "pas être enregistré", "pas être enregistrée", "sans enregistrement"),
    "it": ("non registrare", "non registri", "non registrate", "non mi registri", "non mi registrate",
           "non voglio essere registrato", "non voglio essere registrata", "nessuna registrazione"),
}  # fmt: skip
_YES: Mapping[str, Sequence[str]] = {
    "en": ("yes", "yeah", "yep", "i agree", "ok", "okay", "sure", "fine", "of course", "go ahead"),
    "de": ("ja", "jawohl", "einverstanden", "in ordnung", "okay", "ok", "gern", "gerne", "natürlich"),
    "es": ("sí", "si", "de acuerdo", "vale", "acepto", "claro", "por supuesto", "está bien"),
    "fr": ("oui", "ouais", "d'accord", "j'accepte", "bien sûr", "volontiers", "ok"),
    "it": ("sì", "si", "va bene", "d'accordo", "accetto", "certo", "volentieri", "ok"),
}
_NO: Mapping[str, Sequence[str]] = {
    "en": ("no", "nope", "i disagree", "rather not", "prefer not"),
    "de": ("nein", "nö", "nicht einverstanden", "lieber nicht", "möchte ich nicht", "will ich nicht"),
    "es": ("no",),
    "fr": ("non", "pas d'accord", "n'accepte pas", "préfère pas"),
    "it": ("no", "non sono d'accordo", "non accetto", "non va bene", "preferisco di no"),
}
_I_AM_AN_AI: Mapping[str, str] = {
    "en": "You are speaking with an AI assistant.",
    "de": "Sie sprechen mit einem KI-Assistenten.",
    "es": "Está hablando con un asistente de inteligencia artificial.",
    "fr": "Vous parlez avec un assistant d'intelligence artificielle.",
    "it": "Sta parlando con un assistente di intelligenza artificiale.",
}


_RULES: Mapping[str, Rule] = {
    "notice": (str | bytes | Path | Mapping | None, "words, a clip, or a mapping from languages to such values"),
    "text": (str | Mapping, "words, or a mapping from languages to words"),
    "answer_s": (int | float, "a number of seconds"),
    "accept_key": (str, "a key"),
    "refuse_key": (str, "a key"),
    "disclosure": (str | bytes | Path | Mapping | None, "words, a clip, or a mapping from languages to such values"),
} | dict.fromkeys(
    ("asks", "discloses_ai", "records", "records_at_twilio", "requires_recording"), (bool, "True or False")
)


def language_of(tag: str) -> str:
    """Returns the language of a language tag in lower case, for example `de` for `de-AT`. Returns `en` for an empty
    tag.
    """
    return re.split("[-_]", tag)[0].lower() or "en"


@dataclass(frozen=True, slots=True)
class Consent:
    """The consent policy for the calls of one phone number, or of all numbers of an application.

    The caller hears `notice` before anything is recorded. A notice is a text that the model says, or a clip. A mapping
    has one notice for each language (`{"en": ..., "de": ...}`). A caller with another language hears the English
    notice. `text` has the words of a clip, as evidence for the call record. The caller cannot interrupt the notice.

    Raises `UserError` if two fields contradict each other or if a required field is missing, and `AudioFileError` for
    an unusable clip.
    """

    policy: ConsentPolicy | str = ConsentPolicy.NONE
    notice: Clip | str | Mapping[str, Clip | str] | None = None
    text: Texts = ""
    asks: bool = False
    """Whether the caller must agree. If True, the call is recorded only after the caller has said yes or pressed
    `accept_key`.
    """
    answer_s: float = 15.0
    """The time limit for the caller's answer, in seconds. If the caller gives no answer in this time, the caller has
    refused.
    """
    accept_key: str = "1"
    refuse_key: str = "9"
    """The key with which the caller can refuse the recording at any time of the call. If the value is empty, no key
    refuses the recording.
    """
    refusals: Sequence[str] = ()
    """Additional phrases with which a caller refuses the recording. Phrases in five languages are built in."""
    on_refusal: Otherwise | str = Otherwise.CONTINUE
    transfer_to: str = ""
    """The number to which the caller is transferred after a refusal, if the action is `transfer`."""
    discloses_ai: bool = False
    """Whether the notice tells the caller that an AI speaks."""
    disclosure: Clip | str | Mapping[str, Clip | str] | None = None
    """The words or the clip that tell the caller that an AI speaks, used if `discloses_ai` is True. Default: a sentence
    in five languages, which the model says.
    """
    records: bool = True
    """Whether calls are recorded. If False, no notice is played, and journals do not contain the conversation."""
    records_at_twilio: bool = False
    """Whether Twilio also records the call."""
    requires_recording: bool = False
    """Whether the call must have a journal. If `records_at_twilio` is True, the call must also have a Twilio
    recording.
    """
    without_recording: Otherwise | str = Otherwise.HANG_UP
    """The action if a recording is required (`requires_recording`) and cannot be written, for example `hang-up` or
    `transfer`. A text must be a value of `Otherwise`.
    """

    def __post_init__(self) -> None:
        for name, kind in (("policy", ConsentPolicy), ("on_refusal", Otherwise), ("without_recording", Otherwise)):
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, kind(value))
            except ValueError:
                names = ", ".join(each.value for each in kind)
                raise UserError(f"Consent({name}={value!r}): write one of {names}.") from None
        object.__setattr__(self, "refusals", texts_of("Consent(refusals=...)", self.refusals))
        check_fields("Consent", _RULES, self)
        for name in ("notice", "disclosure"):
            object.__setattr__(self, name, _loaded(getattr(self, name), f"Consent: {name}"))
        if self.policy is ConsentPolicy.TWO_PARTY and not self.notice:
            raise UserError("Consent(policy='two-party') needs a notice: words that the model says, or a clip.")
        if self.asks and not self.notice:
            raise UserError("Consent(asks=True) needs a notice that asks the caller.")
        if Otherwise.TRANSFER in (self.on_refusal, self.without_recording) and not self.transfer_to:
            raise UserError("Consent: a transfer needs transfer_to, a number like '+14155550123'.")
        if self.transfer_to:
            try:
                object.__setattr__(self, "transfer_to", dialled(self.transfer_to))
            except ValueError as error:
                raise UserError(f"Consent(transfer_to=...): {error}.") from None

    @property
    def has_notice(self) -> bool:
        """Whether the caller hears a notice before the greeting."""
        return self.records and self.policy is not ConsentPolicy.NONE and bool(self.notice)

    def lines(self, language: str) -> list[tuple[str, bytes | None]]:
        """Returns the sentences that the caller hears before the greeting in this language, in order, each as (words,
        clip). The clip is mu-law at 8 kHz. If the clip is None, the model says the words.
        """
        lines = []
        if self.discloses_ai:
            lines.append(_line(_in(self.disclosure or _I_AM_AN_AI, language), ""))
        if self.has_notice:
            lines.append(_line(_in(self.notice, language), str(_in(self.text, language) or "")))
        return lines

    def refuses(self, text: str) -> bool:
        """Returns whether the caller refuses the recording with these words, in any language with built-in phrases."""
        return has_phrase(text, [*self.refusals, *(phrase for phrases in _REFUSALS.values() for phrase in phrases)])

    def answer(self, text: str, language: str) -> Answer:
        """Returns how the words `text` of the caller answer the question whether the call may be recorded. `language`
        is the language of the call, such as `de`, and selects the phrases that mean yes or no.
        """
        language = language_of(language)
        if self.refuses(text) or has_phrase(text, _NO.get(language, _NO["en"])):
            return Answer.REFUSED
        return Answer.ACCEPTED if has_phrase(text, _YES.get(language, _YES["en"])) else Answer.NONE


ConsentSource = Consent | Mapping[str, Consent] | Callable[[CallInfo], Consent | None]
"""The consent policy of all calls, a mapping from called numbers to policies, or a function that returns the policy of
a call.
"""


def consent_of(source: ConsentSource | None, info: CallInfo) -> Consent | None:
    """Returns the consent policy of this call, or None if no policy applies.

    Raises:
        UserError: the value for the call is no policy.
        Exception: the function of the application raised this exception.
    """
    if source is None or isinstance(source, Consent):
        return source
    found = source.get(info.called) if isinstance(source, Mapping) else user_code.call_now(source, info)
    if found is not None and not isinstance(found, Consent):
        raise UserError(f"The consent policy of a call must be a Consent or None, not {type(found).__name__}.")
    return found


@dataclass(slots=True)
class ConsentEvidence:
    """The evidence about the caller's consent to the recording of one call: what the caller heard as a notice, and how
    and when the caller answered. The call record contains the evidence.
    """

    policy: str
    language: str
    notice: str = ""
    """The words of the notice."""
    said: str = ""
    """The words that the model said as the notice, from the transcript of the model. The text is empty if the notice is
    a clip.
    """
    clip: str = ""
    """The first 16 hexadecimal digits of the SHA-256 hash of the clip (mu-law). The text is empty if the model said the
    notice.
    """
    discloses_ai: bool = False
    heard: bool = False
    """Whether the caller heard the notice to its end, as proved by Twilio's marks."""
    position: int | None = None
    """The position in the audio that the call has sent, in samples (8 kHz), at which the caller had heard the whole
    notice. None if the caller has not heard the whole notice.
    """
    heard_at: str = ""
    answer: str = Answer.NONE
    by: str = ""
    """The way in which the caller answered: `word` (spoken words), `key`, `tool` (the model called a tool), `silence`
    (no answer in time), or `staying` (no answer was required, and the caller did not hang up). The text is empty if
    there is no answer.
    """
    answered_at: str = ""
    recording: str = ""
    """The SID of the Twilio recording."""
    problem: str = ""
    """The reason why a required recording was not written."""
    notices: int = field(default=0)
    """The number of times that the notice about the recording began to play."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _in(given: Any, language: str) -> Any:
    """Returns the value of a setting for this language. A value that is not a mapping is valid for every language."""
    if not isinstance(given, Mapping):
        return given
    for tag in (language, language_of(language), "en"):
        if tag in given:
            return given[tag]
    return next(iter(given.values()), None)


def _loaded(given: Any, what: str) -> Any:
    """Returns a notice, or the notices by language, with each clip as mu-law."""
    if isinstance(given, Mapping):
        return {tag: _loaded(each, f"{what} {tag!r}") for tag, each in given.items()}
    return None if given is None else load_words(given, what)


def _line(line: bytes | str, text: str) -> tuple[str, bytes | None]:
    return (line, None) if isinstance(line, str) else (text, line)
