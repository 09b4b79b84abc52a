"""Selects the journal records and their fields that the page of the softphone (a phone in the browser) gets. Pure.

The records keep the form of the journal. Audio is replaced by its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["select"]

_KINDS = {"header", "tool.start", "tool.end", "interruption", "handoff", "error", "end"}
_FROM_MODEL = {
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.input_audio_transcription.failed",
    "response.output_audio.delta",
    "response.output_audio_transcript.delta",
    "response.output_audio_transcript.done",
}


def wants(kind: str) -> bool:
    """Returns whether the page of the softphone may get journal records of this kind that contain a message. If False,
    the message need not be parsed. If True, the parsed record must be passed to `select`, which decides by the fields
    of the record.
    """
    return kind in _KINDS or kind in ("model.in", "twilio.out")


def select(kind: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the journal record as the page gets it, or None if the page does not get the record. `fields` are all
    fields except `t` and `kind`.
    """
    if kind in _KINDS:
        return {"kind": kind, **fields}
    message = fields.get("message")
    if not isinstance(message, Mapping):
        return None
    if kind == "model.in" and str(message.get("type")) in _FROM_MODEL:
        return {"kind": kind, "message": _without_audio(message)}
    if kind == "twilio.in" and message.get("event") == "start":
        return {"kind": kind, "message": {"event": "start"}}
    if kind == "twilio.out" and message.get("event") == "media":
        return {"kind": kind, "message": {name: message.get(name) for name in ("event", "position", "segments")}}
    return None


def _without_audio(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if message["type"] != "response.output_audio.delta":
        return message
    audio = message.get("delta")
    rest = {name: value for name, value in message.items() if name != "delta"}
    return {**rest, "bytes": _n_bytes(audio) if isinstance(audio, str) else 0}


def _n_bytes(base64_text: str) -> int:
    return len(base64_text) * 3 // 4 - base64_text.count("=", -2)
