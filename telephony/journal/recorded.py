"""A recorded call: what the records say, gathered in one pass. Pure.

Everything is put on one clock, that of the caller's audio (milliseconds since `start`). A frame is sent when its last
sample was said, so a record that Twilio does not stamp happened at the end of the frame that arrives at that moment.
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
"""(item id, content index) of one audio part."""


@dataclass(slots=True)
class Part:
    """One audio part of the agent, as the model sent it. `chunks` are in the session's output format."""

    item_id: str
    content_index: int
    response_id: str = ""
    chunks: list[bytes] = field(default_factory=list)
    transcript: str = ""
    complete: bool = False
    is_clip: bool = False
    """Not the model's: one chunk of mu-law."""


@dataclass(frozen=True, slots=True)
class Media:
    """One media message to Twilio: its place on the stream timeline, and what it was made of."""

    t: float
    position: int
    n_bytes: int
    crc32: int
    segments: tuple[Segment, ...]
    bed: tuple[str, int] | None = None
    """What lies under it: the digest of a clip, and from which sample of its loop on."""


@dataclass(slots=True)
class Speech:
    """The caller speaks, as the model's voice activity detection has it. `text` is the model's transcript, if any."""

    item_id: str
    started_t: float
    start_ms: float
    end_ms: float | None = None
    text: str = ""


@dataclass(slots=True)
class ToolCall:
    call_id: str
    name: str
    arguments: str
    t: float
    end_t: float | None = None
    output: str = ""
    error: str = ""
    """What it failed with."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """The agent was cut off. `heard` is (part, ms) for what was playing or queued; `position` is where the stream fell
    silent, where the journal says so."""

    t: float
    item_id: str
    position: int | None
    heard: tuple[tuple[PartId, float], ...]
    truncations: tuple[tuple[PartId, int], ...]
    cause: CutCause = CutCause.CALLER


@dataclass(slots=True)
class Mark:
    """A mark: sent at `t`, back at `back_t`; `flushed` where a `clear` sent it back, not the playout."""

    name: str
    t: float
    back_t: float | None = None
    flushed: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the call did of its own accord, was asked to do by users' code, or was told: a `timer`, a
    `control`, a request by `rest`, a `callback`, a `stream` that begins, a `handoff` to another agent."""

    t: float
    kind: Literal["timer", "control", "rest", "callback", "stream", "handoff"]
    text: str


@dataclass(frozen=True, slots=True)
class Key:
    """A key that the caller pressed."""

    t: float
    digit: str


@dataclass(slots=True)
class Stream:
    """One media stream: its timestamp 0 is `at` (samples) of the call. What was sent up to `sent`, and lies behind
    `heard`, nobody heard: then the stream was over (None: the call was, too)."""

    sid: str
    at: int
    begin_t: float
    end_t: float | None = None
    heard: int | None = None
    sent: int = 0


@dataclass(slots=True)
class RecordedCall:
    """What a journal says. Times named `t` are seconds of the journal's own clock: `ms` puts them on the call's."""

    header: Mapping[str, Any] = field(default_factory=dict)
    caller: bytearray = field(default_factory=bytearray)
    """The caller's audio, mu-law, from media timestamp 0 of the first stream on; 0xFF where nothing came."""
    streams: list[Stream] = field(default_factory=list)
    clips: dict[str, bytes] = field(default_factory=dict)
    frames: int = 0
    gaps: int = 0
    """How often the caller's timestamps jumped."""
    parts: dict[PartId, Part] = field(default_factory=dict)
    media: list[Media] = field(default_factory=list)
    runs: dict[int, float] = field(default_factory=dict)
    """Stream position -> when (ms) it was heard, for each run of unbroken playout."""
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
    """Records that do not hold what their kind should, such as messages of a peer that the call itself had to skip."""
    reached_model: bool = False
    """Did the model open a session?"""
    output_format: str = "audio/pcm"
    input_format: str = "audio/pcm"
    lag_s: float = 0.0
    """The smallest difference between a frame's arrival and its end."""

    def ms(self, t: float) -> float:
        """A time of the journal on the call's clock."""
        return max(0.0, (t - self.lag_s) * 1000)

    @property
    def duration_ms(self) -> float:
        return len(self.caller) / 8
