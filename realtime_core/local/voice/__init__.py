"""How the embedded server speaks: stored lines, a synthesiser where one is installed, else stored words.

`Voice.speech(text)` gives a `Speech`: the line as audio in the formats of the wire, rendered once for all sessions.
The sources and licences of the stored audio are named in `README.md` beside this file; `make_voice.py` makes it anew.
"""

from __future__ import annotations

from .speech import Speech
from .voice import Voice

__all__ = ["Speech", "Voice"]
