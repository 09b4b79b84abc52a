"""The session object of one session of the embedded server: its defaults, the allowed updates, and the effective
configuration.

Source of the form and the limits: the Realtime API's reference (`session.update`, `response.create`), GA form. Pure.
"""

from __future__ import annotations

import copy
from typing import Any

from .checks import Check, anything, boolean, choice, either, integer, items, number, obj, or_null, text
from .rejection import Rejected, invalid_value, missing

__all__ = ["SERVER_VAD", "SessionConfig", "check_response_options", "check_transcription_update", "merge"]

DEFAULT_MODEL = "gpt-realtime"
DEFAULT_INSTRUCTIONS = "You are a helpful voice agent. (The embedded server follows a script and no instructions.)"

SERVER_VAD: dict[str, Any] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
_SEMANTIC_VAD: dict[str, Any] = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
_TURN_DETECTION = {"server_vad": SERVER_VAD, "semantic_vad": _SEMANTIC_VAD}


def _turn_detection(value: Any, path: str) -> None:
    kind = value.get("type", "server_vad") if isinstance(value, dict) else "server_vad"
    common = {"type": choice(*_TURN_DETECTION), "create_response": boolean, "interrupt_response": boolean}
    if kind == "semantic_vad":
        obj({**common, "eagerness": choice("low", "medium", "high", "auto")})(value, path)
        return
    server = {
        "threshold": number(0, 1),
        "prefix_padding_ms": integer(0, 10_000),
        "silence_duration_ms": integer(0, 10_000),
        "idle_timeout_ms": or_null(integer(5_000, 30_000)),
    }
    obj({**common, **server})(value, path)


def _format(value: Any, path: str) -> None:
    obj({"type": choice("audio/pcm", "audio/pcmu", "audio/pcma"), "rate": integer(8000, 24000)}, "type")(value, path)
    if value["type"] == "audio/pcm" and "rate" not in value:
        raise missing(f"{path}.rate")
    rate = 24000 if value["type"] == "audio/pcm" else 8000
    if value.get("rate", rate) != rate:
        raise invalid_value(f"{path}.rate", value["rate"], str(rate))


def _voice(value: Any, path: str) -> None:
    if isinstance(value, dict):
        obj({"id": text()}, "id")(value, path)
    else:
        choice("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")(value, path)


def _modalities(value: Any, path: str) -> None:
    items(choice("text", "audio"))(value, path)
    if value not in (["audio"], ["text"]):
        raise invalid_value(path, value, '["audio"]', '["text"]')


def _tool(value: Any, path: str) -> None:
    if isinstance(value, dict) and value.get("type") == "mcp":
        _MCP_TOOL(value, path)  # Hosted tools are accepted but never called.
        return
    name = text(64, "[a-zA-Z0-9_-]+")
    function = {"type": choice("function", "mcp"), "name": name, "description": text(1024), "parameters": anything}
    obj(function, "type", "name")(value, path)


_MCP_TOOL = obj(
    {
        "type": choice("mcp"),
        "server_label": text(),
        "server_url": text(),
        "server_description": text(),
        "connector_id": text(),
        "authorization": text(),
        "headers": or_null(anything),
        "allowed_tools": or_null(anything),
        "require_approval": or_null(anything),
    },
    "type",
    "server_label",
)
_TOOLS = items(_tool)
_FORCED_TOOL: dict[str, Check] = {"type": choice("function", "mcp"), "name": text(), "server_label": text()}
_TOOL_CHOICE = either("auto", either("none", either("required", obj(_FORCED_TOOL, "type"))))
_MAX_OUTPUT_TOKENS = either("inf", integer(1, 4096))
_TRANSCRIPTION: dict[str, Check] = {
    "model": text(),
    "language": text(),
    "languages": items(text()),
    "prompt": text(),
    "keywords": items(text()),
    "delay": choice("minimal", "low", "medium", "high", "xhigh"),
}
_INPUT: dict[str, Check] = {
    "format": _format,
    "noise_reduction": or_null(obj({"type": choice("near_field", "far_field"), "strength": number(0, 10)})),
    "transcription": or_null(obj(_TRANSCRIPTION)),
    "turn_detection": or_null(_turn_detection),
}
_OUTPUT: dict[str, Check] = {"format": _format, "voice": _voice, "speed": number(0.25, 1.5)}


def _type_is(kind: str) -> Check:
    """Returns a check of the type of a session. The vendor refuses the update of another type with this text."""

    def check(value: Any, path: str) -> None:
        choice("realtime", "transcription")(value, path)
        if value != kind:
            message = f"Passing a {value} session update event to a {kind} session is not allowed."
            raise Rejected(message, code="invalid_parameter", param="")

    return check


_COMMON: dict[str, Check] = {
    "instructions": text(),
    "max_output_tokens": _MAX_OUTPUT_TOKENS,
    "output_modalities": _modalities,
    "parallel_tool_calls": boolean,
    "prompt": or_null(obj({"id": text(), "version": or_null(text()), "variables": or_null(anything)}, "id")),
    "reasoning": or_null(obj({"effort": choice("minimal", "low", "medium", "high", "xhigh")})),
    "tool_choice": _TOOL_CHOICE,
    "tools": _TOOLS,
}
_TRUNCATION: dict[str, Check] = {
    "type": choice("retention_ratio"),
    "retention_ratio": number(0, 1),
    "token_limits": obj({"post_instructions": integer(0, 10**6)}),
}
_SESSION = obj(
    {
        **_COMMON,
        "type": _type_is("realtime"),
        "model": text(),
        "audio": obj({"input": obj(_INPUT), "output": obj(_OUTPUT)}),
        "include": or_null(items(choice("item.input_audio_transcription.logprobs"))),
        "tracing": or_null(either("auto", obj({"workflow_name": text(), "group_id": text(), "metadata": anything}))),
        "truncation": either("auto", either("disabled", obj(_TRUNCATION, "type", "retention_ratio"))),
    },
    "type",
)
_RESPONSE = obj(
    {
        **_COMMON,
        "audio": obj({"output": obj({"format": _format, "voice": _voice})}),
        "conversation": choice("auto", "none"),
        "input": items(anything),
        "metadata": or_null(anything),
    }
)


_TRANSCRIPTION_SESSION = obj(
    {
        "type": _type_is("transcription"),
        "audio": obj({"input": obj(_INPUT)}),
        "include": or_null(items(choice("item.input_audio_transcription.logprobs"))),
    },
    "type",
)


def check_transcription_update(session: Any) -> None:
    """Checks the `session` object of a `session.update` in a transcription session. Raises `Rejected` if the object is
    invalid.
    """
    if isinstance(session, dict):
        _type_is("transcription")(session.get("type", "transcription"), "session.type")  # before its unknown fields
    _TRANSCRIPTION_SESSION(session, "session")


def check_response_options(options: Any) -> None:
    """Checks the `response` object of a `response.create`. Raises `Rejected` if the object is invalid."""
    _RESPONSE(options, "response")


class SessionConfig:
    """The current configuration of one session of the embedded server, as the protocol's session object (`object`). If
    `model` is None, the client may select the model with its first update.
    """

    def __init__(self, session_id: str, model: str | None, expires_at: int) -> None:
        self._model_is_open = model is None
        self._said_anything = False
        pcm = {"type": "audio/pcm", "rate": 24000}
        self.object: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": model or DEFAULT_MODEL,
            "output_modalities": ["audio"],
            "instructions": DEFAULT_INSTRUCTIONS,
            "tools": [],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "reasoning": None,
            "expires_at": expires_at,
            "include": None,
            "audio": {
                "input": {
                    "format": pcm,
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": dict(SERVER_VAD),
                },
                "output": {"format": pcm, "voice": "alloy", "speed": 1.0},
            },
        }

    @property
    def input(self) -> dict[str, Any]:
        """The session settings at `audio.input`."""
        return self.object["audio"]["input"]  # type: ignore[no-any-return]

    @property
    def output(self) -> dict[str, Any]:
        """The session settings at `audio.output`."""
        return self.object["audio"]["output"]  # type: ignore[no-any-return]

    def audio_was_sent(self) -> None:
        """Makes the session refuse another voice from now on, because audio of the model was sent."""
        self._said_anything = True

    def update(self, change: Any, *, responding: bool) -> None:
        """Applies `change`, the `session` object of a `session.update`. Omitted fields stay unchanged. `responding` is
        True while a response is in progress, when some fields cannot change. If any part of `change` is invalid, raises
        `Rejected` and changes nothing.
        """
        if isinstance(change, dict):
            _type_is("realtime")(change.get("type", "realtime"), "session.type")  # before its unknown fields
        _SESSION(change, "session")
        self._check_frozen(change, responding)
        effective = copy.deepcopy(self.object)
        audio = change.get("audio", {})
        for name, value in change.items():
            if name != "audio":
                effective[name] = value
        for direction in ("input", "output"):
            for name, value in audio.get(direction, {}).items():
                merge(effective["audio"][direction], name, value)
        self._model_is_open = False
        self.object = effective

    def _check_frozen(self, change: dict[str, Any], responding: bool) -> None:
        model = change.get("model", self.object["model"])
        if model != self.object["model"] and not self._model_is_open:
            message = f"Cannot update a session's model: it is '{self.object['model']}'."
            raise Rejected(message, code="cannot_update_model", param="session.model")
        output = change.get("audio", {}).get("output", {})
        if self._said_anything and output.get("voice", self.output["voice"]) != self.output["voice"]:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise Rejected(message, code="cannot_update_voice")
        if responding and output.get("speed", self.output["speed"]) != self.output["speed"]:
            message = "Cannot update speed while a response is in progress."
            raise Rejected(message, code="cannot_update_speed", param="session.audio.output.speed")
        tracing = self.object["tracing"]
        if tracing is not None and change.get("tracing", tracing) != tracing:
            message = "Cannot update a session's tracing once it is enabled."
            raise Rejected(message, code="cannot_update_tracing", param="session.tracing")


def merge(section: dict[str, Any], name: str, value: Any) -> None:
    """Sets the key `name` of `section`, a part of the session object, to `value`. If the old and the new value are
    objects, fields that `value` omits keep their old values. Exceptions: an audio format is replaced as a whole, and
    another type of turn detection begins with the defaults of that type.
    """
    current = section.get(name)
    if name == "format":
        section[name] = (
            {"type": "audio/pcm", "rate": 24000} if value["type"] == "audio/pcm" else {"type": value["type"]}
        )
    elif name == "turn_detection" and value is not None:
        kind = value.get("type") or (current or SERVER_VAD)["type"]
        base = current if current is not None and current["type"] == kind else _TURN_DETECTION[kind]
        section[name] = {**base, **value, "type": kind}
    elif isinstance(current, dict) and isinstance(value, dict):
        section[name] = {**current, **value}
    else:
        section[name] = value
