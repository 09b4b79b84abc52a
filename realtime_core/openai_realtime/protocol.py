"""Decodes the server events of the OpenAI Realtime protocol.

Pure and tolerant: every message becomes a value, never an exception. An event of an unknown type becomes `Unknown`. An
event with a missing or wrong field becomes `Malformed`. An event that requires no action of a client becomes `Notice`.
The table `SERVER_EVENTS` has the 46 server events of the GA protocol, and the beta names that compatible servers still
send.

Source: https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pybase64

from .. import lenient_json
from .server_events import (
    AudioDelta,
    AudioDone,
    Cleared,
    Committed,
    Dtmf,
    ItemAdded,
    ItemDeleted,
    ItemDone,
    ItemRetrieved,
    ItemTruncated,
    Malformed,
    Notice,
    Object,
    OutputItemAdded,
    OutputItemDone,
    RateLimits,
    ResponseCreated,
    ResponseDone,
    ServerError,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    TextDone,
    TimeoutTriggered,
    TranscriptDelta,
    TranscriptDone,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionFailed,
    Unknown,
)

__all__ = [
    "SERVER_EVENTS",
    "decode",
    "decode_audio",
    "decode_object",
    "parse",
    "part_audio",
]


_MAX_PARTS = 256


class _InvalidField(Exception):
    """Raised for a field with a wrong value. This module catches the exception."""


def _text(data: Object, name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise _InvalidField(f"{name!r} is not a string")
    return value


def _text_or_empty(data: Object, name: str) -> str:
    return _text(data, name) if data.get(name) is not None else ""


def _count(data: Object, name: str) -> int:
    """Returns the whole number in the field `name`. Returns 0 if the field is missing or null. Compatible servers omit
    `content_index` or send milliseconds as floats.
    """
    value = data.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _InvalidField(f"{name!r} is not a number")
    return int(value)


def _index(data: Object, name: str) -> int:
    """Returns the index of a content part, from the field `name`. An item has one or two parts."""
    value = _count(data, name)
    if not 0 <= value < _MAX_PARTS:
        raise _InvalidField(f"{name!r} is out of range")
    return value


def _object(data: Object, name: str) -> Object:
    value = data.get(name)
    if not isinstance(value, dict):
        raise _InvalidField(f"{name!r} is not an object")
    return value


def _item_object(data: Object, name: str) -> Object:
    item = _object(data, name)
    for id_ in ("id", "call_id"):
        _text_or_empty(item, id_)
    return item


def _scalar_or_none(data: Object, name: str) -> str | float | None:
    value = data.get(name)
    return value if isinstance(value, str | int | float) else None


def _object_or_none(data: Object, name: str) -> Object | None:
    return _object(data, name) if data.get(name) is not None else None


def _object_or_empty(data: Object, name: str) -> Object:
    return _object_or_none(data, name) or {}


def _objects(data: Object, name: str) -> list[Object]:
    value = data.get(name)
    if not isinstance(value, list):
        raise _InvalidField(f"{name!r} is not a list")
    return [each for each in value if isinstance(each, dict)]


def _objects_or_empty(data: Object, name: str) -> list[Object]:
    value = data.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _languages(data: Object, name: str) -> list[str]:
    """Returns the codes of languages. OpenAI sends objects with a `code`, and compatible servers send strings. Returns
    an empty list for any other value, so the event is not lost.
    """
    value = data.get(name)
    codes = [each.get("code") if isinstance(each, dict) else each for each in value] if isinstance(value, list) else []
    return [code for code in codes if isinstance(code, str)]


def _previous(data: Object, name: str) -> str | None:
    """Returns the value of `previous_item_id`. Returns None if the field is missing, which means unknown. Returns ""
    for null, which means the first item of the conversation.
    """
    return None if name not in data else _text_or_empty(data, name)


def _audio(data: Object, name: str) -> bytes:
    return _from_base64(_text(data, name))


def part_audio(part: Object) -> bytes:
    """Returns the audio in a content part of the agent (`audio`, in base64). Returns b"" if the part has no valid
    audio.
    """
    text = part.get("audio")
    try:
        return _from_base64(text) if isinstance(text, str) else b""
    except _InvalidField:
        return b""


def _from_base64(text: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError as error:
        raise _InvalidField("the audio is not base64") from error


Reader = Callable[[Object, str], Any]
Decode = Callable[[Object], ServerEvent]


def _row(event: Callable[..., ServerEvent], /, **readers: Reader) -> Decode:
    fields = tuple(readers.items())
    return lambda data: event(*[read(data, name) for name, read in fields])


def _item(event: Callable[..., ServerEvent]) -> Decode:
    return _row(event, item=_item_object, previous_item_id=_previous)


def _output_item(event: Callable[..., ServerEvent]) -> Decode:
    return _row(event, response_id=_text_or_empty, item=_item_object)


def _response(event: Callable[..., ServerEvent]) -> Decode:
    def decode(data: Object) -> ServerEvent:
        response = _object(data, "response")
        return event(_text(response, "id"), response)

    return decode


def _part(event: Callable[..., ServerEvent], /, **readers: Reader) -> Decode:
    return _row(event, response_id=_text_or_empty, item_id=_text, content_index=_index, **readers)


def _transcription(event: Callable[..., ServerEvent], /, **readers: Reader) -> Decode:
    return _row(event, item_id=_text, content_index=_index, **readers)


def _error(data: Object) -> ServerError:
    error = data.get("error")
    if not isinstance(error, dict):
        return ServerError("", "", str(error or data.get("message") or "unknown error"), "", "")
    return ServerError(*(str(error.get(name) or "") for name in ("type", "code", "message", "param", "event_id")))


def _notice(data: Object) -> Notice:
    return Notice(data["type"], data)


SERVER_EVENTS: Mapping[str, Decode] = {
    "error": _error,
    "session.created": _row(SessionCreated, session=_object),
    "session.updated": _row(SessionUpdated, session=_object),
    "conversation.created": _notice,
    "conversation.item.added": _item(ItemAdded),
    "conversation.item.created": _item(ItemAdded),  # beta
    "conversation.item.done": _item(ItemDone),
    "conversation.item.retrieved": _row(ItemRetrieved, item=_item_object),
    "conversation.item.deleted": _row(ItemDeleted, item_id=_text),
    "conversation.item.truncated": _row(ItemTruncated, item_id=_text, content_index=_index, audio_end_ms=_count),
    "conversation.item.input_audio_transcription.delta": _transcription(TranscriptionDelta, delta=_text_or_empty),
    "conversation.item.input_audio_transcription.completed": _transcription(
        TranscriptionCompleted,
        transcript=_text_or_empty,
        usage=_object_or_none,
        languages=_languages,
        logprobs=_objects_or_empty,
    ),
    "conversation.item.input_audio_transcription.segment": _notice,
    "conversation.item.input_audio_transcription.failed": _transcription(TranscriptionFailed, error=_object_or_empty),
    "input_audio_buffer.speech_started": _row(SpeechStarted, item_id=_text_or_empty, audio_start_ms=_count),
    "input_audio_buffer.speech_stopped": _row(SpeechStopped, item_id=_text_or_empty, audio_end_ms=_count),
    "input_audio_buffer.committed": _row(Committed, item_id=_text_or_empty, previous_item_id=_previous),
    "input_audio_buffer.cleared": _row(Cleared),
    "input_audio_buffer.timeout_triggered": _row(
        TimeoutTriggered, item_id=_text_or_empty, audio_start_ms=_count, audio_end_ms=_count
    ),
    "input_audio_buffer.dtmf_event_received": _row(Dtmf, event=_text, received_at=_scalar_or_none),
    "output_audio_buffer.started": _notice,
    "output_audio_buffer.stopped": _notice,
    "output_audio_buffer.cleared": _notice,
    "response.created": _response(ResponseCreated),
    "response.done": _response(ResponseDone),
    "response.output_item.added": _output_item(OutputItemAdded),
    "response.output_item.done": _output_item(OutputItemDone),
    "response.content_part.added": _notice,
    "response.content_part.done": _notice,
    "response.output_audio.delta": _part(AudioDelta, delta=_audio),
    "response.audio.delta": _part(AudioDelta, delta=_audio),  # beta
    "response.output_audio.done": _part(AudioDone),
    "response.audio.done": _part(AudioDone),  # beta
    "response.output_audio_transcript.delta": _part(TranscriptDelta, delta=_text),
    "response.audio_transcript.delta": _part(TranscriptDelta, delta=_text),  # beta
    "response.output_audio_transcript.done": _part(TranscriptDone, transcript=_text_or_empty),
    "response.audio_transcript.done": _part(TranscriptDone, transcript=_text_or_empty),  # beta
    "response.output_text.delta": _part(TextDelta, delta=_text),
    "response.text.delta": _part(TextDelta, delta=_text),  # beta
    "response.output_text.done": _part(TextDone, text=_text_or_empty),
    "response.text.done": _part(TextDone, text=_text_or_empty),  # beta
    "response.function_call_arguments.delta": _notice,
    "response.function_call_arguments.done": _notice,
    "response.mcp_call_arguments.delta": _notice,
    "response.mcp_call_arguments.done": _notice,
    "response.mcp_call.in_progress": _notice,
    "response.mcp_call.completed": _notice,
    "response.mcp_call.failed": _notice,
    "mcp_list_tools.in_progress": _notice,
    "mcp_list_tools.completed": _notice,
    "mcp_list_tools.failed": _notice,
    "rate_limits.updated": _row(RateLimits, rate_limits=_objects),
}

_AUDIO_DELTAS = frozenset({"response.output_audio.delta", "response.audio.delta"})
_WORTH_SLICING = 1024


def parse(message: str | bytes) -> Object | Malformed:
    """Parses a message of the server as JSON. Returns its JSON object, or `Malformed` if the message is invalid. Half
    of a surrogate pair in a text becomes U+FFFD.
    """
    try:
        data = orjson.loads(message)
    except ValueError as error:
        try:
            data = lenient_json.loads(message)
        except (ValueError, RecursionError):
            return Malformed(f"not JSON: {error}")
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        return Malformed("not an object with a type")
    return data


def decode_object(data: Object) -> ServerEvent:
    """Returns the event for a JSON object of the server that has a `type`."""
    decode_row = SERVER_EVENTS.get(data["type"])
    if decode_row is None:
        return Unknown(data["type"], data)
    try:
        return decode_row(data)
    except _InvalidField as error:
        return Malformed(f"{data['type']}: {error}", data)


def decode(message: str | bytes) -> ServerEvent:
    """Decodes a JSON message of the server to its event. Returns `Unknown` for an event of an unknown type, and
    `Malformed` for an invalid message. Raises no exception for an invalid message.
    """
    if (event := decode_audio(message)) is not None:
        return event
    data = parse(message)
    return data if isinstance(data, Malformed) else decode_object(data)


def decode_audio(message: str | bytes) -> AudioDelta | None:
    """Decodes a message with a piece of audio (an audio delta) without parsing the audio as JSON, which is faster.
    Returns None if this is not safe for this message.

    The audio is cut out, and the small rest is parsed. The text `"delta":` with its quotes cannot occur inside a JSON
    string, because quotes are escaped there. In the parsed rest, `delta` must be empty. This shows that the audio was
    the only `delta` of the object itself.
    """
    if len(message) <= _WORTH_SLICING or not isinstance(message, str):
        return None
    name = message.find('"delta":')
    start = message.find('"', name + 8, name + 10) + 1
    if name < 0 or not start:
        return None
    end = message.find('"', start)
    try:
        data = orjson.loads(message[:start] + message[end:])
    except ValueError:
        return None
    if not isinstance(data, dict) or str(data.get("type")) not in _AUDIO_DELTAS or data.get("delta") != "":
        return None
    try:
        return AudioDelta(
            _text_or_empty(data, "response_id"),
            _text(data, "item_id"),
            _index(data, "content_index"),
            _from_base64(message[start:end]),
        )
    except _InvalidField:
        return None
