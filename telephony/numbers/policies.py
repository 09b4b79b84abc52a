"""The sections of the numbers file about consent and recording. Pure. `telephony.call.consent` applies the policies."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ConsentConfig", "ConsentPolicy", "Otherwise", "Part", "RecordingConfig", "Text"]

Text = str | dict[str, str]
"""A text, or a mapping from languages to texts."""


class ConsentPolicy(StrEnum):
    """The parties that must agree to a recording."""

    NONE = "none"
    """No consent is needed: the call is recorded from its start, without a notice."""
    ONE_PARTY = "one-party"
    """The consent of one party is sufficient, and this application is that party. A notice is played if the
    configuration contains a notice.
    """
    TWO_PARTY = "two-party"
    """All parties must agree. The configuration must contain a notice. A caller who hears the notice and stays on the
    line has agreed.
    """


class Otherwise(StrEnum):
    """The action after the caller refuses the recording, or if a required recording cannot be written."""

    CONTINUE = "continue"
    """The call continues without a recording."""
    TRANSFER = "transfer"
    FALLBACK = "fallback"
    """The caller hears an apology. Then the steps of `fallback` begin, if the number has such steps."""
    HANG_UP = "hang-up"


class Part(BaseModel):
    """The base class of the sections of the configuration. A section is immutable, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)


class ConsentConfig(Part):
    """The settings for the callers' consent to a recording."""

    policy: ConsentPolicy = ConsentPolicy.NONE
    notice: Text | Path | None = None
    """The notice: words that the agent says, words for each language, or an audio file (`{ file = "notice.wav" }`). The
    default is a notice in the language of the call.
    """
    text: Text = ""
    """The words that are spoken in the audio file, if `notice` is an audio file. The call record contains these words
    as evidence.
    """
    asks: bool = False
    """Whether the caller must agree. If true, the call is recorded only after the caller has said yes or pressed
    `accept_key`.
    """
    answer_s: float = Field(default=15.0, gt=0)
    accept_key: str = "1"
    refuse_key: str = "9"
    refusals: tuple[str, ...] = ()
    on_refusal: Otherwise = Otherwise.CONTINUE
    transfer: str = ""
    """The name of the transfer target for callers who refuse the recording."""
    discloses_ai: bool = False
    """Whether the notice tells the caller that an AI speaks."""


class RecordingConfig(Part):
    """The settings for the recording of calls."""

    enabled: bool = True
    """Whether calls have journals. Journals also need the setting `TELEPHONY_JOURNAL_DIR`."""
    twilio: bool = False
    """Whether Twilio also records calls."""
    required: bool = False
    """Whether a call must be recorded."""
    otherwise: Otherwise = Otherwise.HANG_UP
    """The action if a required recording cannot be written."""
