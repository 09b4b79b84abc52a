"""The default settings of a session with the OpenAI Realtime API."""

from __future__ import annotations

from ..config import RealtimeSessionModelSettings

__all__ = ["DEFAULT_MODEL", "DEFAULT_MODEL_SETTINGS", "DEFAULT_TRANSCRIPTION_MODEL"]

DEFAULT_MODEL = "gpt-realtime-2.1"
"""The default model. `gpt-realtime` will be shut down on 2027-01-20."""

DEFAULT_TRANSCRIPTION_MODEL = "gpt-live-transcribe"
"""The default transcription model. `gpt-4o-mini-transcribe` will be shut down on 2027-02-26, and this model is its
official replacement.

If the server does not have the model, the session begins without transcription. Source:
https://developers.openai.com/api/docs/deprecations
"""

DEFAULT_MODEL_SETTINGS: RealtimeSessionModelSettings = {
    "voice": "ash",
    "modalities": ["audio"],
    "input_audio_format": "pcm16",
    "output_audio_format": "pcm16",
    "input_audio_transcription": {"model": DEFAULT_TRANSCRIPTION_MODEL},
    "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
}
"""The default settings of a session. The defaults are not used for a SIP call, which already has settings."""
