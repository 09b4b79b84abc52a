"""The speech of the embedded server: stored lines, a synthesiser if one is installed, otherwise stored words.

`Voice.speech(text)` returns a `Speech`: the line as audio in the protocol's formats, rendered once for all sessions.
`README.md` beside this file names the sources and licences of the stored audio. `make_voice.py` makes the audio.
"""

from __future__ import annotations

from .speech import Speech
from .voice import Voice

__all__ = ["Speech", "Voice"]
