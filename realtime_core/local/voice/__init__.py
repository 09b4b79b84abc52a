"""The speech of the embedded server: stored texts, a synthesiser if one is installed, or stored words.

`Voice.speech(text)` returns a `Speech`: the text as audio in the protocol's formats, rendered once for all sessions.
`README.md` next to this file contains the sources and licences of the stored audio. `make_voice.py` creates the audio.
"""

from __future__ import annotations

from .speech import Speech
from .voice import Voice

__all__ = ["Speech", "Voice"]
