"""Which message of ours did a message of the model answer? Pure.

Commands are counted by type, so that a replay can tell "the third `response.create`" whatever ids it draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..journal.format import Record, object_at

__all__ = ["AUDIO", "Causes", "Need", "our_ids"]

AUDIO = "input_audio_buffer.append"


@dataclass(frozen=True, slots=True)
class Need:
    """The `count`-th command of this type, which was sent at `t`; of audio: so many bytes of the `stream`-th stream."""

    type: str
    count: int
    t: float
    stream: int = 0


def our_ids(message: Mapping[str, Any]) -> list[str]:
    """The ids in a command that we chose ourselves: of the event, and of the item that it creates."""
    item = message.get("item")
    ids = [message.get("event_id"), item.get("id") if isinstance(item, dict) else None]
    return [each for each in ids if isinstance(each, str)]


class Causes:
    """Feed it what was sent and what came, in order."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._stream = 0
        self._audio: Need | None = None
        self._open: Need | None = None
        self._by_id: dict[str, Need] = {}
        self._truncates: dict[str, list[Need]] = {}
        self._updates: list[Need] = []
        self._responses: dict[str, tuple[Need, ...]] = {}
        self._cancels: dict[str, Need] = {}

    def sent(self, record: Record, type: str) -> None:
        """A command of this type; `open`: a connection was opened."""
        message = record.message
        if type == "open":
            self._counts["open"] += 1
            self._open, self._audio = Need("open", self._counts["open"], record.t), None
            return
        if type == AUDIO:
            self._counts[AUDIO] += int(message.get("bytes", 0))
            self._audio = Need(AUDIO, self._counts[AUDIO], record.t, self._stream)
            return
        self._counts[type] += 1
        need = Need(type, self._counts[type], record.t)
        for our_id in our_ids(message):
            self._by_id[our_id] = need
        if type == "conversation.item.truncate":
            self._truncates.setdefault(str(message.get("item_id")), []).append(need)
        elif type == "session.update":
            self._updates.append(need)
        elif type == "response.cancel":
            self._cancels[str(message.get("response_id"))] = need

    def stream_began(self) -> None:
        self._stream += 1
        self._counts[AUDIO] = 0
        self._audio = None

    def stream_ended(self) -> None:
        """No audio comes: it is no clock any more."""
        self._audio = None

    def of(self, event: str, message: Mapping[str, Any]) -> tuple[Need, ...]:
        """What has to be there before this message comes."""
        needs = self._answered(event, message)
        clock = self._audio or self._open
        return needs if clock is None else (*needs, clock)

    def _answered(self, event: str, message: Mapping[str, Any]) -> tuple[Need, ...]:
        match event:
            case "session.updated":
                return (self._updates.pop(0),) if self._updates else ()
            case "conversation.item.truncated":
                waiting = self._truncates.get(str(message.get("item_id")))
                return (waiting.pop(0),) if waiting else ()
            case "error":
                error = message.get("error")
                need = self._by_id.get(str(error.get("event_id"))) if isinstance(error, dict) else None
                return (need,) if need else ()
            case "response.created":
                return self._response_created(object_at(message, "response"))
            case "response.done":
                response = object_at(message, "response")
                cancel = self._cancels.get(str(response.get("id")))
                return (*self._responses.get(str(response.get("id")), ()), *([cancel] if cancel else []))
        if isinstance(response_id := message.get("response_id"), str):
            return self._responses.get(response_id, ())
        item = message.get("item")
        need = self._by_id.get(str(item.get("id"))) if isinstance(item, dict) else None
        return (need,) if need else ()

    def _response_created(self, response: Mapping[str, Any]) -> tuple[Need, ...]:
        asked = object_at(response, "metadata").get("client_event_id")
        need = self._by_id.get(str(asked)) if asked else None
        needs = (need,) if need else ()
        self._responses[str(response.get("id"))] = needs
        return needs
