"""Encodes the 11 client events of the OpenAI Realtime protocol.

Pure. Source: https://platform.openai.com/docs/api-reference/realtime-client-events
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
import pybase64

__all__ = ["CLIENT_EVENTS", "EventIds", "encode", "encode_append"]

CLIENT_EVENTS = frozenset(
    {
        "session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "output_audio_buffer.clear",
        "conversation.item.create",
        "conversation.item.retrieve",
        "conversation.item.truncate",
        "conversation.item.delete",
        "response.create",
        "response.cancel",
    }
)


class EventIds:
    """Creates the ids of the client events of one connection: `evt_1`, `evt_2`, ... An error of the server contains the
    id of the event that caused the error.
    """

    def __init__(self) -> None:
        self._count = 0

    def __call__(self) -> str:
        self._count += 1
        return f"evt_{self._count}"


def encode(event_id: str, type: str, fields: Mapping[str, Any] = {}) -> str:
    """Returns a client event as JSON text. `type` is the type of the event, and `fields` are its other fields. Half of
    a surrogate pair becomes "?". Raises `TypeError` for a value that JSON cannot represent.
    """
    event = {"type": type, "event_id": event_id, **fields}
    try:
        return orjson.dumps(event, default=_plain).decode()
    except TypeError:  # values of users' code may have text that is not Unicode, keys that are not text, large integers
        return json.dumps(event, default=_plain, ensure_ascii=False).encode(errors="replace").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def encode_append(audio: bytes) -> str:
    """Returns the client event that appends the caller's audio (`input_audio_buffer.append`), which is sent 50 times a
    second. The event has no id, because no answer of the server refers to it.
    """
    base64 = pybase64.b64encode_as_string(audio)
    return f'{{"type":"input_audio_buffer.append","audio":"{base64}"}}'
