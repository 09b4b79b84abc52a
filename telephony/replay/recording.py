"""A recorded call as input for a replay: the incoming messages, with their times and triggers. Pure.

The triggers of a message of the model are the events that it followed in the recording: a command to the model, or an
amount of the caller's audio, because the model measures time by this audio. In a replay, a message is due when its
triggers have happened again and the recorded interval has passed.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import JournalError
from ..journal.encoding import dump, parse_object
from ..journal.format import MALFORMED, Record, object_at, schema_of
from ..masking import BULLET
from .behaviour import Behaviour, BehaviourReader
from .mark_timing import MarkTiming
from .recorded_requests import RecordedRequest, RequestLog
from .triggers import AUDIO, Trigger, Triggers

__all__ = ["Incoming", "RecordedStream", "Recording", "ToolAnswer", "load"]

_RESPONSE_ID = re.compile(r'"response_id": ?"([^"]*)"')
_SAME_STEP_S = 0.002
_STALLED_S = 0.5
_STOOD_STILL_S = 0.1
_BURST_S = 0.02
_FRAME_S = 0.02


@dataclass(slots=True)
class Incoming:
    """A message of a recorded call that Twilio or the model sent. `t` is the time in seconds since the start of the
    call, and `text` is the JSON text. `index` is the place of the message among the journal records. Records of the
    caller's audio that was sent to the model are not counted. `session` is the number of the connection to the model.
    The class is not frozen, because creating a frozen object takes twice as long.
    """

    index: int
    t: float
    text: str
    event: str
    triggers: tuple[Trigger, ...] = ()
    session: int = 0


@dataclass(slots=True)
class ToolAnswer:
    """What a tool call did in the recorded call. `requests` are the commands that the tool gave to the call, such as to
    hang up. The call of the tool began at `t` (in seconds since the start of the call). The tool returned `output`
    after `seconds` seconds. `seconds` is None if the tool never returned.
    """

    call_id: str
    name: str
    arguments: str
    t: float
    output: str = ""
    seconds: float | None = None
    silent: bool = False
    requests: list[RecordedRequest] = field(default_factory=list)


@dataclass(slots=True)
class RecordedStream:
    """One media stream of the recorded call. The stream began at `t` (in seconds since the start of the call). `start`
    is the text of Twilio's `start` message, and `index` is the number of its journal record.
    """

    sid: str
    start: str
    t: float
    index: int
    phone: list[Incoming] = field(default_factory=list)
    """Twilio's messages on this media stream after `start`, without marks (the reports that audio was played). The end
    of the stream is a `close` message.
    """
    marks: MarkTiming = field(default_factory=MarkTiming)
    ended_t: float | None = None
    """The time at which the connection of the stream ended, in seconds since the start of the call."""


@dataclass(slots=True)
class Recording:
    """A recorded call, as a replay needs it: the messages that the application received, and what the application did
    with them when the call was recorded. Reports show the call under its `name`.
    """

    name: str
    header: Mapping[str, Any] = field(default_factory=dict)
    streams: list[RecordedStream] = field(default_factory=list)
    """The media streams in the order of their start. There is at least one stream."""
    model: list[Incoming] = field(default_factory=list)
    """The recorded messages from the model, in order. A replay sends these messages again in place of a model. The end
    of a connection is a `close` message.
    """
    attempts: list[Record] = field(default_factory=list)
    """The recorded attempts to connect to the model: the journal records of the kind `open`. The record of a failed
    attempt has the field `error`.
    """
    model_class: Mapping[str, Any] = field(default_factory=dict)
    tools: list[ToolAnswer] = field(default_factory=list)
    requests: list[RecordedRequest] = field(default_factory=list)
    """The commands that users' code outside of tools gave to the call."""
    verdicts: list[tuple[float, str]] = field(default_factory=list)
    """The results of Twilio's answering machine detection, for an outgoing call: (time in seconds since the start of
    the call, who answered).
    """
    callbacks: list[tuple[float, Mapping[str, Any]]] = field(default_factory=list)
    """Twilio's webhooks about the call, each as (time in seconds since the start of the call, fields of the webhook).
    """
    rest: list[Record] = field(default_factory=list)
    """The requests to Twilio's REST API, with the responses."""
    clips: dict[str, bytes] = field(default_factory=dict)
    """The clips (stored audio) that were played, by digest (a hash of the audio)."""
    behaviour: Behaviour = field(default_factory=Behaviour)
    """What the recorded version of the agent did in the call. The replay compares this with what the current version
    does.
    """
    commands: list[Record] = field(default_factory=list)
    """The messages that were sent to the model, without the caller's audio."""
    session: Mapping[str, Any] = field(default_factory=dict)
    """The first session configuration that was sent to the model."""
    stalls: list[tuple[float, float, bool]] = field(default_factory=list)
    """The times at which the event loop of the recorded process was blocked, each as (start, end, reads first). Start
    and end are in seconds since the start of the call. "Reads first" is True if the loop read the waiting messages
    before it ran other code afterwards. The replay repeats this order.
    """
    duration_s: float = 0.0
    malformed: int = 0
    """The number of journal records that lack the fields that their kind needs. The replay ignores these records."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The recorded options of the call. An old journal contains only the greeting."""
        if "config" in self.header:
            config: Mapping[str, Any] = self.header["config"]
            return config
        return {"greeting": self._first_greeting()}

    @property
    def schema(self) -> int:
        return schema_of(self.header)

    @property
    def masks_audio(self) -> bool:
        """Whether the voices in the recording are masked. If True, their checksums are not compared."""
        return bool(self.header.get("redaction", {}).get("audio"))

    def _first_greeting(self) -> str | None:
        created = next((command for command in self.commands if command.event == "response.create"), None)
        instructions = created.message.get("response", {}).get("instructions") if created else None
        return instructions if isinstance(instructions, str) else None


def load(lines: Iterable[tuple[float, str, str | None, Mapping[str, Any] | None]], name: str) -> Recording:
    """Reads a recording from the lines of a journal, as returned by `journal.reader.raw_lines`.

    Raises `JournalError` for a journal in which no media stream starts.
    """
    loader = _Loader(name)
    for index, (t, kind, text, data) in enumerate(lines):
        try:
            loader.take(index, t, kind, text, data)
        except MALFORMED:
            loader.recording.malformed += 1
    if not loader.recording.streams:
        raise JournalError(f"{name}: no media stream starts in this journal; there is nothing to replay.")
    return loader.loaded()


class _Loader:
    def __init__(self, name: str) -> None:
        self.recording = Recording(name)
        self._triggers = Triggers()
        self._reader = BehaviourReader()
        self.recording.behaviour = self._reader.behaviour
        self._session = -1
        self._open_tools: dict[str, ToolAnswer] = {}
        self._log = RequestLog()
        self._place = 0
        self._gaps: list[tuple[float, float, bool]] = []

    def loaded(self) -> Recording:
        recording = self.recording
        for stream in recording.streams:
            stream.marks.settle()
        recording.stalls = [gap for gap in self._gaps if self._is_stall(gap[0], gap[1])]
        self._restore_answers()
        by_id = {tool.call_id: tool for tool in recording.tools}
        for request in self._log.requests:
            tool = None if request.tool is None else by_id.get(request.tool)
            if tool is not None and not (self._log.complete and _ends_after(request, tool)):
                tool.requests.append(request)
            elif (request.tool is None or tool is not None) and self._log.complete:
                recording.requests.append(request)
            if request.action == "collect_digits" and recording.schema >= 3:
                self._end_of_keys(request)
        return recording

    def _restore_answers(self) -> None:
        """Restores the keys with which the caller answered the notice about the recording. The journal's header
        contains these keys, because they are not secret.
        """
        consent = recording.get("consent") if isinstance(recording := self.recording.config, Mapping) else None
        for t, callback in self.recording.callbacks:
            if not isinstance(consent, Mapping) or callback.get("what") != "consent" or callback.get("by") != "key":
                continue
            key = str(consent.get("accept_key" if callback.get("answer") == "accepted" else "refuse_key", ""))
            for each in (each for stream in self.recording.streams for each in stream.phone):
                if each.event == "dtmf" and abs(each.t - t) < _SAME_STEP_S:
                    each.text = each.text.replace(BULLET, key)

    def _is_stall(self, begin: float, end: float) -> bool:
        """Returns whether the event loop was blocked between two records. In this case, the caller's frames of this
        time arrived together afterwards.
        """
        frames = sum(
            incoming.event == "media" and end <= incoming.t < end + _BURST_S
            for stream in self.recording.streams
            for incoming in stream.phone
        )
        return frames > (end - begin) / _FRAME_S / 2

    def _end_of_keys(self, request: RecordedRequest) -> None:
        """Restores a masked terminator: the key that ended `collect_digits` before all digits were typed."""
        keys = request.outcome.get("keys")
        if request.ended_t is None or keys is None or keys >= request.arguments.get("max_digits", 0):
            return
        key = str(request.arguments.get("terminator") or BULLET)
        for stream in self.recording.streams:
            for n, incoming in reversed(list(enumerate(stream.phone))):
                if incoming.event == "dtmf" and abs(incoming.t - request.ended_t) < _SAME_STEP_S:
                    stream.phone[n] = replace(incoming, text=incoming.text.replace(BULLET, key))
                    return

    def take(self, index: int, t: float, kind: str, text: str | None, data: Mapping[str, Any] | None) -> None:
        if t - self.recording.duration_s > _STOOD_STILL_S and self.recording.streams:
            self._gaps.append((self.recording.duration_s, t, kind.endswith(".in")))
        self.recording.duration_s = max(self.recording.duration_s, t)
        self._place += kind != "model.out" or data is None or data.get("message", {}).get("type") != AUDIO
        if kind == "twilio.in":
            if text is not None:
                self._from_twilio(self._place, t, text)
        elif kind == "model.in":
            if text is not None:
                self._from_model(self._place, t, text)
        else:
            assert data is not None
            self._ours(index, Record(t, kind, data))

    def _from_twilio(self, index: int, t: float, text: str) -> None:
        streams = self.recording.streams
        if text.startswith('{"event":"media"') and len(streams) == 1:
            streams[0].phone.append(Incoming(index, t, text, "media"))
            streams[0].marks.frame(t, index)
            return
        message = parse_object(text)
        if message is None:
            return
        event, sid = str(message.get("event", "")), str(message.get("streamSid", ""))
        if event == "start":
            streams.append(RecordedStream(sid, text, t, index))
            self._triggers.stream_began()
        elif (stream := self._stream(sid)) is None:
            return
        elif event == "mark":
            stream.marks.returned(t, str(object_at(message, "mark").get("name", "")), index)
        else:
            stream.phone.append(Incoming(index, t, text, event))
            if event == "media":
                stream.marks.frame(t, index)

    def _stream(self, sid: str) -> RecordedStream | None:
        """Returns the stream with this sid, or the last stream."""
        streams = self.recording.streams
        return next((stream for stream in reversed(streams) if stream.sid == sid), streams[-1] if streams else None)

    def _from_model(self, index: int, t: float, text: str) -> None:
        message: Mapping[str, Any]
        if text.startswith('{"type":"response.output_audio.delta"') and (found := _RESPONSE_ID.search(text, 0, 400)):
            message = {"type": "response.output_audio.delta", "response_id": found[1]}
        else:
            message = parse_object(text) or {}
        event = str(message.get("type", ""))
        if event == "session.created":
            self._session += 1
        triggers = self._triggers.of(event, message)
        self.recording.model.append(Incoming(index, t, text, event, triggers, max(0, self._session)))

    def _ours(self, index: int, record: Record) -> None:
        recording = self.recording
        match record.kind:
            case "header":
                recording.header = record.data
                self._reader.schema = recording.schema
            case "twilio.out":
                if recording.streams:
                    recording.streams[-1].marks.sent(record)
            case "open":
                recording.attempts.append(record)
                if "error" not in record.data:
                    self._triggers.sent(record, "open")
            case "model":
                recording.model_class = record.data
            case "model.out":
                self._to_model(record, record.event)
            case "close":
                self._close(self._place, record)
            case "supervisor":
                self._log.take_voice(record)
            case "supervisor.words":
                self._log.take_words(record)
            case "verdict":
                recording.verdicts.append((record.t, str(record.data.get("answered_by"))))
            case "tool.start" | "tool.end":
                self._tool(record)
            case "control" | "control.end":
                self._log.take(record, inside=next(reversed(self._open_tools), None))
            case "callback":
                recording.callbacks.append((record.t, record.data))
            case "rest":
                recording.rest.append(record)
            case "clip":
                recording.clips[str(record.data["digest"])] = base64.b64decode(record.data["payload"])
        self._reader.take(index, record)

    def _to_model(self, record: Record, event: str) -> None:
        self._triggers.sent(record, event)
        if event != AUDIO:
            self.recording.commands.append(record)
        if event == "session.update" and not self.recording.session:
            self.recording.session = record.message.get("session", {})
        elif event == "conversation.item.create":
            self._output(record)

    def _output(self, record: Record) -> None:
        """Handles an output that no tool returned, such as the output of a handoff. Such an output is also an
        answer.
        """
        item = record.message.get("item", {})
        call_id = item.get("call_id")
        if item.get("type") == "function_call_output" and all(tool.call_id != call_id for tool in self.recording.tools):
            answer = ToolAnswer(str(call_id), "", "", record.t, _text(item.get("output")), 0.0)
            self.recording.tools.append(answer)

    def _close(self, index: int, record: Record) -> None:
        """Handles a close by the peer or by the network. Closes by the recorded code are ignored, because the replayed
        code makes its own closes.
        """
        recording = self.recording
        stream = self._stream(str(record.data.get("stream_sid", ""))) if record.data.get("peer") == "twilio" else None
        if stream is not None:
            stream.ended_t = record.t
            if stream is self.recording.streams[-1]:
                self._triggers.stream_ended()
            last_t = stream.phone[-1].t if stream.phone else stream.t
            stream.marks.lost = record.data.get("by") == "network" or record.t - last_t > _STALLED_S
        if record.data.get("by") != "us":
            text = dump(record.data)
            if stream is not None:
                stream.phone.append(Incoming(index, record.t, text, "close"))
            elif record.data.get("peer") != "twilio":
                triggers = self._triggers.of("close", {})
                recording.model.append(Incoming(index, record.t, text, "close", triggers, max(0, self._session)))

    def _tool(self, record: Record) -> None:
        data, recording = record.data, self.recording
        if record.kind == "tool.start":
            tool = ToolAnswer(data["call_id"], data["name"], _text(data.get("arguments")), record.t)
            recording.tools.append(tool)
            self._open_tools[tool.call_id] = tool
        elif (ended := self._open_tools.pop(data["call_id"], None)) is not None:
            ended.output, ended.seconds = _text(data.get("output")), record.t - ended.t
            ended.silent = bool(data.get("silent"))


def _ends_after(request: RecordedRequest, tool: ToolAnswer) -> bool:
    """Returns whether the request continued after its tool had returned, because the tool started a task and did not
    wait for the task.
    """
    if tool.seconds is None or not request.end_is_known:
        return False
    return request.ended_t is None or request.ended_t > tool.t + tool.seconds + _SAME_STEP_S


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
