"""A journal as something to replay: what came in and when, and which message of ours each of them answered. Pure.

What the model said had causes: a command of ours, or the caller's audio, which is the model's clock. A message is due
when its causes are there again, and as long after them as it was then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ..errors import JournalError
from ..journal.format import Record
from ..journal.reader import raw_lines
from .behaviour import Behaviour, Teller
from .causes import AUDIO, Causes, Need
from .marks import MarkCurve
from .uncollected import uncollected

__all__ = ["Incoming", "Recording", "ToolAnswer", "load", "read"]

_RESPONSE_ID = re.compile(r'"response_id": ?"([^"]*)"')


@dataclass(slots=True)
class Incoming:
    """A message that came in. `index` is its place among all records; `session` counts the model's connections.
    (Not frozen, which would make them twice as dear: they are so many.)"""

    index: int
    t: float
    text: str
    event: str
    needs: tuple[Need, ...] = ()
    session: int = 0


@dataclass(slots=True)
class ToolAnswer:
    """What a tool did: it asked these things of the call (seconds after its start), and returned `output` after
    `seconds`; None: it never returned."""

    call_id: str
    name: str
    arguments: str
    t: float
    output: str = ""
    seconds: float | None = None
    silent: bool = False
    controls: list[tuple[float, Mapping[str, Any]]] = field(default_factory=list)


@dataclass(slots=True)
class Recording:
    """What came in, and what we did about it; `name` is for reports."""

    name: str
    header: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""
    phone: list[Incoming] = field(default_factory=list)
    """What Twilio sent after `start`, without marks; that it closed the stream is a `close`."""
    model: list[Incoming] = field(default_factory=list)
    """The same of the model."""
    marks: MarkCurve = field(default_factory=MarkCurve)
    tools: list[ToolAnswer] = field(default_factory=list)
    controls: list[tuple[float, Mapping[str, Any]]] = field(default_factory=list)
    """What was asked of the call while no tool ran."""
    verdicts: list[tuple[float, str]] = field(default_factory=list)
    """Who Twilio said had answered, of a call that was placed."""
    behaviour: Behaviour = field(default_factory=Behaviour)
    """What we did then."""
    opens: list[float] = field(default_factory=list)
    """When connections to the model were opened."""
    commands: list[Record] = field(default_factory=list)
    """What the model was sent, the caller's audio aside."""
    session: Mapping[str, Any] = field(default_factory=dict)
    """The first configuration that was sent to the model."""
    duration_s: float = 0.0

    @property
    def config(self) -> Mapping[str, Any]:
        """What the call was run with; of an old journal, what can be seen of it."""
        if "config" in self.header:
            config: Mapping[str, Any] = self.header["config"]
            return config
        return {"greeting": self._first_greeting()}

    @property
    def masks_audio(self) -> bool:
        """The voices are not in it: checksums of audio say nothing."""
        return bool(self.header.get("redaction", {}).get("audio"))

    def _first_greeting(self) -> str | None:
        created = next((command for command in self.commands if command.event == "response.create"), None)
        instructions = created.message.get("response", {}).get("instructions") if created else None
        return instructions if isinstance(instructions, str) else None


def read(path: Path) -> Recording:
    """The recording in a journal. Raises `JournalError`."""
    name = path.parent.name if path.stem.startswith("journal") else path.name.split(".")[0]
    with uncollected():
        return load(raw_lines(path), name)


def load(lines: Iterable[tuple[float, str, str | None, Mapping[str, Any] | None]], name: str) -> Recording:
    """From `raw_lines`. Raises `JournalError` for a journal in which no stream starts."""
    loader = _Loader(name)
    for index, (t, kind, text, data) in enumerate(lines):
        loader.take(index, t, kind, text, data)
        loader.recording.duration_s = t
    if not loader.recording.start:
        raise JournalError(f"{name}: no media stream starts in this journal; there is nothing to replay.")
    loader.recording.marks.settle()
    return loader.recording


class _Loader:
    def __init__(self, name: str) -> None:
        self.recording = Recording(name)
        self._causes = Causes()
        self._teller = Teller()
        self.recording.behaviour = self._teller.behaviour
        self._session = -1
        self._open_tools: dict[str, ToolAnswer] = {}

    def take(self, index: int, t: float, kind: str, text: str | None, data: Mapping[str, Any] | None) -> None:
        if kind == "twilio.in":
            if text is not None:
                self._from_twilio(index, t, text)
        elif kind == "model.in":
            if text is not None:
                self._from_model(index, t, text)
        else:
            assert data is not None
            self._ours(index, Record(t, kind, data))

    def _from_twilio(self, index: int, t: float, text: str) -> None:
        recording = self.recording
        if text.startswith('{"event":"media"'):
            recording.phone.append(Incoming(index, t, text, "media"))
            recording.marks.frame(t, index)
            return
        event = str(orjson.loads(text).get("event", ""))
        if event == "start" and not recording.start:
            recording.start = text
        elif event == "mark":
            recording.marks.returned(t, orjson.loads(text).get("mark", {}).get("name", ""), index)
        else:
            recording.phone.append(Incoming(index, t, text, event))

    def _from_model(self, index: int, t: float, text: str) -> None:
        message: Mapping[str, Any]
        if text.startswith('{"type":"response.output_audio.delta"') and (found := _RESPONSE_ID.search(text, 0, 400)):
            message = {"type": "response.output_audio.delta", "response_id": found[1]}
        else:
            message = orjson.loads(text)
        event = str(message.get("type", ""))
        if event == "session.created":
            self._session += 1
        needs = self._causes.of(event, message)
        self.recording.model.append(Incoming(index, t, text, event, needs, max(0, self._session)))

    def _ours(self, index: int, record: Record) -> None:
        recording = self.recording
        self._teller.take(index, record)
        match record.kind:
            case "header":
                recording.header = record.data
            case "twilio.out":
                recording.marks.sent(record)
            case "open":
                recording.opens.append(record.t)
                self._causes.sent(record, "open")
            case "model.out":
                self._to_model(record, record.event)
            case "close":
                self._close(index, record)
            case "verdict":
                recording.verdicts.append((record.t, str(record.data.get("answered_by"))))
            case "tool.start" | "tool.end" | "control":
                self._tool(record)

    def _to_model(self, record: Record, event: str) -> None:
        self._causes.sent(record, event)
        if event != AUDIO:
            self.recording.commands.append(record)
        if event == "session.update" and not self.recording.session:
            self.recording.session = record.message.get("session", {})
        elif event == "conversation.item.create":
            self._output(record)

    def _output(self, record: Record) -> None:
        """An output that no tool returned, such as a handoff's, is an answer, too."""
        item = record.message.get("item", {})
        call_id = item.get("call_id")
        if item.get("type") == "function_call_output" and all(tool.call_id != call_id for tool in self.recording.tools):
            answer = ToolAnswer(str(call_id), "", "", record.t, _text(item.get("output")), 0.0)
            self.recording.tools.append(answer)

    def _close(self, index: int, record: Record) -> None:
        """Our own closings happen again by themselves."""
        recording = self.recording
        if record.data.get("by") != "us":
            text = orjson.dumps(record.data).decode()
            if record.data.get("peer") == "twilio":
                recording.phone.append(Incoming(index, record.t, text, "close"))
            else:
                needs = self._causes.of("close", {})
                recording.model.append(Incoming(index, record.t, text, "close", needs, max(0, self._session)))

    def _tool(self, record: Record) -> None:
        data, recording = record.data, self.recording
        if record.kind == "tool.start":
            tool = ToolAnswer(data["call_id"], data["name"], _text(data.get("arguments")), record.t)
            recording.tools.append(tool)
            self._open_tools[tool.call_id] = tool
        elif record.kind == "tool.end":
            if (ended := self._open_tools.pop(data["call_id"], None)) is not None:
                ended.output, ended.seconds = _text(data.get("output")), record.t - ended.t
                ended.silent = bool(data.get("silent"))
        elif self._open_tools:
            latest = list(self._open_tools.values())[-1]
            latest.controls.append((record.t - latest.t, data))
        else:
            recording.controls.append((record.t, data))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
