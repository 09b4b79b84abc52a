"""The refusals of the embedded server: the fields of the `error` event, with the texts of the real server if these are
known.

Public issue threads of clients of the real server quote the codes and texts of `input_audio_buffer_commit_empty`,
`response_cancel_not_active`, `invalid_tool_call_id`, `conversation_already_has_active_response`, `cannot_update_voice`,
`unknown_parameter`, `missing_required_parameter`, `item_*_invalid_item_id`, `unsupported_content_type` and of a
truncation past the end of the audio. The other texts follow the same pattern.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Rejected", "invalid_type", "invalid_value", "missing", "no_such_item", "unknown"]


class Rejected(Exception):
    """Raised for a command that the server refuses. The exception becomes an `error` event, and the session stays
    open.
    """

    def __init__(
        self, message: str, *, code: str, param: str | None = None, type: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.type = type

    def fields(self, event_id: str | None) -> dict[str, Any]:
        """Returns the `error` object of the protocol. `event_id` is the id of the refused client event, or None."""
        return {
            "type": self.type,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "event_id": event_id,
        }


def unknown(param: str) -> Rejected:
    return Rejected(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def missing(param: str) -> Rejected:
    return Rejected(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def invalid_type(param: str, expected: str, value: object) -> Rejected:
    got = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
    }
    message = f"Invalid type for '{param}': expected {expected}, but got {got.get(type(value), 'null')} instead."
    return Rejected(message, code="invalid_type", param=param)


def invalid_value(param: str, value: object, *supported: str) -> Rejected:
    choices = ", ".join(f"'{choice}'" for choice in supported)
    text = f" Supported values are: {choices}." if supported else ""
    return Rejected(f"Invalid value: '{value}'.{text}", code="invalid_value", param=param)


def no_such_item(doing: str, verb: str, item_id: object) -> Rejected:
    message = f"Error {doing} item: the item with id '{item_id}' does not exist."
    return Rejected(message, code=f"item_{verb}_invalid_item_id", param="item_id")
