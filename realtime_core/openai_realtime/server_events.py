"""The server events of the OpenAI Realtime protocol, as small values.

Only the fields that somebody here reads; audio comes decoded. Names on the wire: `protocol.SERVER_EVENTS`.
Source: https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SessionCreated:
    session: Object


@dataclass(frozen=True, slots=True)
class SessionUpdated:
    session: Object


@dataclass(frozen=True, slots=True)
class ItemAdded:
    """`previous_item_id` is None where the server did not name it, and "" where the item is the first."""

    item: Object
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True)
class ItemDone:
    item: Object
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True)
class ItemRetrieved:
    item: Object


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    item_id: str


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class TranscriptionDelta:
    item_id: str
    content_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class TranscriptionCompleted:
    item_id: str
    content_index: int
    transcript: str
    usage: Object | None


@dataclass(frozen=True, slots=True)
class TranscriptionFailed:
    item_id: str
    content_index: int
    error: Object


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class Committed:
    item_id: str
    previous_item_id: str | None


@dataclass(frozen=True, slots=True)
class Cleared:
    pass


@dataclass(frozen=True, slots=True)
class TimeoutTriggered:
    item_id: str
    audio_start_ms: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class Dtmf:
    digit: str


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    response_id: str
    response: Object


@dataclass(frozen=True, slots=True)
class ResponseDone:
    response_id: str
    response: Object


@dataclass(frozen=True, slots=True)
class OutputItemAdded:
    response_id: str
    item: Object


@dataclass(frozen=True, slots=True)
class OutputItemDone:
    response_id: str
    item: Object


@dataclass(frozen=True, slots=True)
class AudioDelta:
    response_id: str
    item_id: str
    content_index: int
    audio: bytes


@dataclass(frozen=True, slots=True)
class AudioDone:
    response_id: str
    item_id: str
    content_index: int


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    response_id: str
    item_id: str
    content_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class TranscriptDone:
    response_id: str
    item_id: str
    content_index: int
    transcript: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    response_id: str
    item_id: str
    content_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class TextDone:
    response_id: str
    item_id: str
    content_index: int
    text: str


@dataclass(frozen=True, slots=True)
class RateLimits:
    rate_limits: list[Object]


@dataclass(frozen=True, slots=True)
class ServerError:
    """`event_id` names the client event that caused it; "" where the server does not say."""

    type: str
    code: str
    message: str
    param: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Notice:
    """An event that is in the protocol and asks nothing of us."""

    type: str
    data: Object


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event that is not in the table: a newer server."""

    type: str
    data: Object


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not JSON, not an object with a `type`, or an event whose fields are not as they should be."""

    reason: str
    data: Object | None = None


ServerEvent = (
    SessionCreated
    | SessionUpdated
    | ItemAdded
    | ItemDone
    | ItemRetrieved
    | ItemDeleted
    | ItemTruncated
    | TranscriptionDelta
    | TranscriptionCompleted
    | TranscriptionFailed
    | SpeechStarted
    | SpeechStopped
    | Committed
    | Cleared
    | TimeoutTriggered
    | Dtmf
    | ResponseCreated
    | ResponseDone
    | OutputItemAdded
    | OutputItemDone
    | AudioDelta
    | AudioDone
    | TranscriptDelta
    | TranscriptDone
    | TextDelta
    | TextDone
    | RateLimits
    | ServerError
    | Notice
    | Unknown
    | Malformed
)
