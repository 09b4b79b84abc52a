"""The data of a recorded call, collected from its journal (see `collector`). Pure.

All times are on the clock of the caller's audio: milliseconds since the `start` message. The journal contains only the
arrival time of most messages. Twilio sends a frame when the last sample of the frame is recorded. Therefore a message
that arrives together with a frame gets the time at which this frame ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .cuts import CutCause
from .format import Record, Segment

__all__ = [
    "Interruption", "Key", "Mark", "Media", "Note", "Part", "PartId", "RecordedCall", "Speech", "Stream", "ToolCall",
]  # fmt: skip

PartId = tuple[str, int]
"""The key of one audio part of the agent: the id of its conversation item, and its index in the item."""


@dataclass(slots=True)
class Part:
    """One piece of audio in a recorded call: a content part of an item of the model, a clip, or speech of a supervisor.
    `chunks` is the audio. Audio of the model is in the session's output format.
    """

    item_id: str
    content_index: int
    response_id: str = ""
    chunks: list[bytes] = field(default_factory=list)
    transcript: str = ""
    complete: bool = False
    is_clip: bool = False
    """Whether this audio comes from a clip or from a supervisor, and not from the model. Such audio is mu-law."""
    is_supervisor: bool = False
    """Whether the part is the voice of a supervisor. The transcript is empty if the words are not known."""


@dataclass(frozen=True, slots=True)
class Media:
    """One media message with audio that was sent to Twilio. `position` is the number of samples that were sent before
    it. `segments` are the pieces of its audio, each from one answer or clip.
    """

    t: float
    position: int
    n_bytes: int
    crc32: int | None
    """The checksum of the audio. None if the audio belongs to a part of the call that was not recorded."""
    segments: tuple[Segment, ...]
    bed: tuple[str, int] | None = None
    """The clip that plays in a loop under the speech, or None. The pair has the digest of the clip, and the index of
    the clip's sample with which this message begins.
    """


@dataclass(slots=True)
class Speech:
    """Speech of the caller, as the model detected it. `text` is the model's transcript, or empty."""

    item_id: str
    started_t: float
    start_ms: float
    end_ms: float | None = None
    text: str = ""


@dataclass(slots=True)
class ToolCall:
    """One tool call of the model in a recorded call."""

    call_id: str
    name: str
    arguments: str
    t: float
    end_t: float | None = None
    output: str = ""
    error: str = ""
    """The error of a tool that failed."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """An interruption of the agent. `heard` has (key of the part, milliseconds) for each audio part of the agent that
    was playing or queued: how much of the part the caller had heard. `position` is the position in the sent audio (in
    samples at 8 kHz) at which the agent became silent, or None if the journal does not contain it.
    """

    t: float
    item_id: str
    position: int | None
    heard: tuple[tuple[PartId, float], ...]
    truncations: tuple[tuple[PartId, int], ...]
    cause: CutCause = CutCause.CALLER


@dataclass(slots=True)
class Mark:
    """A mark that was sent to Twilio at `t` and returned at `back_t`, both in seconds. `flushed` is True if a `clear`
    message returned the mark before its audio was played.
    """

    name: str
    t: float
    back_t: float | None = None
    flushed: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """An event that is not speech: a time-out (`timer`), a request of users' code (`control`), a REST request (`rest`),
    a webhook (`callback`), a new media stream (`stream`), or a `handoff` to another agent.
    """

    t: float
    kind: Literal["timer", "control", "rest", "callback", "stream", "handoff"]
    text: str


@dataclass(frozen=True, slots=True)
class Key:
    """A key press of the caller."""

    t: float
    digit: str


@dataclass(slots=True)
class Stream:
    """One media stream of the call. It begins `at` samples (8 kHz) after the start of the first stream. At its end,
    `sent` samples had been sent to Twilio in the whole call. The caller never heard the samples from `heard` to `sent`,
    because the stream had ended. `heard` is None if the call ended with the stream.
    """

    sid: str
    at: int
    begin_t: float
    end_t: float | None = None
    heard: int | None = None
    sent: int = 0


@dataclass(slots=True)
class RecordedCall:
    """The content of one journal. Times with the name `t` are in seconds on the journal's clock. The method `ms`
    converts these times.
    """

    header: Mapping[str, Any] = field(default_factory=dict)
    caller: bytearray = field(default_factory=bytearray)
    """The caller's audio (mu-law) from media timestamp 0 of the first stream. The value is 0xFF where no frame
    arrived.
    """
    streams: list[Stream] = field(default_factory=list)
    clips: dict[str, bytes] = field(default_factory=dict)
    frames: int = 0
    gaps: int = 0
    """The number of gaps in the timestamps of the caller's audio."""
    parts: dict[PartId, Part] = field(default_factory=dict)
    media: list[Media] = field(default_factory=list)
    runs: dict[int, float] = field(default_factory=dict)
    """The time in milliseconds at which the caller heard the first sample of each run of playback (playback without a
    gap). The key is the number of samples that were sent on the media stream before this sample.
    """
    interruptions: list[Interruption] = field(default_factory=list)
    speech: list[Speech] = field(default_factory=list)
    tools: list[ToolCall] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    closes: list[Record] = field(default_factory=list)
    end: Mapping[str, Any] | None = None
    lost: int = 0
    malformed: int = 0
    """The number of malformed records in the journal. An example is a record of an invalid message from Twilio or the
    model.
    """
    reached_model: bool = False
    """Whether the model started a session."""
    output_format: str = "audio/pcm"
    input_format: str = "audio/pcm"
    lag_s: float = 0.0
    """How many seconds the clock of the caller's audio is behind the clock of the journal. The value is the smallest
    measured time from the end of a frame's audio to the arrival of this frame.
    """

    def ms(self, t: float) -> float:
        """Converts the time `t` of a journal record (in seconds) to the time of the call, in milliseconds since its
        `start` message. The time of the call is the clock of the caller's audio. It is `lag_s` seconds behind the clock
        of the journal.
        """
        return max(0.0, (t - self.lag_s) * 1000)

    @property
    def duration_ms(self) -> float:
        return len(self.caller) / 8
