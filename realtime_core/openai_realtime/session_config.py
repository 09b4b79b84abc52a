"""The server session's configuration: what is desired, what the server has acknowledged, and the difference.

Pure. A `session.update` changes only what it names, so only differences are sent: what was changed at run time by other
means stays, and a voice is never sent again once the agent has spoken (the server refuses that: `cannot_update_voice`).

Source: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError

__all__ = ["DEFAULT_MODEL", "Effective", "SessionConfig", "bytes_per_ms", "session_object", "wire_format"]

DEFAULT_MODEL = "gpt-realtime-2.1"

_PCM = {"type": "audio/pcm", "rate": 24000}
_PCMU = {"type": "audio/pcmu"}
_PCMA = {"type": "audio/pcma"}
_FORMATS: Mapping[str, Mapping[str, Any]] = {
    "pcm16": _PCM,
    "pcm": _PCM,
    "audio/pcm": _PCM,
    "g711_ulaw": _PCMU,
    "pcmu": _PCMU,
    "audio/pcmu": _PCMU,
    "g711_alaw": _PCMA,
    "pcma": _PCMA,
    "audio/pcma": _PCMA,
}
_PLAIN_KEYS = (
    "instructions",
    "max_output_tokens",
    "parallel_tool_calls",
    "reasoning",
    "truncation",
    "include",
)
_NESTED_KEYS: Mapping[tuple[str, str], str] = {
    ("input", "format"): "input_audio_format",
    ("input", "transcription"): "input_audio_transcription",
    ("input", "noise_reduction"): "input_audio_noise_reduction",
    ("input", "turn_detection"): "turn_detection",
    ("output", "format"): "output_audio_format",
    ("output", "voice"): "voice",
    ("output", "speed"): "speed",
}
"""Where the protocol has it, and the flat key of the same thing."""
_MAY_BE_OFF = frozenset({"transcription", "noise_reduction", "turn_detection"})

Path = tuple[str, ...]
Fields = dict[Path, Any]
"""A session object flattened: `("instructions",)`, `("audio", "output", "voice")`. Values are replaced as a whole."""

_VOICE: Path = ("audio", "output", "voice")
_PROMPT: Path = ("prompt",)
_AUDIO_FORMATS: tuple[Path, ...] = (("audio", "input", "format"), ("audio", "output", "format"))


def wire_format(name: str | Mapping[str, Any]) -> dict[str, Any]:
    """The protocol's object for an audio format. Raises `UserError` for an unknown name."""
    if isinstance(name, Mapping):
        return dict(name)
    if name not in _FORMATS:
        raise UserError(f"Unknown audio format {name!r}: use 'pcm16', 'g711_ulaw' or 'g711_alaw'.")
    return dict(_FORMATS[name])


def bytes_per_ms(format: Mapping[str, Any]) -> int:
    """48 for PCM16 at 24 kHz, 8 for G.711."""
    return 8 if format.get("type") in ("audio/pcmu", "audio/pcma") else 48


def session_object(
    settings: Mapping[str, Any], *, defaults: bool, turns: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> Fields:
    """The fields of `RealtimeSessionModelSettings`, nested keys before flat ones, over the defaults if wanted. `turns`
    has the last word on turn detection."""
    fields: Fields = {}
    if defaults:
        fields = {
            ("output_modalities",): ["audio"],
            ("audio", "input", "format"): dict(_PCM),
            ("audio", "input", "transcription"): {"model": "gpt-4o-mini-transcribe"},
            ("audio", "input", "turn_detection"): turns({"type": "semantic_vad"}),
            ("audio", "output", "format"): dict(_PCM),
            ("audio", "output", "voice"): "ash",
        }
    fields |= {(key,): settings[key] for key in _PLAIN_KEYS if settings.get(key) is not None}
    modalities = settings.get("output_modalities") or settings.get("modalities")
    if modalities:
        fields["output_modalities",] = list(modalities)
    if "tracing" in settings:
        fields["tracing",] = settings["tracing"]
    if settings.get("prompt") is not None:
        fields["prompt",] = _prompt(settings["prompt"])
    if settings.get("tool_choice") is not None:
        fields["tool_choice",] = _tool_choice(settings["tool_choice"])
    if "tools" in settings or "handoffs" in settings:
        given = (*(settings.get("tools") or ()), *(settings.get("handoffs") or ()))
        fields["tools",] = [_tool(each) for each in given]
    return fields | _audio(settings, turns)


def _audio(settings: Mapping[str, Any], turns: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Fields:
    fields: Fields = {}
    audio = settings.get("audio") or {}
    for (side, name), flat in _NESTED_KEYS.items():
        nested = audio.get(side) or {}
        if name in nested:
            value = nested[name]
        elif flat in settings:
            value = settings[flat]
        else:
            value = settings.get("audio_format") if name == "format" else None
            if value is None:
                continue
        if value is None and name not in _MAY_BE_OFF:
            continue
        if name == "format":
            value = wire_format(value)
        elif name == "turn_detection" and value is not None:
            value = turns(_turn_detection(value))
        fields["audio", side, name] = value
    return fields


def _turn_detection(given: Mapping[str, Any]) -> dict[str, Any]:
    """With the protocol's key names (`silenceDurationMs` is taken, too) and with a type."""
    named = {re.sub(r"(?<=[a-z])([A-Z])", lambda m: "_" + m[1].lower(), key): value for key, value in given.items()}
    return {"type": "semantic_vad" if "eagerness" in named else "server_vad", **named}


def _prompt(prompt: Any) -> Any:
    return {"id": prompt} if isinstance(prompt, str) else prompt


def _tool_choice(choice: Any) -> Any:
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        return {"type": "function", "name": choice}
    return choice


def _tool(tool: Any) -> dict[str, Any]:
    """A function tool or a handoff by its shape, or the protocol's own object (hosted MCP) as it is."""
    if isinstance(tool, Mapping):
        return dict(tool)
    if hasattr(tool, "tool_name"):
        name, description, schema = tool.tool_name, tool.tool_description, tool.input_json_schema
    elif hasattr(tool, "params_json_schema"):
        name, description, schema = tool.name, tool.description, tool.params_json_schema
    else:
        raise UserError(f"{tool!r} is not a tool: it has neither params_json_schema nor tool_name.")
    return {"type": "function", "name": name, "description": description or "", "parameters": schema}


def _flatten(session: Mapping[str, Any]) -> Fields:
    fields: Fields = {}
    for key, value in session.items():
        if key == "audio" and isinstance(value, Mapping):
            for side, part in value.items():
                fields |= {("audio", side, name): each for name, each in part.items()} if part else {}
        elif key != "type":
            fields[key,] = value
    return fields


def _nest(fields: Fields) -> dict[str, Any]:
    session: dict[str, Any] = {"type": "realtime"}
    for path, value in fields.items():
        target = session
        for name in path[:-1]:
            target = target.setdefault(name, {})
        target[path[-1]] = value
    return session


@dataclass(frozen=True, slots=True)
class Effective:
    """What the server says is in effect, as far as we go by it."""

    input_format: Mapping[str, Any]
    output_format: Mapping[str, Any]
    create_response: bool
    interrupt_response: bool
    speaks: bool

    @classmethod
    def of(cls, session: Mapping[str, Any]) -> Effective:
        """From the session object of `session.updated`, GA or beta. What is absent has the server's defaults."""
        audio = _mapping(session.get("audio"))
        given, taken = _mapping(audio.get("input")), _mapping(audio.get("output"))
        turns = given.get("turn_detection") if "turn_detection" in given else session.get("turn_detection")
        detection = _mapping(turns)
        modalities = session.get("output_modalities") or session.get("modalities") or ["audio"]
        return cls(
            input_format=_format_of(given.get("format") or session.get("input_audio_format")),
            output_format=_format_of(taken.get("format") or session.get("output_audio_format")),
            create_response=bool(detection) and detection.get("create_response") is not False,
            interrupt_response=bool(detection) and detection.get("interrupt_response") is not False,
            speaks=not isinstance(modalities, list) or "audio" in modalities,
        )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _format_of(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        return _FORMATS.get(value, {"type": value})
    return _mapping(value) or _PCM


class SessionConfig:
    """Desired and acknowledged configuration of one server session."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        turns: Callable[[Mapping[str, Any]], dict[str, Any]],
        defaults: bool = True,
    ) -> None:
        """`turns` completes a `turn_detection` object (see `TurnPolicy`); `defaults`: see `session_object`."""
        self._turns = turns
        self._desired = session_object(settings, defaults=defaults, turns=turns)
        self._acknowledged: Fields = {}
        self._sent: deque[tuple[str, Fields]] = deque()
        self.voice_frozen = False
        """The agent was heard: its voice can no longer change."""
        self.effective = Effective.of(_nest(self._desired))

    def change(self, settings: Mapping[str, Any], previous: Mapping[str, Any] | None = None) -> None:
        """Wish for other settings. Keys that are absent stay as they are; the voice stays once it was heard. Where the
        settings take the place of `previous` ones, only the difference is wished for."""
        fields = session_object(settings, defaults=False, turns=self._turns)
        if previous is not None:
            before = session_object(previous, defaults=False, turns=self._turns)
            fields = {path: value for path, value in fields.items() if path not in before or before[path] != value}
            if _PROMPT in before and settings.get("prompt") is None:
                fields[_PROMPT] = None
        self._wish(fields)

    def let_server_respond(self, value: bool) -> bool:
        """Wish for `create_response` of turn detection; returns whether that is a change."""
        path = ("audio", "input", "turn_detection")
        current = self._desired.get(path)
        if not isinstance(current, Mapping) or current.get("create_response", True) is value:
            return False
        self._desired[path] = {**current, "create_response": value}
        return True

    def sent_by_hand(self, event_id: str, session: Mapping[str, Any]) -> None:
        """The user sends this `session.update` himself: it becomes part of what is desired."""
        fields = _flatten(session)
        self._desired |= fields
        self._sent.append((event_id, fields))

    def update(self, event_id: str, *, assert_formats: bool = False) -> dict[str, Any] | None:
        """The `session` of the `session.update` that is due now, or None where nothing differs. `assert_formats`: name
        the audio formats in any case, so that no update of the rest can be read as a return to the default."""
        known = self._known()
        fields = {path: value for path, value in self._desired.items() if path not in known or known[path] != value}
        if not fields:
            return None
        if assert_formats:
            fields |= {path: self._desired[path] for path in _AUDIO_FORMATS if path in self._desired}
        self._sent.append((event_id, fields))
        return _nest(fields)

    def updated(self, session: Mapping[str, Any]) -> None:
        """`session.updated`: the oldest update that is under way has been taken."""
        if self._sent:
            self._acknowledged |= self._sent.popleft()[1]
        self.effective = Effective.of(session)

    def refused(self, event_id: str) -> bool:
        """An error; returns whether it was for a `session.update`. What it wished for is forgotten."""
        refused = next((each for each in self._sent if each[0] == event_id), None)
        if refused is None:
            return False
        self._sent.remove(refused)
        known = self._known()
        for path in refused[1]:
            if path in known:
                self._desired[path] = known[path]
            else:
                self._desired.pop(path, None)
        return True

    def renewed(self) -> SessionConfig:
        """For a new server session, which knows nothing yet, the same wishes. The voice is still the one heard."""
        renewed = SessionConfig({}, turns=self._turns, defaults=False)
        renewed.wish_like(self)
        return renewed

    def wish_like(self, other: SessionConfig) -> None:
        """Desire what the other desires."""
        self._desired = dict(other._desired)
        self.voice_frozen = other.voice_frozen

    def _known(self) -> Fields:
        known = dict(self._acknowledged)
        for _, fields in self._sent:
            known |= fields
        return known

    def _wish(self, fields: Fields) -> None:
        if self.voice_frozen:
            fields.pop(_VOICE, None)
        self._desired |= fields
