"""Scripts for the embedded server, and their TOML format.

```toml
name = "Trattoria Blu"       # all of these are optional
latency_s = 0.3              # from a request to the first audio of its answer
expires_after_s = 3600       # after that the server ends the session: error session_expired, close 1001

[greeting]                   # for a response that is requested before the caller has spoken
say = "Hello, this is Trattoria Blu."
clip = "hello.wav"           # a WAV file beside the script, or the name of a stored line; else the voice speaks `say`

[[turn]]                     # the caller's first spoken turn; the next [[turn]] is the second, and so on
heard = "A table for two, please."       # its transcript
heard_fails = false          # true: the transcription fails
heard_in = "de"              # the language that the transcription names; without it, none
filler = "One moment."       # said before the call
tool = "book_table"          # called with `arguments`; then `say` is said after the result, and may contain {result}
arguments = { day = "Friday", people = 2 }
calls = [{ tool = "a", arguments = {} }, { tool = "b" }]   # instead of `tool`: several calls in one response
say = "Booked."
pauses = [{ at_s = 1.0, pause_s = 0.7 }]   # the model stops sending for 0.7 s when 1.0 s of this answer's audio is out

[[turn]]
text = "pressed 1"           # or: for a text of the client (or instructions of a `response.create`) that contains this,
say = "Again, then."         # each time it comes; such a turn does not count in the order of the spoken turns

[[transcribed]]              # the first turn of a transcription session; the next [[transcribed]] is the second, ...
heard = "I will refund it."  # its transcript; or `heard_fails = true`

[otherwise]                  # when the script has no (more) turns
say = "That is all I know."
```

Faults, at most one for a turn (also in `greeting` and `otherwise`):

- `fail = "server_error"`: the response ends as failed with this error code
- `incomplete = "max_output_tokens"` or `"content_filter"`: the response ends as incomplete
- `close = 1011`: the connection is closed with this code (1006: dropped without a close message)
- `stall_s = 2.0`: the server neither reads nor writes for this time
- `error = "rate_limit_exceeded"`: an `error` event comes instead of the answer
- `empty = true`: a response without output
- `text_only = true`: the answer is text, although audio was requested

`at_s = 1.2` is the position of the fault in the answer's audio (default: before any output; `incomplete`: half-way).
`message = "..."` is its text. Positions are rounded up to 200 ms, the length of a burst. A position past the end counts
as the end. In a text answer the position is half-way.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import ScriptError
from .reply import Call, Heard, Pause, Reply, Trouble

__all__ = ["Script", "Turn", "builtin_script", "load_script", "parse_script"]

DEFAULT_OTHERWISE = "I have come to the end of my script."


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the caller, and the response to this turn.

    A turn with `text` answers a written message that contains this text. Turns without `text` answer the caller's
    speech, one after the other. `heard` is the transcript of the caller. If the turn has tool `calls`, `first` is the
    response that makes the calls, and `answer` is the response to the results of the tools. If the turn has no tool
    calls, both are the same response.
    """

    answer: Reply = field(default_factory=Reply)
    text: str | None = None
    heard: str | None = None
    heard_fails: bool = False
    heard_in: str = ""
    filler: str = ""
    calls: Sequence[Call] = ()

    @property
    def first(self) -> Reply:
        return Reply(say=self.filler, calls=self.calls) if self.calls else self.answer


@dataclass(frozen=True, slots=True)
class Script:
    """A validated script: what the embedded server (a local server in place of a real model) answers to the turns of
    the caller. `greeting` answers a request for a response before the caller has spoken. `otherwise` is the answer when
    no other answer is left, and the greeting if `greeting` is None.
    """

    turns: Sequence[Turn] = ()
    name: str = ""
    greeting: Reply | None = None
    transcribed: Sequence[Heard] = ()
    """The transcripts of the caller's turns in a transcription session (a session that only transcribes speech), in
    order. Each new transcription session begins again with the first transcript.
    """
    otherwise: Reply = field(default_factory=lambda: Reply(say=DEFAULT_OTHERWISE))
    latency_s: float = 0.3
    expires_after_s: float = 3600.0


def load_script(path: str | Path) -> Script:
    """Reads a script file. Raises `ScriptError` with the place of the problem and the remedy."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"The script {path} cannot be read: {error}.") from error
    return parse_script(text, name=str(path), folder=path.parent)


def builtin_script(name: str) -> Script:
    """Returns a script of the package by its name, such as `trattoria`."""
    source = files(__package__).joinpath("scripts", f"{name}.toml")
    return parse_script(source.read_text(encoding="utf-8"), name=f"{name}.toml")


def parse_script(text: str, *, name: str = "script", folder: Path | None = None) -> Script:
    """Parses a script in TOML. `name` is the name of the script in error messages. `folder` is the folder with the WAV
    files of the script. Raises `ScriptError` for an invalid script.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScriptError(f"{name} is not valid TOML: {error}.") from error
    return _Reader(name, text, folder).script(table)


_STR, _NUMBER, _BOOL, _INT, _TABLE, _TABLES = (
    "a string",
    "a number",
    "true or false",
    "an integer",
    "a table",
    "an array of tables",
)
_IS: dict[str, Callable[[Any], bool]] = {
    _STR: lambda value: isinstance(value, str),
    _NUMBER: lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value >= 0,
    _BOOL: lambda value: isinstance(value, bool),
    _INT: lambda value: isinstance(value, int) and not isinstance(value, bool),
    _TABLE: lambda value: isinstance(value, dict),
    _TABLES: lambda value: isinstance(value, list) and all(isinstance(element, dict) for element in value),
}
_ANSWER = {
    "say": _STR, "clip": _STR, "text_only": _BOOL, "empty": _BOOL, "pauses": _TABLES, "at_s": _NUMBER, "message": _STR,
    "fail": _STR, "incomplete": _STR, "close": _INT, "stall_s": _NUMBER, "error": _STR,
}  # fmt: skip
_TURN = {
    **_ANSWER, "text": _STR, "heard": _STR, "heard_fails": _BOOL, "heard_in": _STR, "filler": _STR,
    "tool": _STR, "arguments": _TABLE, "calls": _TABLES,
}  # fmt: skip
_SCRIPT = {
    "name": _STR, "latency_s": _NUMBER, "expires_after_s": _NUMBER,
    "greeting": _TABLE, "turn": _TABLES, "transcribed": _TABLES, "otherwise": _TABLE,
}  # fmt: skip
_TROUBLES = ("fail", "incomplete", "close", "stall_s", "error")


class _Reader:
    """Checks one script file. Errors contain the path of the key and, if possible, the line."""

    def __init__(self, name: str, text: str, folder: Path | None) -> None:
        self._name = name
        self._lines = text.splitlines()
        self._folder = folder

    def script(self, table: Mapping[str, Any]) -> Script:
        self._check(table, _SCRIPT, "")
        turns = [self._turn(turn, f"turn[{i}]") for i, turn in enumerate(table.get("turn", ()))]
        otherwise = table.get("otherwise")
        return Script(
            turns=turns,
            name=table.get("name", ""),
            greeting=self._spoken(table["greeting"], "greeting") if "greeting" in table else None,
            transcribed=[
                self._transcribed(each, f"transcribed[{i}]") for i, each in enumerate(table.get("transcribed", ()))
            ],
            otherwise=self._spoken(otherwise, "otherwise") if otherwise is not None else Reply(say=DEFAULT_OTHERWISE),
            latency_s=float(table.get("latency_s", 0.3)),
            expires_after_s=float(table.get("expires_after_s", 3600.0)),
        )

    def _turn(self, table: Mapping[str, Any], where: str) -> Turn:
        self._check(table, _TURN, where)
        calls = [self._call(call, f"{where}.calls[{i}]") for i, call in enumerate(table.get("calls", ()))]
        if "tool" in table:
            if calls:
                self._fail(f"{where}.tool", "cannot be used together with `calls`", "name all calls under `calls`")
            calls = [Call(table["tool"], json.dumps(table.get("arguments", {}), default=str))]
        elif "arguments" in table:
            self._fail(f"{where}.arguments", "needs a `tool`", "name the tool, or remove the arguments")
        if "filler" in table and not calls:
            self._fail(f"{where}.filler", "is said before a call, but the turn has no call", "put it into `say`")
        if "text" in table and ("heard" in table or "heard_fails" in table):
            self._fail(
                f"{where}.heard",
                "is for spoken turns, but `text` makes this one written",
                "remove one of the two",
            )
        return Turn(
            answer=self._answer(table, where),
            text=table.get("text"),
            heard=table.get("heard"),
            heard_fails=table.get("heard_fails", False),
            heard_in=table.get("heard_in", ""),
            filler=table.get("filler", ""),
            calls=tuple(calls),
        )

    def _transcribed(self, table: Mapping[str, Any], where: str) -> Heard:
        self._check(table, {"heard": _STR, "heard_fails": _BOOL, "heard_in": _STR}, where)
        return Heard(table.get("heard"), table.get("heard_fails", False), table.get("heard_in", ""))

    def _call(self, table: Mapping[str, Any], where: str) -> Call:
        self._check(table, {"tool": _STR, "arguments": _TABLE}, where)
        if "tool" not in table:
            self._fail(f"{where}.tool", "is missing", "name the tool to call")
        return Call(table["tool"], json.dumps(table.get("arguments", {}), default=str))

    def _spoken(self, table: Mapping[str, Any], where: str) -> Reply:
        self._check(table, _ANSWER, where)
        return self._answer(table, where)

    def _answer(self, table: Mapping[str, Any], where: str) -> Reply:
        for i, pause in enumerate(table.get("pauses", ())):
            self._check(pause, {"at_s": _NUMBER, "pause_s": _NUMBER}, f"{where}.pauses[{i}]")
            if len(pause) != 2:
                self._fail(f"{where}.pauses[{i}]", "needs both `at_s` and `pause_s`", "give both")
        trouble = self._trouble(table, where)
        silent = table.get("empty", False) or (
            trouble is not None and trouble.at_s is None and trouble.kind != "incomplete"
        )
        if not table.get("say") and not silent:
            self._fail(f"{where}.say", "is missing", "write the text to say, or `empty = true`")
        if table.get("empty") and ("say" in table or trouble is not None):
            self._fail(
                f"{where}.empty", "is an answer without content", "remove `empty`, or remove `say` and the fault"
            )
        return Reply(
            say=table.get("say", ""),
            clip=self._clip(table.get("clip")),
            text_only=table.get("text_only", False),
            pauses=tuple(Pause(float(pause["at_s"]), float(pause["pause_s"])) for pause in table.get("pauses", ())),
            trouble=trouble,
        )

    def _trouble(self, table: Mapping[str, Any], where: str) -> Trouble | None:
        kinds = [kind for kind in _TROUBLES if kind in table]
        if len(kinds) > 1:
            self._fail(
                f"{where}.{kinds[1]}", f"cannot be combined with `{kinds[0]}`", "keep one; a turn has at most one fault"
            )
        if not kinds:
            if "at_s" in table:
                self._fail(
                    f"{where}.at_s", "gives the position of a fault, but there is no fault", "add `fail`, `close`, ..."
                )
            return None
        kind, value = kinds[0], table[kinds[0]]
        if kind == "incomplete" and value not in ("max_output_tokens", "content_filter"):
            self._fail(f"{where}.incomplete", f"is {value!r}", "use max_output_tokens or content_filter")
        if kind == "close" and not (value in (1000, 1001, 1006) or 1007 <= value <= 1014 or 3000 <= value <= 4999):
            self._fail(f"{where}.close", f"is {value}, which an endpoint may not send", "use 1000-1014 or 3000-4999")
        at_s = float(table["at_s"]) if "at_s" in table else None
        message = table.get("message", "The script says so.")
        match kind:
            case "close":
                return Trouble("close", at_s, message=message, close_code=value)
            case "stall_s":
                return Trouble("stall", at_s, stall_s=float(value))
            case "fail" | "incomplete" | "error":
                return Trouble(kind, at_s, code=value, message=message)
        return None

    def _clip(self, clip: str | None) -> str | None:
        """Returns the full path of a file next to the script, or the name of a stored text."""
        if clip is None or self._folder is None or not (self._folder / clip).is_file():
            return clip
        return str(self._folder / clip)

    def _check(self, table: Mapping[str, Any], keys: Mapping[str, str], where: str) -> None:
        for key, value in table.items():
            path = f"{where}.{key}" if where else key
            if key not in keys:
                self._fail(path, "is not a key of a script", f"use one of: {', '.join(sorted(keys))}")
            if not _IS[keys[key]](value):
                self._fail(path, f"is {value!r}", f"write {keys[key]}")

    def _fail(self, path: str, what: str, cure: str) -> None:
        raise ScriptError(f"{self._name}{self._line(path)}: `{path}` {what}: {cure}.")

    def _line(self, path: str) -> str:
        """Returns `, line N` for a key. tomllib does not return line numbers, so this method searches for the key below
        its table's header.
        """
        head, _, key = path.rpartition(".")
        table, _, index = head.removesuffix("]").partition("[")
        seen, inside = -1, not table
        for number, line in enumerate(self._lines, 1):
            text = line.strip()
            if text.startswith("["):
                seen += text.strip("[] ") == table
                inside = text.strip("[] ") == table and (not index.isdecimal() or seen == int(index))
            elif inside and text.split("=", 1)[0].strip() == key:
                return f", line {number}"
        return ""
