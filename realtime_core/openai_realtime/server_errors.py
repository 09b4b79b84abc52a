"""Decides what an error event of the model's server means: who caused the error, and whether an event must report it.

Pure. Codes and texts are those of the real server, from the issue threads of its clients. Most errors leave the session
open.
"""

from __future__ import annotations

from enum import Enum

from ..errors import ServerRejected, SessionExpired
from ..responses import COLLISION
from .server_events import ServerError

__all__ = ["COMMIT_EMPTY", "KNOWN_CODES", "Fault", "classify", "code_of", "exception"]


class Fault(Enum):
    """The cause of an error event of the server: this package, the user's settings, the service, or no side."""

    BENIGN = "benign"
    """No side is at fault. A message of the client and a message of the server crossed: for example, the client
    cancelled a response that had just ended. No action is needed, and no event reports the error.
    """
    OURS = "ours"
    """This package should not have sent the event. The error is counted, and no event reports the error."""
    CONFIGURATION = "configuration"
    """The server refused the user's settings."""
    SERVICE = "service"
    """The service fails, or limits the account."""
    EXPIRED = "expired"
    """The session has reached its maximum length."""
    OTHER = "other"


COMMIT_EMPTY = "input_audio_buffer_commit_empty"

_BY_CODE = {
    COLLISION: Fault.BENIGN,  # `Responses` repeats the request where that is needed
    "response_cancel_not_active": Fault.BENIGN,
    COMMIT_EMPTY: Fault.BENIGN,
    "item_truncate_invalid_item_id": Fault.BENIGN,  # the item was deleted: there is nothing to truncate
    "cannot_update_voice": Fault.CONFIGURATION,
    "session_expired": Fault.EXPIRED,
    "rate_limit_exceeded": Fault.SERVICE,
    "insufficient_quota": Fault.SERVICE,
    "server_error": Fault.SERVICE,
    "internal_error": Fault.SERVICE,
}

KNOWN_CODES = frozenset(_BY_CODE) - {"cannot_update_voice"}
"""The error codes that this module knows and that never mean the refusal of a `session.update`."""

_CODES = {
    "Conversation already has an active response": COLLISION,
    "Cancellation failed": "response_cancel_not_active",
    "Error committing input audio buffer": COMMIT_EMPTY,
}
"""The beginnings of error messages that some servers send without a code."""

_BETA = frozenset({"session.type", "session.audio", "session.output_modalities"})
_BETA_CURE = (
    " This address speaks the protocol's beta form; the form in use is spoken at .../v1/realtime (on Azure: base_url "
    "https://<resource>.openai.azure.com/openai/v1)."
)


def code_of(error: ServerError) -> str:
    """Returns the code of the error. Some servers send an error without a code. In this case returns the code that
    belongs to a known text of the message, or "" for any other text.
    """
    return error.code or next((code for start, code in _CODES.items() if error.message.startswith(start)), "")


def classify(error: ServerError) -> Fault:
    if (fault := _BY_CODE.get(code_of(error))) is not None:
        return fault
    if "is already shorter than" in error.message or "audio messages can be truncated" in error.message:
        return Fault.OURS
    if error.param.startswith("session") or error.code.startswith("cannot_update_"):
        return Fault.CONFIGURATION
    if error.type in ("server_error", "rate_limit_error", "insufficient_quota"):
        return Fault.SERVICE
    return Fault.OTHER


def exception(error: ServerError) -> ServerRejected:
    kind = SessionExpired if classify(error) is Fault.EXPIRED else ServerRejected
    cure = _BETA_CURE if error.code == "unknown_parameter" and error.param in _BETA else ""
    return kind(error.message + cure, type=error.type, code=error.code, param=error.param, event_id=error.event_id)
