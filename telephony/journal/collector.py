"""Collects the data of a recorded call from the records of its journal, in one pass. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pybase64

from .cuts import CutCause, cause_of
from .detected_speech import detected_speech
from .format import MALFORMED, Record, segments_of
from .recorded import Interruption, Key, Mark, Media, Note, Part, RecordedCall, Speech, Stream, ToolCall

__all__ = ["collect"]

_NOT_SHOWN = frozenset({"id", "action", "tool", "dialogue"})
"""The fields of a `control` record that its text leaves out. The turns have the words of a dialogue."""
FRAME_MS = 20
RATE = 8000
_MAX_EARLY_S = 60.0
"""The maximum difference in seconds between the arrival of a frame and its last sample, because the clocks may
differ.
"""
_MAX_MEDIA_BYTES = 2**20
_MAX_MS = 7 * 86_400_000.0


def collect(records: Iterable[Record]) -> RecordedCall:
    """Returns the data of a call from the records of its journal, such as the audio, the tool calls and the
    interruptions. If the journal ends before the call did, the result has only the recorded part of the call.
    """
    return _Collector().run(records)


class _Collector:
    def __init__(self) -> None:
        self.call = RecordedCall()
        self._lags: list[float] = []
        self._first_frame = True
        self._sent = 0  # samples of the stream timeline
        self._stamp_ms = 0  # where the caller's audio ends
        self._appended_bytes = 0  # of the caller's audio to the model
        self._handlers: dict[tuple[str, str], Callable[[Record], None]] = {
            ("twilio.in", "start"): self._stream_begins,
            ("twilio.in", "media"): self._caller_frame,
            ("twilio.in", "mark"): self._mark_back,
            ("twilio.in", "dtmf"): self._key,
            ("twilio.out", "media"): self._media,
            ("twilio.out", "mark"): self._mark,
            ("twilio.out", "clear"): self._clear,
            ("model.in", "session.created"): self._session,
            ("model.in", "session.updated"): self._session,
            ("model.in", "response.output_audio.delta"): self._audio_delta,
            ("model.in", "response.output_audio.done"): self._audio_done,
            ("model.in", "response.output_audio_transcript.delta"): self._transcript_delta,
            ("model.in", "response.output_audio_transcript.done"): self._transcript_done,
            ("model.in", "input_audio_buffer.speech_started"): self._speech_started,
            ("model.in", "input_audio_buffer.speech_stopped"): self._speech_stopped,
            ("model.in", "conversation.item.input_audio_transcription.completed"): self._speech_text,
            ("model.out", "input_audio_buffer.append"): self._append,
            ("header", ""): self._header,
            ("stream", ""): self._stream,
            ("timer", ""): self._note,
            ("control", ""): self._note,
            ("rest", ""): self._note,
            ("callback", ""): self._note,
            ("handoff", ""): self._note,
            ("clip", ""): self._clip,
            ("play", ""): self._play,
            ("supervisor", ""): self._supervisor,
            ("supervisor.words", ""): self._supervisor_words,
            ("interruption", ""): self._interruption,
            ("tool.start", ""): self._tool_start,
            ("tool.end", ""): self._tool_end,
            ("close", ""): self._close,
            ("lost", ""): self._lost,
            ("end", ""): self._end,
        }

    def run(self, records: Iterable[Record]) -> RecordedCall:
        for record in records:
            if handler := self._handlers.get((record.kind, record.event)):
                try:
                    handler(record)
                except MALFORMED:
                    self.call.malformed += 1
        self.call.lag_s = min(self._lags, default=0.0)
        if "imported" in self.call.header and not self.call.speech:
            self.call.speech = self._detected()
        return self.call

    def _detected(self) -> list[Speech]:
        """Returns the caller's speech in a call without a model. With a model, the model reports the speech."""
        return [
            Speech(f"caller_{n}", self.call.lag_s + start_ms / 1000, start_ms, end_ms)
            for n, (start_ms, end_ms) in enumerate(detected_speech(bytes(self.call.caller)), 1)
        ]

    # --- the phone -----------------------------------------------------------------------------------------------

    def _stream_begins(self, record: Record) -> None:
        streams = self.call.streams
        if streams and streams[-1].heard is None:
            streams[-1].heard = streams[-1].sent = self._sent
        at = round((record.t - min(self._lags, default=record.t)) * RATE) if streams else 0
        if streams:
            self.call.notes.append(Note(record.t, "stream", "a new media stream replaced it"))
        streams.append(Stream(str(record.message.get("streamSid", "")), at, record.t))
        self._first_frame = True

    def _at(self, message: Mapping[str, Any]) -> int:
        """Returns the sample of the call at which the stream of this message begins."""
        streams = self.call.streams
        if len(streams) < 2:
            return 0
        sid = message.get("streamSid")
        return next((stream.at for stream in reversed(streams) if stream.sid == sid), streams[-1].at)

    def _caller_frame(self, record: Record) -> None:
        media = record.message["media"]
        if media.get("track", "inbound") != "inbound":
            return  # not the audio of the caller
        payload = pybase64.b64decode(media["payload"])
        stamp_ms = int(media["timestamp"])
        if not 0 <= stamp_ms <= (record.t + _MAX_EARLY_S) * 1000:
            raise ValueError("a frame from the future")
        lane, at = self.call.caller, self._at(record.message) + stamp_ms * 8
        if at > len(lane):
            self.call.gaps += not self._first_frame
            lane.extend(b"\xff" * (at - len(lane)))
        lane[at : at + len(payload)] = payload
        self._first_frame = False
        self.call.frames += 1
        self._stamp_ms = len(lane) // 8
        if len(self.call.streams) < 2:
            self._lags.append(record.t - stamp_ms / 1000 - len(payload) / RATE)

    def _media(self, record: Record) -> None:
        message = record.message
        segments = tuple(segments_of(message))
        bed = (str(message["bed"][0]), int(message["bed"][1])) if "bed" in message else None
        position, n_bytes = int(message["position"]), int(message["bytes"])
        if not sum(segment.length for segment in segments) <= n_bytes <= _MAX_MEDIA_BYTES or position < 0:
            raise ValueError("no such audio was sent")
        crc32 = None if message.get("sealed") else int(message["crc32"])
        self.call.media.append(Media(record.t, position, n_bytes, crc32, segments, bed))
        self._sent = position + n_bytes

    def _mark(self, record: Record) -> None:
        self.call.marks.append(Mark(str(record.message["mark"]["name"]), record.t))

    def _mark_back(self, record: Record) -> None:
        name = record.message["mark"]["name"]
        for mark in reversed(self.call.marks):
            if mark.name == name:
                mark.back_t = record.t
                mark.flushed = any(mark.t <= t <= record.t for t in self.call.clears)
                return

    def _clear(self, record: Record) -> None:
        self.call.clears.append(record.t)

    def _key(self, record: Record) -> None:
        self.call.keys.append(Key(record.t, str(record.message["dtmf"]["digit"])))

    # --- the model -----------------------------------------------------------------------------------------------

    def _session(self, record: Record) -> None:
        self.call.reached_model = True
        audio = record.message["session"]["audio"]
        self.call.input_format = _format(audio.get("input"), self.call.input_format)
        self.call.output_format = _format(audio.get("output"), self.call.output_format)

    def _part(self, message: Mapping[str, Any]) -> Part:
        key = (str(message["item_id"]), int(message.get("content_index", 0)))
        part = self.call.parts.get(key)
        if part is None:
            part = self.call.parts[key] = Part(*key, response_id=str(message.get("response_id", "")))
        return part

    def _audio_delta(self, record: Record) -> None:
        self._part(record.message).chunks.append(pybase64.b64decode(record.message["delta"]))

    def _audio_done(self, record: Record) -> None:
        self._part(record.message).complete = True

    def _transcript_delta(self, record: Record) -> None:
        self._part(record.message).transcript += str(record.message.get("delta", ""))

    def _transcript_done(self, record: Record) -> None:
        self._part(record.message).transcript = str(record.message.get("transcript", ""))

    def _append(self, record: Record) -> None:
        n_bytes = int(record.message["bytes"])
        if not 0 <= n_bytes <= _MAX_MEDIA_BYTES:
            raise ValueError("no such audio was sent")
        self._appended_bytes += n_bytes

    def _input_ms(self, ms: float) -> float:
        """Returns a position in the session's input audio as a media timestamp, in milliseconds. The last sample that
        was sent to the model is the last sample that was received from Twilio.
        """
        bytes_per_ms = 8 if self.call.input_format == "audio/pcmu" else 48
        return ms + self._stamp_ms - self._appended_bytes / bytes_per_ms

    def _speech_started(self, record: Record) -> None:
        message = record.message
        start_ms = self._input_ms(_ms(message["audio_start_ms"]))
        self.call.speech.append(Speech(str(message.get("item_id", "")), record.t, start_ms))

    def _speech_stopped(self, record: Record) -> None:
        speech = self._speech_of(record.message)
        if speech is not None:
            speech.end_ms = self._input_ms(_ms(record.message["audio_end_ms"]))

    def _speech_text(self, record: Record) -> None:
        speech = self._speech_of(record.message)
        if speech is not None:
            speech.text = str(record.message.get("transcript", "")).strip()

    def _speech_of(self, message: Mapping[str, Any]) -> Speech | None:
        item_id = message.get("item_id")
        return next((speech for speech in reversed(self.call.speech) if speech.item_id == item_id), None)

    # --- the call -------------------------------------------------------------------------------------------------

    def _header(self, record: Record) -> None:
        self.call.header = record.data

    def _stream(self, record: Record) -> None:
        data, stream = record.data, self.call.streams[-1] if self.call.streams else None
        zero_ms = FRAME_MS + (stream.at / 8 if stream is not None else 0)
        self.call.runs.update([(int(position), _ms(ms) + zero_ms) for position, ms in data.get("runs", ())])
        if stream is not None and "heard" in data:
            stream.heard, stream.sent, stream.end_t = int(data["heard"]), self._sent, record.t

    def _clip(self, record: Record) -> None:
        self.call.clips[str(record.data["digest"])] = pybase64.b64decode(record.data["payload"])

    def _play(self, record: Record) -> None:
        data = record.data
        clip = self.call.clips.get(str(data.get("clip")), b"")
        part = Part(str(data["item_id"]), 0, chunks=[clip], complete=True, is_clip=True)
        part.transcript = str(data.get("text") or "(a clip)")
        self.call.parts[part.item_id, 0] = part

    def _supervisor(self, record: Record) -> None:
        item_id = str(record.data["item_id"])
        part = self.call.parts.get((item_id, 0))
        if part is None:
            part = Part(item_id, 0, complete=True, is_clip=True, is_supervisor=True)
            self.call.parts[item_id, 0] = part
        part.chunks.append(pybase64.b64decode(record.data["payload"]))

    def _supervisor_words(self, record: Record) -> None:
        part = self.call.parts.get((str(record.data["item_id"]), 0))
        if part is not None:
            part.transcript = f"{part.transcript} {record.data['text']}".strip()

    def _interruption(self, record: Record) -> None:
        data = record.data
        heard = tuple(((str(item), int(index)), _ms(ms)) for item, index, ms in data.get("heard", ()))
        truncations = tuple(((str(item), int(index)), int(_ms(ms))) for item, index, ms in data.get("truncations", ()))
        position = None if data.get("position") is None else int(data["position"])
        item_id = str(data.get("item_id") or (heard[0][0][0] if heard else ""))
        cause = cause_of(data.get("cause", CutCause.CALLER))
        self.call.interruptions.append(Interruption(record.t, item_id, position, heard, truncations, cause))

    def _note(self, record: Record) -> None:
        data = record.data
        match record.kind:
            case "timer":
                self.call.notes.append(Note(record.t, "timer", str(data["name"])))
            case "control":
                shown = [(k, v) for k, v in data.items() if k not in _NOT_SHOWN and v is not None]
                arguments = [f"{k}={v}" for k, v in shown]
                self.call.notes.append(Note(record.t, "control", f"{data['action']}({', '.join(arguments)})"))
            case "rest":
                status = data.get("error") or data.get("status")
                self.call.notes.append(Note(record.t, "rest", f"{data['action']}: {status}"))
            case "handoff":
                text = f"{data['from']} hands over to {data['to']}"
                self.call.notes.append(Note(record.t, "handoff", text))
            case "callback":
                values = " ".join(str(v) for k, v in data.items() if k != "what")
                self.call.notes.append(Note(record.t, "callback", f"{data['what']} {values}".strip()))

    def _tool_start(self, record: Record) -> None:
        data = record.data
        self.call.tools.append(
            ToolCall(str(data["call_id"]), str(data["name"]), _text(data.get("arguments")), record.t)
        )

    def _tool_end(self, record: Record) -> None:
        for tool in reversed(self.call.tools):
            if tool.call_id == str(record.data["call_id"]):
                break
        else:
            if "error" not in record.data:
                return  # the tool was not allowed to run
            tool = ToolCall(str(record.data["call_id"]), str(record.data.get("name")), "", record.t)
            self.call.tools.append(tool)
        tool.end_t, tool.output = record.t, _text(record.data.get("output"))
        tool.error = _text(record.data.get("error", ""))

    def _close(self, record: Record) -> None:
        self.call.closes.append(record)

    def _lost(self, record: Record) -> None:
        self.call.lost += int(record.data.get("records", 0))

    def _end(self, record: Record) -> None:
        self.call.end = record.data


def _ms(value: Any) -> float:
    """Returns a time in milliseconds. Raises `ValueError` for a time that is too large for a call."""
    ms = float(value)
    if not abs(ms) <= _MAX_MS:
        raise ValueError(f"{ms:g} ms are beyond any call")
    return ms


def _format(side: Any, default: str) -> str:
    form = side.get("format") if isinstance(side, dict) else None
    return str((form.get("type") if isinstance(form, dict) else None) or default)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
