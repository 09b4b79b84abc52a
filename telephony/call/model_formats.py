"""Removes the audio formats from a model's settings, because a call converts the audio itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from realtime_core import RealtimeSessionModelSettings

__all__ = ["without_formats"]

log = logging.getLogger(__name__)

_FLAT = ("input_audio_format", "output_audio_format", "audio_format")
_OURS = ("pcm", "pcm16", "audio/pcm")


def without_formats(settings: RealtimeSessionModelSettings) -> RealtimeSessionModelSettings:
    """Returns a model's settings without the formats of the audio. Logs the names of the formats that differ from the
    format of a call: PCM16 at 24 kHz, the default of the model. `settings` may be flat (`output_audio_format`) or
    nested (`audio.output.format`), and is not changed. A value that is no mapping, such as None, is returned as it is.

    A call converts Twilio's mu-law to PCM16 and back. With mu-law from the model, the caller would hear noise. Twilio
    examples for the Agents SDK ask the model for mu-law, so such settings are common.
    """
    given: Any = settings  # of users' code, which mypy may not have checked
    if not isinstance(given, Mapping):
        return settings
    kept: dict[str, Any] = {key: value for key, value in settings.items() if key not in _FLAT}
    foreign = [key for key in _FLAT if _is_foreign(settings.get(key))]
    audio = settings.get("audio")
    if isinstance(audio, Mapping):
        kept["audio"] = dict(audio)
        for side in ("input", "output"):
            if isinstance(part := audio.get(side), Mapping):
                kept["audio"][side] = {key: value for key, value in part.items() if key != "format"}
                foreign += [f"audio.{side}.format"] if _is_foreign(part.get("format")) else []
    if foreign:
        names = ", ".join(foreign)
        log.warning("The settings %s are ignored, because a call converts the audio itself: remove them.", names)
    return cast("RealtimeSessionModelSettings", kept)


def _is_foreign(format: Any) -> bool:
    type_, rate = (format.get("type"), format.get("rate", 24000)) if isinstance(format, Mapping) else (format, 24000)
    type_ = getattr(format, "type", type_)
    return type_ is not None and (str(type_).lower() not in _OURS or rate != 24000)
