"""Computes the loudness of both sides of a live call over time, for the diagram on the page of the call. Pure.

A `Wave` gets the journal records of one call while a page shows the call. The caller's loudness is computed from the
caller's frames, and the agent's loudness from the audio of the model. The agent's loudness is shown at the time at
which the caller hears the audio. This time is computed from the messages to Twilio.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pybase64

from realtime_core.audio import g711

from ..journal.encoding import parse_object
from ..journal.format import MALFORMED, object_at, segments_of

__all__ = ["STEP_MS", "Wave", "loudness"]

STEP_MS = 50
"""The duration of one step of the loudness diagram, in milliseconds. A step has one value of loudness for each side of
the call.
"""
_FRAME = 20 * 8
_MAX_ITEMS = 20
_MAX_EVENTS = 500
_QUIET_DB = 46.0
_STALE_MS = 500.0
"""The maximum age in milliseconds of a computed time. If the computed time of a position is older, playout has started
again, and the time of the message is used.
"""
_KINDS = ("twilio.in", "twilio.out", "model.in")


def loudness(peak: int) -> int:
    """Returns the loudness (0 to 100) of a peak (0 to 32,768). The scale is logarithmic, because human hearing is
    logarithmic.
    """
    return 0 if peak < 1 else max(0, round(100 * (1 + 20 * np.log10(peak / 32768) / _QUIET_DB)))


class Wave:
    """Collects the loudness of both sides of one call. `take` returns the values since the last call of `take`."""

    def __init__(self) -> None:
        self._new: dict[str, dict[int, int]] = {"caller": {}, "agent": {}}
        self._events: dict[str, list[int]] = {"marks": [], "clears": []}
        self._items: OrderedDict[str, list[int]] = OrderedDict()
        """Item id -> the peaks of its frames of 20 ms at 8 kHz."""
        self._rest: dict[str, bytes] = {}
        self._stamp_offset_ms: float | None = None
        self._run: tuple[int, float] | None = None
        """A position of the stream, and when it is heard."""
        self._last_step = 0
        """The last step of the agent that has a value."""
        self._is_pcm = True

    def take(self) -> dict[str, Any]:
        """Returns the new values, as `{"step_ms": 50, "caller": [[step, loudness], ...], "agent": [[step, loudness],
        ...], "marks": [ms], "clears": [ms]}`. Returns an empty mapping if there are no new values.

        Step 0 begins with the call, and each step has a length of `step_ms`. A later value of a step replaces the
        earlier value. `marks` are the times at which Twilio returned a mark. `clears` are the times at which queued
        audio was dropped because of an interruption.
        """
        if not any(self._new.values()) and not any(self._events.values()):
            return {}
        taken = {"step_ms": STEP_MS, **{side: sorted(new.items()) for side, new in self._new.items()}, **self._events}
        self._new, self._events = {"caller": {}, "agent": {}}, {"marks": [], "clears": []}
        return taken

    def raw(self, kind: str, json_text: str, now_ms: float) -> None:
        """Adds the loudness of the audio in a journal record whose message is given as the JSON text `json_text`. The
        text is parsed only if messages of this `kind` can contain audio, or can change the time at which audio is heard
        (such as `clear`). `now_ms` is the time since
        the start of the call in milliseconds.
        """
        if kind in _KINDS:
            self.record(kind, {"message": parse_object(json_text)}, now_ms)

    def record(self, kind: str, fields: Mapping[str, Any], now_ms: float) -> None:
        """Adds the loudness of the audio in a journal record, if it contains audio. `kind` and `fields` are those of
        the record. `now_ms` is the time since the start of the call in milliseconds. Malformed records are ignored.
        """
        try:
            if kind in _KINDS:
                self._take(kind, object_at(fields, "message"), now_ms)
            elif kind == "supervisor":
                self._append(f"{fields['item_id']}/0", g711.decode(pybase64.b64decode(fields["payload"])), _FRAME * 2)
            elif kind == "stream" and self._stamp_offset_ms is not None:
                for position, stamp_ms in fields.get("runs", ()):
                    self._run = int(position), float(stamp_ms) + self._stamp_offset_ms
        except MALFORMED:
            return

    def _take(self, kind: str, message: Mapping[str, Any], now_ms: float) -> None:
        name = message.get("type" if kind == "model.in" else "event")
        match kind, name:
            case "twilio.in", "media":
                media = object_at(message, "media")
                offset_ms = now_ms - float(media["timestamp"])
                pcm = np.frombuffer(g711.decode(pybase64.b64decode(media["payload"])), "<i2")
                self._put("caller", now_ms - 20, int(np.abs(pcm.astype(np.int32)).max(initial=0)))
                self._stamp_offset_ms = offset_ms
            case "twilio.in", "mark":
                self._event("marks", now_ms)
            case "twilio.out", "clear":
                self._event("clears", now_ms)
                self._run = None
                self._new["agent"] |= dict.fromkeys(range(int(now_ms // STEP_MS) + 1, self._last_step + 1), 0)
            case "twilio.out", "media":
                self._sent(message, now_ms)
            case "model.in", "response.output_audio.delta":
                self._received(message)
            case "model.in", "session.created" | "session.updated":
                format_ = object_at(message, "session", "audio", "output", "format").get("type", "audio/pcm")
                self._is_pcm = format_ == "audio/pcm"

    def _received(self, message: Mapping[str, Any]) -> None:
        audio = pybase64.b64decode(message["delta"])
        pcm, frame = (audio, _FRAME * 6) if self._is_pcm else (g711.decode(audio), _FRAME * 2)
        self._append(f"{message['item_id']}/{message['content_index']}", pcm, frame)

    def _append(self, key: str, pcm16: bytes, frame: int) -> None:
        """Adds the peaks of the next audio of a part. `frame` is the number of bytes in 20 ms of audio."""
        if key not in self._items:
            self._items[key] = []
            if len(self._items) > _MAX_ITEMS:
                self._rest.pop(self._items.popitem(last=False)[0], None)
        pcm16 = self._rest.get(key, b"") + pcm16
        whole = len(pcm16) // frame * frame
        self._rest[key] = pcm16[whole:]
        if whole:
            pcm = np.abs(np.frombuffer(pcm16[:whole], "<i2").astype(np.int32))
            self._items[key] += pcm.reshape(whole // frame, -1).max(axis=1).tolist()

    def _sent(self, message: Mapping[str, Any], now_ms: float) -> None:
        position = int(message["position"])
        run = self._run
        if run is None or run[0] > position or run[1] + (position - run[0]) / 8 < now_ms - _STALE_MS:
            run = self._run = position, now_ms
        for segment in segments_of(message):
            peaks = self._items.get(f"{segment.item_id}/{segment.content_index}")
            if peaks is None:
                continue
            at_ms = run[1] + (segment.position - run[0]) / 8
            for n in range(segment.offset // _FRAME, (segment.offset + segment.length) // _FRAME):
                if n < len(peaks):
                    self._put("agent", at_ms + (n * _FRAME - segment.offset) / 8, peaks[n])

    def _put(self, side: str, at_ms: float, peak: int) -> None:
        step = max(0, int(at_ms // STEP_MS))
        new = self._new[side]
        if side == "agent":
            self._last_step = max(self._last_step, step)
        new[step] = max(new.get(step, 0), loudness(peak))
        if len(new) > _MAX_EVENTS:
            del new[min(new)]

    def _event(self, name: str, at_ms: float) -> None:
        events = self._events[name]
        events.append(round(at_ms))
        del events[:-_MAX_EVENTS]
