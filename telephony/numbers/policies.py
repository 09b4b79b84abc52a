"""The policies of a number that other parts carry out: consent and recording. Pure."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

__all__ = ["Consent", "ConsentPolicy", "OnRefusal", "OnUnrecorded", "Part", "RecordPolicy", "Recording", "Text"]

Text = str | dict[str, str]
"""A text, or one text for each language."""


class ConsentPolicy(StrEnum):
    """Who has to know that a call is recorded."""

    NONE = "none"
    """The call is recorded without a notice."""
    ONE_PARTY = "one-party"
    """The caller hears the notice, and the call is recorded after it."""
    TWO_PARTY = "two-party"
    """The caller hears the notice, and the call is recorded after it unless the caller refuses."""


class OnRefusal(StrEnum):
    """What follows when a caller refuses the recording."""

    CONTINUE = "continue"
    """The call goes on without a recording."""
    TRANSFER = "transfer"
    """The caller is transferred to the target `transfer`."""


class RecordPolicy(StrEnum):
    """Whether calls are recorded."""

    OFF = "off"
    ALLOWED = "allowed"
    """Calls are recorded where it is possible."""
    REQUIRED = "required"
    """A call that cannot be recorded follows `OnUnrecorded`."""


class OnUnrecorded(StrEnum):
    """What follows when a recording is required and cannot be written."""

    FALLBACK = "fallback"
    """The caller goes to the fallback of the number."""
    HANG_UP = "hang-up"
    """The caller hears an apology, and the call ends."""
    CONTINUE = "continue"
    """The call goes on, and the reason is in its record."""


class Part(BaseModel):
    """A part of the configuration. It cannot be changed, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True)


class Consent(Part):
    """The consent to a recording."""

    policy: ConsentPolicy = ConsentPolicy.NONE
    notice: Text | Path | None = None
    """The notice: a text, a text for each language, or an audio file. Default: the text of the language."""
    on_refusal: OnRefusal = OnRefusal.CONTINUE
    transfer: str = ""
    """The name of the transfer target of a caller who refuses."""
    says_ai: bool = False
    """Whether the agent says at the start that it is an AI."""


class Recording(Part):
    """The recording of calls."""

    journal: RecordPolicy = RecordPolicy.ALLOWED
    """Our own journal of the call, where `TELEPHONY_JOURNAL_DIR` is set."""
    twilio: RecordPolicy = RecordPolicy.OFF
    """Twilio's recording of the call."""
    on_unrecorded: OnUnrecorded = OnUnrecorded.FALLBACK
