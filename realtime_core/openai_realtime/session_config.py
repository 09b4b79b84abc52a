"""The server session's configuration: from the user's settings to the protocol's words, and what is in effect.

Pure. A `session.update` changes only what it names, so only differences are sent: what was changed at run time by other
means stays, and a voice is never sent again once the agent has spoken (the server refuses that: `cannot_update_voice`).
Which differences the server has taken and refused, `settings_ledger` knows.

Source: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import RealtimeCoreError, ServerRejected, UserError
from .defaults import DEFAULT_MODEL, DEFAULT_MODEL_SETTINGS
from .settings_ledger import Answered, Change, Fields, Path, Refusal, SettingsLedger, path_of

__all__ = [
    "DEFAULT_MODEL",
    "Effective",
    "SessionConfig",
    "bytes_per_ms",
    "session_object",
    "setting_name",
    "wire_format",
]

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

_VOICE: Path = ("audio", "output", "voice")
_PROMPT: Path = ("prompt",)
_TRANSCRIPTION: Path = ("audio", "input", "transcription")
_TURN_DETECTION: Path = ("audio", "input", "turn_detection")
_IDLE_TIMEOUT = "idle_timeout_ms"
"""The one setting of turn detection that None switches off."""
_AUDIO_FORMATS: tuple[Path, ...] = (("audio", "input", "format"), ("audio", "output", "format"))


def wire_format(name: Any) -> dict[str, Any]:
    """The protocol's object for an audio format: a name, the object itself, or one of the `openai` package. Raises
    `UserError` for an unknown name."""
    if hasattr(name, "model_dump"):
        name = name.model_dump()
    if isinstance(name, Mapping):
        return dict(_without_nones(name))
    if name not in _FORMATS:
        raise UserError(f"Unknown audio format {name!r}: use 'pcm16', 'g711_ulaw' or 'g711_alaw'.")
    return dict(_FORMATS[name])


def bytes_per_ms(format: Mapping[str, Any]) -> int:
    """48 for PCM16 at 24 kHz, 8 for G.711."""
    return 8 if format.get("type") in ("audio/pcmu", "audio/pcma") else 48


def session_object(
    settings: Mapping[str, Any], *, defaults: bool, turns: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> Fields:
    """The fields of `RealtimeSessionModelSettings`, nested keys before flat ones. With `defaults` they are laid over
    `DEFAULT_MODEL_SETTINGS`. `turns` has the last word on turn detection."""
    fields = session_object(DEFAULT_MODEL_SETTINGS, defaults=False, turns=turns) if defaults else {}
    fields |= {(key,): _without_nones(settings[key]) for key in _PLAIN_KEYS if settings.get(key) is not None}
    modalities = settings.get("output_modalities") or settings.get("modalities")
    if modalities:
        fields["output_modalities",] = list(modalities)
    if "tracing" in settings:
        fields["tracing",] = _without_nones(settings["tracing"])
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
        else:
            value = _without_nones(value)
        fields["audio", side, name] = value
    return fields


def _turn_detection(given: Mapping[str, Any]) -> dict[str, Any]:
    """With the protocol's key names (`silenceDurationMs` is taken, too) and with a type."""
    names = {key: re.sub(r"(?<=[a-z])([A-Z])", lambda m: "_" + m[1].lower(), key) for key in given}
    named = {names[key]: value for key, value in given.items() if value is not None or names[key] == _IDLE_TIMEOUT}
    return {"type": "semantic_vad" if "eagerness" in named else "server_vad", **named}


def _prompt(prompt: Any) -> Any:
    return {"id": prompt} if isinstance(prompt, str) else _without_nones(prompt)


def _tool_choice(choice: Any) -> Any:
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        return {"type": "function", "name": choice}
    return _without_nones(choice)


def _without_nones(value: Any) -> Any:
    """Without the optional fields that are None: inside an object the server refuses null."""
    if isinstance(value, Mapping):
        return {key: _without_nones(each) for key, each in value.items() if each is not None}
    return value


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
    """The configuration of one server session, in the words of `RealtimeSessionModelSettings`. Its `SettingsLedger`
    knows what is in force."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        turns: Callable[[Mapping[str, Any]], dict[str, Any]],
        defaults: bool = True,
    ) -> None:
        """`turns` completes a `turn_detection` object (see `TurnPolicy`); `defaults`: see `session_object`."""
        self._settings = settings
        self._turns = turns
        self._defaults = defaults
        self._ledger = SettingsLedger()
        self._server_waits = False
        self.voice_frozen = False
        """The agent was heard: its voice can no longer change."""
        self._ask(session_object(settings, defaults=defaults, turns=turns))
        self._echo: Fields = {}
        self.effective = Effective.of(_nest(self._ledger.desired))

    def again(self) -> SessionConfig:
        """The same configuration for another attempt, as if nothing had been sent."""
        return SessionConfig(self._settings, turns=self._turns, defaults=self._defaults)

    def without_refused_default(self, error: RealtimeCoreError) -> SessionConfig | None:
        """The configuration for another attempt where the server does not have the default transcription model: without
        transcription. None where the error has another cause, or where the user has chosen the model."""
        is_refused = isinstance(error, ServerRejected) and error.param.startswith(
            ".".join(("session", *_TRANSCRIPTION))
        )
        nested = (self._settings.get("audio") or {}).get("input") or {}
        if not is_refused or "transcription" in nested or "input_audio_transcription" in self._settings:
            return None
        settings = {**self._settings, "input_audio_transcription": None}
        return SessionConfig(settings, turns=self._turns, defaults=self._defaults)

    @property
    def under_way(self) -> bool:
        """A `session.update` waits for the server's answer."""
        return self._ledger.under_way

    @property
    def unanswered(self) -> list[Change]:
        """What was asked for and is neither taken nor refused."""
        return self._ledger.unanswered

    @property
    def deadline(self) -> float | None:
        """When to call `on_time`."""
        return self._ledger.deadline

    def change(
        self,
        settings: Mapping[str, Any],
        previous: Mapping[str, Any] | None = None,
        answered: Answered | None = None,
    ) -> None:
        """Ask for other settings. Keys that are absent stay as they are; the voice stays once it was heard. Where the
        settings replace `previous` ones, only the difference is asked for. `answered` gets the server's answer."""
        fields = session_object(settings, defaults=False, turns=self._turns)
        if previous is not None:
            before = session_object(previous, defaults=False, turns=self._turns)
            fields = {path: value for path, value in fields.items() if path not in before or before[path] != value}
            if _PROMPT in before and settings.get("prompt") is None:
                fields[_PROMPT] = None
        if self.voice_frozen:
            fields.pop(_VOICE, None)
        # An update of the rest must not be read as a return to the default formats.
        self._ask(fields, answered, named=_AUDIO_FORMATS)

    def _ask(self, fields: Fields, answered: Answered | None = None, named: tuple[Path, ...] = ()) -> None:
        detection = fields.get(_TURN_DETECTION)
        if isinstance(detection, Mapping) and detection.get(_IDLE_TIMEOUT, 0) is None:
            current = self._ledger.desired.get(_TURN_DETECTION)
            if not isinstance(current, Mapping) or current.get(_IDLE_TIMEOUT) is None:
                fields[_TURN_DETECTION] = _without_nones(detection)
        self._ledger.ask(Change(fields, answered, named))

    def let_server_respond(self, value: bool) -> bool:
        """Have the server answer turns by itself, as the settings say, or not for the time being. Returns whether that
        is a change."""
        detection = self._ledger.desired.get(_TURN_DETECTION)
        responds = isinstance(detection, Mapping) and detection.get("create_response", True) is not False
        changes = responds and self._server_waits is value
        self._server_waits = not value and responds
        return changes

    def sent_by_hand(self, event_id: str, session: Mapping[str, Any], now: float) -> None:
        """The user sends this `session.update` himself: it is a change like others."""
        self._ledger.sent(event_id, Change(_flatten(session)), now)

    def due(self, ids: Callable[[], str], now: float) -> tuple[list[tuple[str, dict[str, Any]]], list[Change]]:
        """The `session.update`s to send now, as event id and `session`, and the changes in force without one."""
        detection = self._ledger.granted.get(_TURN_DETECTION)
        self._ledger.override = {}
        if self._server_waits and isinstance(detection, Mapping):
            self._ledger.override[_TURN_DETECTION] = {**detection, "create_response": False}
        due = self._ledger.due(ids, now)
        return [(event_id, _nest(fields)) for event_id, fields in due.updates], due.settled

    def created(self, session: Mapping[str, Any]) -> None:
        """`session.created`. A call that is attached to and has no transcription gets the default one, so that the
        history says what the caller said; its other settings stay."""
        shown = _flatten(session)
        self._ledger.created(shown)
        if _TRANSCRIPTION not in self._ledger.desired and shown.get(_TRANSCRIPTION) is None:
            self._ask({_TRANSCRIPTION: DEFAULT_MODEL_SETTINGS["input_audio_transcription"]})

    def updated(self, session: Mapping[str, Any]) -> list[Change]:
        """`session.updated`; returns the changes that it acknowledges. Some servers describe only what has changed."""
        shown = _flatten(session)
        self._echo |= shown
        self.effective = Effective.of(_nest(self._echo))
        return self._ledger.taken(shown)

    def refused(self, event_id: str, param: str, code: str) -> Refusal | None:
        """An error; returns what it refuses if that is a `session.update`."""
        return self._ledger.refused(event_id, _VOICE if code == "cannot_update_voice" else path_of(param))

    def on_time(self, now: float) -> tuple[list[Change], list[Change]]:
        """Give up what the server does not answer; returns the changes that count as taken, and those that failed."""
        return self._ledger.on_time(now)

    def renewed(self) -> SessionConfig:
        """For a new server session, which knows nothing yet: all that is in force. The voice is still the one heard."""
        renewed = SessionConfig({}, turns=self._turns, defaults=False)
        renewed._ledger = self._ledger.renewed()
        renewed.effective = self.effective
        renewed.voice_frozen = self.voice_frozen
        return renewed

    def succeed(self, lost: SessionConfig) -> None:
        """Take over what the configuration of a lost session has asked for and got no answer to."""
        self._ledger.succeed(lost._ledger)
        self._server_waits = lost._server_waits
        self.voice_frozen = lost.voice_frozen


def setting_name(path: Path) -> str:
    """A setting as an error's `param` names it."""
    return ".".join(("session", *path))
