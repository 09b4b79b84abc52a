"""Converts names of audio formats to the objects of the Realtime protocol.

Source: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import UserError
from .openai_realtime.session_object import wire_format
from .openai_realtime.sip import SessionPayload

__all__ = ["to_realtime_audio_format"]


def to_realtime_audio_format(input_audio_format: Any) -> SessionPayload | None:
    """Converts an audio format to the protocol's object. `"g711_ulaw"` becomes `{"type": "audio/pcmu"}`. The values of
    the object can also be read as attributes: `format.type`.

    The format is a name, a protocol object or an object of the `openai` package. PCM gets the rate 24,000 Hz. Returns
    None for None and for unknown names. Only this function ignores unknown names: an unknown name in the settings of a
    session raises `UserError`.
    """
    given = input_audio_format
    name = given.get("type") if isinstance(given, Mapping) else getattr(given, "type", given)
    if not isinstance(name, str):
        return None
    try:
        return SessionPayload(wire_format(name))
    except UserError:
        return None
