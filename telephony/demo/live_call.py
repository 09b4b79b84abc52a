"""The state of a running call for the live view, from the records of its journal. Pure.

The state contains the loudness of both sides, the lines of the conversation, and events. The heard text is estimated
from the times of sending. `telephony.journal` computes the exact text after the call.
"""

from __future__ import annotations

import base64
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from realtime_core.audio import g711
from telephony.journal.cuts import CutCause, cause_of
from telephony.journal.format import MALFORMED, Record, segments_of

__all__ = ["Line", "LiveCall", "whole_call"]

Kind = Literal["caller", "agent", "tool", "key", "interruption", "handoff"]

FRAME_MS = 20
_QUIET_DB = -46.0
_KEPT_FRAMES = 100


@dataclass(slots=True)
class Line:
    """One line of the conversation that the demo shows: words of the agent or of the caller, or another event. Times
    are in milliseconds since the start of the call.
    """

    start_ms: float
    kind: Kind
    text: str = ""
    done_ms: float | None = None
    levels: list[float] = field(default_factory=list)
    """The loudness of each frame (20 ms) of the agent's voice, from 0 to 1."""
    played: list[tuple[float, int, int]] = field(default_factory=list)
    """The parts of this line's audio that were played, each as (start of the playback in ms, first frame, frame after
    the last frame). Frames of 20 ms are counted from the start of the line's audio, as in `levels`.
    """
    complete: bool = False
    cut: bool = False

    def heard(self, now_ms: float) -> str:
        """Returns an estimate of the words that the caller had heard at `now_ms`. If 30 % of the frames with voice have
        been played, the result is the first 30 % of the text, without the last incomplete word.
        """
        if self.kind != "agent":
            return self.text
        frames = max((min(end, first + int((now_ms - ms) / FRAME_MS)) for ms, first, end in self.played), default=0)
        voiced = [level > 0 for level in self.levels]
        if frames >= len(voiced) and self.complete:
            return self.text
        share = sum(voiced[: max(0, frames)]) / max(1, sum(voiced))
        return self.text[: self.text.rfind(" ", 0, round(share * len(self.text)) + 1) + 1]


class LiveCall:
    """The state of a running call for a live view: the lines of the conversation, the loudness of both sides, and
    events. The state is computed from the records of the journal, which must be passed to `feed` in order. Times are in
    milliseconds since the start of the call.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.now_ms = 0.0
        self.call_sid = ""
        self.marks_sent = 0
        self.marks_back = 0
        self.over = False
        self._caller: deque[tuple[float, float]] = deque(maxlen=_KEPT_FRAMES)
        self._agent: deque[tuple[float, float]] = deque(maxlen=50 * _KEPT_FRAMES)
        self._agent_until = 0.0
        self._parts: dict[tuple[str, int], Line] = {}
        self._rest: dict[tuple[str, int], bytes] = {}
        self._items: dict[str, Line] = {}

    def feed(self, record: Record) -> None:
        """Updates the state of the call with the next journal record. Malformed records are ignored."""
        self.now_ms = max(self.now_ms, record.t * 1000)
        handler = getattr(self, f"_on_{record.kind}_{record.event}".replace(".", "_").rstrip("_"), None)
        if handler is not None:
            try:
                handler(record, record.message or record.data)
            except MALFORMED:
                pass

    def levels(self, ms: float) -> tuple[float, float]:
        """Returns the loudness of the caller and of the agent at the time `ms`, each from 0 to 1."""
        return _level_at(self._caller, ms), _level_at(self._agent, ms)

    # --- the phone -----------------------------------------------------------------------------------------------

    def _on_header(self, record: Record, data: Any) -> None:
        self.call_sid = str(data.get("call_sid", ""))

    def _on_twilio_in_media(self, record: Record, message: Any) -> None:
        pcm = np.frombuffer(g711.decode(base64.b64decode(message["media"]["payload"])), "<i2")
        self._caller.append((record.t * 1000, _level(pcm)))

    def _on_twilio_in_mark(self, record: Record, message: Any) -> None:
        self.marks_back += 1

    def _on_twilio_in_dtmf(self, record: Record, message: Any) -> None:
        digit = str(message["dtmf"]["digit"])
        self._add(record, "key", f"presses {digit if digit.isascii() else 'a key'}")

    def _on_twilio_out_mark(self, record: Record, message: Any) -> None:
        self.marks_sent += 1

    def _on_twilio_out_media(self, record: Record, message: Any) -> None:
        at = max(record.t * 1000, self._agent_until)
        for segment in segments_of(message):
            line = self._parts.get((segment.item_id, segment.content_index))
            if line is not None:
                if not line.played:
                    line.start_ms = at
                first, end = segment.offset // 160, (segment.offset + segment.length) // 160
                line.played.append((at, first, end))
                line.done_ms = at + segment.length / 8
                self._agent.extend((at + n * FRAME_MS, level) for n, level in enumerate(line.levels[first:end]))
            at += segment.length / 8
        self._agent_until = at

    def _on_twilio_out_clear(self, record: Record, message: Any) -> None:
        now = record.t * 1000
        self._agent_until = now
        while self._agent and self._agent[-1][0] > now:
            self._agent.pop()
        for line in self._parts.values():
            if line.done_ms is None or line.done_ms > now:
                line.played = [(ms, a, min(b, a + int((now - ms) / FRAME_MS))) for ms, a, b in line.played if ms < now]
                line.done_ms, line.cut = now, True

    def _on_end(self, record: Record, data: Any) -> None:
        self.over = True

    # --- the model -----------------------------------------------------------------------------------------------

    def _on_model_in_response_output_audio_delta(self, record: Record, message: Any) -> None:
        part = (message["item_id"], message.get("content_index", 0))
        line = self._part(record, part)
        audio = self._rest.pop(part, b"") + base64.b64decode(message["delta"])
        whole = len(audio) // 960 * 960
        self._rest[part] = audio[whole:]
        line.levels += [_level(frame) for frame in np.frombuffer(audio[:whole], "<i2").reshape(-1, 480)]

    def _on_model_in_response_output_audio_transcript_delta(self, record: Record, message: Any) -> None:
        self._part(record, (message["item_id"], message.get("content_index", 0))).text += str(message.get("delta", ""))

    def _on_model_in_response_output_audio_transcript_done(self, record: Record, message: Any) -> None:
        line = self._part(record, (message["item_id"], message.get("content_index", 0)))
        line.text, line.complete = str(message.get("transcript", "")), True

    def _on_model_in_input_audio_buffer_speech_started(self, record: Record, message: Any) -> None:
        self._items[message["item_id"]] = self._add(record, "caller", "…")

    def _on_model_in_input_audio_buffer_speech_stopped(self, record: Record, message: Any) -> None:
        if line := self._items.get(message["item_id"]):
            line.done_ms = record.t * 1000

    def _on_model_in_conversation_item_input_audio_transcription_completed(self, record: Record, message: Any) -> None:
        if line := self._items.get(message["item_id"]):
            line.text, line.complete = str(message.get("transcript", "")), True

    # --- our own -------------------------------------------------------------------------------------------------

    def _on_tool_start(self, record: Record, data: Any) -> None:
        self._items[data["call_id"]] = self._add(record, "tool", f"{data['name']}({data['arguments']})")

    def _on_tool_end(self, record: Record, data: Any) -> None:
        if line := self._items.get(data["call_id"]):
            line.text += f" -> {data['output']}"
            line.done_ms, line.complete = record.t * 1000, True

    def _on_interruption(self, record: Record, data: Any) -> None:
        truncations = data.get("truncations") or [["", 0, 0]]
        cause = cause_of(data.get("cause"))
        words = "interrupted" if cause is CutCause.CALLER else cause.words
        self._add(record, "interruption", f"{words}: truncated at {truncations[0][2]} ms, the queue dropped")

    def _on_handoff(self, record: Record, data: Any) -> None:
        self._add(record, "handoff", f"{data['from']} hands over to {data['to']}")

    def _part(self, record: Record, part: tuple[str, int]) -> Line:
        if part not in self._parts:
            self._parts[part] = self._add(record, "agent")
        return self._parts[part]

    def _add(self, record: Record, kind: Kind, text: str = "") -> Line:
        line = Line(record.t * 1000, kind, text)
        self.lines.append(line)
        return line


def whole_call(records: Iterable[Record]) -> tuple[LiveCall, float]:
    """Returns the state of a finished call, computed from all its journal records, and the time of its end in
    milliseconds.
    """
    call = LiveCall()
    for record in records:
        call.feed(record)
    return call, call.now_ms


def _level(pcm: Any) -> float:
    """Returns the level of audio, from 0 (below -46 dBFS) to 1 (full scale)."""
    peak = int(np.abs(pcm.astype(np.int32)).max(initial=0))
    return max(0.0, 1 - 20 * math.log10(32768 / peak) / -_QUIET_DB) if peak else 0.0


def _level_at(levels: deque[tuple[float, float]], ms: float) -> float:
    return next((level for at, level in reversed(levels) if at <= ms < at + 3 * FRAME_MS), 0.0)
