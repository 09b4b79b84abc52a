"""Converts the user's settings to the session object of the event `session.update`. The object is nested, as in the
protocol, or flat: a mapping from paths to values.

Pure. Source: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import UserError
from .defaults import DEFAULT_MODEL_SETTINGS
from .settings_ledger import Fields, Path

__all__ = [
    "IDLE_TIMEOUT",
    "audio_format",
    "bytes_per_ms",
    "differ",
    "flatten",
    "nest",
    "session_object",
    "setting_name",
    "wire_format",
    "without_nones",
]

_RATE = 24000
_PCM = {"type": "audio/pcm", "rate": _RATE}
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
"""The flat key of each setting, by the path of the setting in the protocol below `audio`."""
_MAY_BE_OFF = frozenset({"transcription", "noise_reduction", "turn_detection"})

IDLE_TIMEOUT = "idle_timeout_ms"
"""The name of the only setting of turn detection that may be None. None switches the idle time-out off."""


def wire_format(name: Any) -> dict[str, Any]:
    """Returns the protocol's object for an audio format. The format is a name, a protocol object, or an object of the
    `openai` package. Raises `UserError` for an unknown name.

    PCM always has a rate and G.711 has none, because the server refuses other objects. An object of an unknown type is
    returned unchanged.
    """
    if hasattr(name, "model_dump"):
        name = name.model_dump()
    if isinstance(name, Mapping):
        given = dict(without_nones(name))
        known = _FORMATS.get(str(given.get("type")))
        if known is None:
            return given
        return {**known, **{key: given[key] for key in known if key != "type" and key in given}}
    if not isinstance(name, str) or name not in _FORMATS:
        raise UserError(f"Unknown audio format {name!r}: use 'pcm16', 'g711_ulaw' or 'g711_alaw'.")
    return dict(_FORMATS[name])


def bytes_per_ms(format: Mapping[str, Any]) -> int:
    """Returns the number of bytes in a millisecond: 48 for PCM16 at 24 kHz, 8 for G.711."""
    return 8 if format.get("type") in ("audio/pcmu", "audio/pcma") else 48


def session_object(
    settings: Mapping[str, Any], *, defaults: bool, turns: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> Fields:
    """Converts `settings` (`RealtimeSessionModelSettings`) to a flat session object, which maps paths to values. Nested
    keys have precedence over flat keys. With `defaults`, missing settings get the values of `DEFAULT_MODEL_SETTINGS`.
    `turns` is a function that gets the user's `turn_detection` object and returns the object to send. The turn policy,
    which decides how turns of the caller are handled, provides this function.
    """
    fields = session_object(DEFAULT_MODEL_SETTINGS, defaults=False, turns=turns) if defaults else {}
    fields |= {(key,): without_nones(settings[key]) for key in _PLAIN_KEYS if settings.get(key) is not None}
    if modalities := settings.get("output_modalities") or _modalities(settings.get("modalities")):
        fields["output_modalities",] = list(modalities)
    if "tracing" in settings:
        fields["tracing",] = without_nones(settings["tracing"])
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
            value = without_nones(value)
        fields["audio", side, name] = value
    return fields


def _modalities(beta: Sequence[str] | None) -> Sequence[str] | None:
    """Converts the beta's modalities. In the beta, speech with its transcript was text and audio. Now audio alone has
    the transcript, and the server refuses both.
    """
    return ["audio"] if beta and {*beta} == {"text", "audio"} else beta


def _turn_detection(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the turn detection with the protocol's key names (also from camel case) and with a type."""
    names = {key: re.sub(r"(?<=[a-z])([A-Z])", lambda m: "_" + m[1].lower(), key) for key in given}
    named = {names[key]: value for key, value in given.items() if value is not None or names[key] == IDLE_TIMEOUT}
    return {"type": "semantic_vad" if "eagerness" in named else "server_vad", **named}


def _prompt(prompt: Any) -> Any:
    return {"id": prompt} if isinstance(prompt, str) else without_nones(prompt)


def _tool_choice(choice: Any) -> Any:
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        return {"type": "function", "name": choice}
    return without_nones(choice)


def without_nones(value: Any) -> Any:
    """Returns the value without fields that are None, because the server refuses null inside an object."""
    if isinstance(value, Mapping):
        return {key: without_nones(each) for key, each in value.items() if each is not None}
    return value


def _tool(tool: Any) -> dict[str, Any]:
    """Returns a function tool or a handoff in the form of the protocol. A dict (hosted MCP) is returned unchanged."""
    if isinstance(tool, Mapping):
        return dict(tool)
    if hasattr(tool, "tool_name"):
        name, description, schema = tool.tool_name, tool.tool_description, tool.input_json_schema
    elif hasattr(tool, "params_json_schema"):
        name, description, schema = tool.name, tool.description, tool.params_json_schema
    else:
        raise UserError(f"{tool!r} is not a tool: it has neither params_json_schema nor tool_name.")
    return {"type": "function", "name": name, "description": description or "", "parameters": schema}


def flatten(session: Mapping[str, Any]) -> Fields:
    """Returns the fields of a session object by their path, such as `("audio", "output", "voice")`. Parts of `audio`
    that are not objects are left out.
    """
    fields: Fields = {}
    for key, value in session.items():
        if key == "audio":
            for side, part in value.items() if isinstance(value, Mapping) else ():
                fields |= (
                    {("audio", side, name): each for name, each in part.items()} if isinstance(part, Mapping) else {}
                )
        elif key != "type":
            fields[key,] = value
    return fields


def nest(fields: Fields) -> dict[str, Any]:
    """Returns a session object of the protocol as nested dictionaries. `fields` contains the values by path."""
    session: dict[str, Any] = {"type": "realtime"}
    for path, value in fields.items():
        target = session
        for name in path[:-1]:
            target = target.setdefault(name, {})
        target[path[-1]] = value
    return session


def audio_format(shown: Any) -> Mapping[str, Any]:
    """Returns an audio format as an object of the protocol. `shown` is the format in a server event: an object, or a
    name (beta). Returns PCM16 if the server reports no format.
    """
    if isinstance(shown, str):
        return _FORMATS.get(shown, {"type": shown})
    return shown if isinstance(shown, Mapping) and shown else _PCM


def differ(requested: Mapping[str, Any], reported: Mapping[str, Any]) -> bool:
    """Returns whether two audio formats of the protocol are known to be different. A `type` that this package does not
    know proves nothing, because servers have names of their own for PCM16.
    """
    one, other = (_FORMATS.get(str(each.get("type")).lower()) for each in (requested, reported))
    if one is None or other is None:
        return False
    return one is not other or requested.get("rate", _RATE) != reported.get("rate", _RATE)


def setting_name(path: Path) -> str:
    """Returns the name of the setting at `path` as the server names it in the field `param` of an error, such as
    `session.audio.output.voice`.
    """
    return ".".join(("session", *path))
