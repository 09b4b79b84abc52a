"""Tracks how much of the agent's audio was played, for an application that plays the audio itself. The application
reports what it has played. At an interruption, the session uses these reports to find out what the user has heard.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from .playback import HeardItem

__all__ = ["ForeignTracker", "RealtimePlaybackState", "RealtimePlaybackTracker"]

logger = logging.getLogger(__name__)
_REMEMBERED_PARTS = 64
_ROUNDING_MS = 0.5
"""The sum of many reports may differ from the length of the received audio by less than this."""


class RealtimePlaybackState(TypedDict):
    """The audio part that is playing, given by the id of its item and its content index. `elapsed_ms` is the length of
    its played audio in milliseconds. All values are None if no part is playing.
    """

    current_item_id: str | None
    current_item_content_index: int | None
    elapsed_ms: float | None


class RealtimePlaybackTracker:
    """Receives reports of played audio. `on_play_bytes` or `on_play_ms` must be called for each piece. The tracker is
    passed as `model_config={"playback_tracker": tracker}`. The program must stop its own playback on
    `audio_interrupted`.

    Audio that was not reported counts as not heard. Late reports for interrupted audio are ignored.

    A subclass may override `get_state` to return the position from another source, and `on_interrupted` to learn of
    interruptions.
    """

    def __init__(self) -> None:
        self._bytes_per_ms = 48.0
        self._received: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._played: dict[tuple[str, int], float] = {}
        self._complete: set[tuple[str, int]] = set()
        self._stopped: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._current: tuple[str, int] | None = None
        self._last: tuple[str, int] | None = None
        """The part that `get_state` named last."""

    def on_play_bytes(self, item_id: str, item_content_index: int, bytes: bytes) -> None:
        """Reports that `bytes`, a piece of the audio of an item's content part, was played to its end."""
        self.on_play_ms(item_id, item_content_index, len(bytes) / self._bytes_per_ms)

    def on_play_ms(self, item_id: str, item_content_index: int, ms: float) -> None:
        """Reports that `ms` more milliseconds of the audio of an item's content part were played."""
        part = (item_id, item_content_index)
        if part not in self._stopped and ms > 0:
            self._current = part
            self._played[part] = self._played.get(part, 0.0) + ms

    def on_interrupted(self) -> None:
        """Forgets the received audio, because playback has stopped. Called by the session at an interruption, and by a
        program that has stopped its playback itself.
        """
        for part in list(self._received):
            self._stopped[part] = None
            self._forget(part)
        while len(self._stopped) > _REMEMBERED_PARTS:
            self._stopped.popitem(last=False)
        self._current = None

    def set_audio_format(self, format: str | Mapping[str, Any] | None) -> None:
        """Sets the format of the reported bytes. None means PCM16 at 24 kHz. Called by the session."""
        name = str(format.get("type") if isinstance(format, Mapping) else format)
        self._bytes_per_ms = 8.0 if any(g711 in name for g711 in ("g711", "pcmu", "pcma")) else 48.0

    def get_state(self) -> RealtimePlaybackState:
        if self._current is None:
            return {"current_item_id": None, "current_item_content_index": None, "elapsed_ms": None}
        item_id, index = self._current
        return {
            "current_item_id": item_id,
            "current_item_content_index": index,
            "elapsed_ms": self._played.get(self._current),
        }

    # The `Player` protocol

    def play(self, item_id: str, content_index: int, audio: bytes) -> None:
        part = (item_id, content_index)
        self._received[part] = self._received.get(part, 0.0) + len(audio) / self._bytes_per_ms
        while len(self._received) > _REMEMBERED_PARTS:
            self._forget(next(iter(self._received)))

    def end(self, item_id: str, content_index: int) -> None:
        self._complete.add((item_id, content_index))

    def stop(self) -> Sequence[HeardItem]:
        cut = [heard for heard in self.heard() if not heard.finished]
        RealtimePlaybackTracker.on_interrupted(self)
        if type(self).on_interrupted is not RealtimePlaybackTracker.on_interrupted:
            try:
                self.on_interrupted()
            except Exception:  # the subclass is users' code
                logger.exception("The method on_interrupted of the playback tracker failed.")
        return cut

    def hold(self) -> None:
        """Required by the interface `Player`. Does nothing, because this object does not play the audio itself and
        cannot pause it.
        """

    def duck(self, by_db: float) -> None:
        """Required by the interface `Player`. Does nothing, because this object does not play the audio itself. The
        code that plays the audio reacts to `audio_interrupted`.
        """

    def release(self) -> None:
        """Required by the interface `Player`. Does nothing, because `hold` and `duck` do nothing."""

    def heard(self) -> Sequence[HeardItem]:
        current, current_ms = self._position()
        if current is not None and current in self._received:
            self._last = current
            self._played[current] = max(self._played.get(current, 0.0), current_ms)
        elif current is None and self._last is not None:  # nothing is playing any more
            self._played[self._last] = self._received[self._last]
        parts = list(self._received)
        # The parts before the playing part have been played, even if the sum of their reports is too small.
        at = 0 if self._last is None else parts.index(self._last)
        return [
            HeardItem(*part, self._received[part], finished=True) if index < at else self._heard_part(part)
            for index, part in enumerate(parts)
        ]

    def _position(self) -> tuple[tuple[str, int] | None, float]:
        """Returns the playing part and its played milliseconds."""
        try:
            return _position_of(self.get_state())
        except Exception:  # a subclass is users' code
            logger.exception("The method get_state of the playback tracker failed.")
            return _position_of(RealtimePlaybackTracker.get_state(self))

    def _heard_part(self, part: tuple[str, int]) -> HeardItem:
        received, played = self._received[part], self._played.get(part, 0.0)
        if played > received - _ROUNDING_MS:
            played = received
        return HeardItem(*part, played, finished=part in self._complete and played >= received)

    def _forget(self, part: tuple[str, int]) -> None:
        del self._received[part]
        if part == self._last:
            self._last = None
        self._played.pop(part, None)
        self._complete.discard(part)


def _position_of(state: RealtimePlaybackState) -> tuple[tuple[str, int] | None, float]:
    """Returns the playing part and its played milliseconds. Raises `KeyError`, `TypeError` or `ValueError` for values
    that are no state.
    """
    item_id, played_ms = state["current_item_id"], max(float(state["elapsed_ms"] or 0.0), 0.0)
    return None if item_id is None else (item_id, state["current_item_content_index"] or 0), played_ms


class ForeignTracker(RealtimePlaybackTracker):
    """A player that gets the heard position from a tracker of another class, such as the tracker of the OpenAI Agents
    SDK. `tracker` has the methods `get_state`, `set_audio_format` and `on_interrupted`. Only `get_state` is required.
    """

    def __init__(self, tracker: Any) -> None:
        super().__init__()
        self._tracker = tracker

    def set_audio_format(self, format: str | Mapping[str, Any] | None) -> None:
        super().set_audio_format(format)
        if (set_format := getattr(self._tracker, "set_audio_format", None)) is not None:
            set_format(format)

    def get_state(self) -> RealtimePlaybackState:
        state: RealtimePlaybackState = self._tracker.get_state()
        return state

    def on_interrupted(self) -> None:
        super().on_interrupted()
        if (stopped := getattr(self._tracker, "on_interrupted", None)) is not None:
            stopped()
