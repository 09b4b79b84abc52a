"""Collects the output of a session of the embedded server: events as JSON text, each with its id, and the command that
closes the connection. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from ..sources import Sources
from .rejection import Rejected

__all__ = ["HangUp", "Outbox"]


@dataclass(frozen=True, slots=True)
class HangUp:
    """A command at the end of a session's output: close the connection with `code`. The code 1006 drops the connection
    without a closing handshake.
    """

    code: int
    reason: str


class Outbox:
    """Collects in `actions` what must be sent to the client, in order: messages, and at the end at most one `HangUp`,
    the command to close the connection. The code that sends the messages must empty `actions`.
    """

    def __init__(self, sources: Sources) -> None:
        self.actions: list[str | HangUp] = []
        self._prefix = f"event_{sources.token(6)}"
        self._events = 0
        self._hung_up = False

    def emit(self, type: str, /, **fields: Any) -> None:
        if not self._hung_up:
            event = {"type": type, "event_id": self._event_id(), **fields}
            self.actions.append(orjson.dumps(event).decode())

    def emit_audio(self, response_id: str, item_id: str, output_index: int, audio_base64: str) -> None:
        """Emits one piece of audio (`response.output_audio.delta`). `output_index` is the index of the item in the
        response.
        """
        # A template instead of JSON encoding, because this message is by far the largest.
        self.actions.append(
            f'{{"type":"response.output_audio.delta","event_id":"{self._event_id()}","response_id":"{response_id}",'
            f'"item_id":"{item_id}","output_index":{output_index},"content_index":0,"delta":"{audio_base64}"}}'
        )

    def reject(self, rejection: Rejected, event_id: Any) -> None:
        """Emits the `error` event for a refused client event. `event_id` is the id of the client event, or None."""
        fields = rejection.fields(event_id if isinstance(event_id, str) else None)
        self.emit("error", error=fields)

    def hang_up(self, code: int, reason: str) -> None:
        if not self._hung_up:
            self._hung_up = True
            self.actions.append(HangUp(code, reason))

    def _event_id(self) -> str:
        self._events += 1
        return f"{self._prefix}{self._events:08d}"
