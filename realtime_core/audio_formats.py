"""Audio formats: from the names that settings take to the objects of the Realtime protocol.

Source: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import UserError
from .openai_realtime.session_object import wire_format

__all__ = ["to_realtime_audio_format"]


def to_realtime_audio_format(input_audio_format: Any) -> dict[str, Any] | None:
    """The protocol's object for a format, by its name, by the object or by one of the `openai` package.

    `"g711_ulaw"` gives `{"type": "audio/pcmu"}`.

    PCM gets its rate, 24,000 Hz. None and names that are unknown give None. Settings are read more strictly: there an
    unknown name is a `UserError`.
    """
    given = input_audio_format
    name = given.get("type") if isinstance(given, Mapping) else getattr(given, "type", given)
    if not isinstance(name, str):
        return None
    try:
        return wire_format(name)
    except UserError:
        return None
