"""The server events of the OpenAI Realtime protocol, as small tuples.

The tuples have only the fields that this package reads. Audio is decoded. `protocol.SERVER_EVENTS` has the names of the
events in the protocol. Source: https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..model_events import RealtimeModelInputAudioTranscriptionCompletedEvent

Object = dict[str, Any]


class SessionCreated(NamedTuple):
    session: Object


class SessionUpdated(NamedTuple):
    session: Object


class ItemAdded(NamedTuple):
    """An item was added to the conversation. `previous_item_id` is None if the server did not send this field, and ""
    if the item is the first item.
    """

    item: Object
    previous_item_id: str | None = None


class ItemDone(NamedTuple):
    item: Object
    previous_item_id: str | None = None


class ItemRetrieved(NamedTuple):
    item: Object


class ItemDeleted(NamedTuple):
    item_id: str


class ItemTruncated(NamedTuple):
    item_id: str
    content_index: int
    audio_end_ms: int


class TranscriptionDelta(NamedTuple):
    item_id: str
    content_index: int
    delta: str


class TranscriptionCompleted(NamedTuple):
    item_id: str
    content_index: int
    transcript: str
    usage: Object | None
    languages: list[str]
    logprobs: list[Object]

    def model_event(self) -> RealtimeModelInputAudioTranscriptionCompletedEvent:
        return RealtimeModelInputAudioTranscriptionCompletedEvent(
            self.item_id,
            self.transcript,
            content_index=self.content_index,
            usage=self.usage,
            languages=self.languages,
            logprobs=self.logprobs,
        )


class TranscriptionFailed(NamedTuple):
    item_id: str
    content_index: int
    error: Object


class SpeechStarted(NamedTuple):
    item_id: str
    audio_start_ms: int


class SpeechStopped(NamedTuple):
    item_id: str
    audio_end_ms: int


class Committed(NamedTuple):
    item_id: str
    previous_item_id: str | None


class Cleared(NamedTuple):
    pass


class TimeoutTriggered(NamedTuple):
    item_id: str
    audio_start_ms: int
    audio_end_ms: int


class Dtmf(NamedTuple):
    digit: str
    received_at: Any = None


class ResponseCreated(NamedTuple):
    response_id: str
    response: Object


class ResponseDone(NamedTuple):
    response_id: str
    response: Object


class OutputItemAdded(NamedTuple):
    response_id: str
    item: Object


class OutputItemDone(NamedTuple):
    response_id: str
    item: Object


class AudioDelta(NamedTuple):
    response_id: str
    item_id: str
    content_index: int
    audio: bytes


class AudioDone(NamedTuple):
    response_id: str
    item_id: str
    content_index: int


class TranscriptDelta(NamedTuple):
    response_id: str
    item_id: str
    content_index: int
    delta: str


class TranscriptDone(NamedTuple):
    response_id: str
    item_id: str
    content_index: int
    transcript: str


class TextDelta(NamedTuple):
    response_id: str
    item_id: str
    content_index: int
    delta: str


class TextDone(NamedTuple):
    response_id: str
    item_id: str
    content_index: int
    text: str


class RateLimits(NamedTuple):
    rate_limits: list[Object]


class ServerError(NamedTuple):
    """An error of the server. `event_id` is the id of the client event that caused the error, or "" if the server does
    not report the id.
    """

    type: str
    code: str
    message: str
    param: str
    event_id: str


class Notice(NamedTuple):
    """A server event that this package knows and does not need. `type` is the type of the event, and `data` is the JSON
    object.
    """

    type: str
    data: Object


class Unknown(NamedTuple):
    """An event that this package does not know. A newer server may send such an event."""

    type: str
    data: Object


class Malformed(NamedTuple):
    """A message that is not JSON, or not an object with a `type`, or an event with invalid fields."""

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
