"""The policies of a number about consent and recording, in the form of the file. Pure. `telephony.call.consent` carries
them out.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ConsentConfig", "ConsentPolicy", "Otherwise", "Part", "RecordingConfig", "Text"]

Text = str | dict[str, str]
"""A text, or one text for each language."""


class ConsentPolicy(StrEnum):
    """Who has to agree to a recording."""

    NONE = "none"
    """No consent is needed: the call is recorded from its start, without a notice."""
    ONE_PARTY = "one-party"
    """The consent of one party is enough. We are that party. A notice is played if the configuration has one."""
    TWO_PARTY = "two-party"
    """All parties have to agree. A notice is needed. A caller who hears the notice and stays on the line has agreed."""


class Otherwise(StrEnum):
    """What happens to a call after the caller refuses the recording, or if a required recording cannot be written."""

    CONTINUE = "continue"
    """The call continues, and is not recorded."""
    TRANSFER = "transfer"
    FALLBACK = "fallback"
    """The caller hears an apology. Then the steps of `fallback` follow, if the number has any."""
    HANG_UP = "hang-up"


class Part(BaseModel):
    """A part of the configuration. It cannot be changed, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class ConsentConfig(Part):
    """The consent of callers to a recording."""

    policy: ConsentPolicy = ConsentPolicy.NONE
    notice: Text | Path | None = None
    """The notice: words that the agent says, words for each language, or an audio file (`{ file = "notice.wav" }`).
    Default: a notice in the language of the call."""
    text: Text = ""
    """The words of the audio file of `notice`. The call record has them as evidence."""
    asks: bool = False
    """True means that the call is recorded only after the caller has said yes or pressed `accept_key`."""
    answer_s: float = Field(default=15.0, gt=0)
    accept_key: str = "1"
    refuse_key: str = "9"
    refusals: tuple[str, ...] = ()
    on_refusal: Otherwise = Otherwise.CONTINUE
    transfer: str = ""
    """The name of the transfer target for callers who refuse."""
    discloses_ai: bool = False
    """Whether the caller hears that an AI speaks."""


class RecordingConfig(Part):
    """The recording of calls."""

    enabled: bool = True
    """Whether calls have journals. Journals also need the setting `TELEPHONY_JOURNAL_DIR`."""
    twilio: bool = False
    """Whether Twilio records calls, too."""
    required: bool = False
    """Whether a call must be recorded."""
    otherwise: Otherwise = Otherwise.HANG_UP
    """What happens if a required recording cannot be written."""
