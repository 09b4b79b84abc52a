"""The clips of simulated callers: recordings of a human voice, mu-law at 8 kHz (source: `voice/LICENSE`).

`WORDS` has the words of `hello`, `booking`, `sorry_hours` and `goodbye`. `busy`, `echo`, `next_in_line` and
`no_service` are sentences of five to nine seconds for load tests, without a transcript.
"""

from __future__ import annotations

import functools
from importlib.resources import files

from ..audio.files import read_ulaw
from ..errors import CallerError

__all__ = ["WORDS", "load", "names"]

WORDS = {
    "hello": "Hello.",
    "booking": "Hello. For two, Friday, at seven p.m.",
    "sorry_hours": "I'm sorry. Hours.",
    "goodbye": "Goodbye.",
}
"""The words of the clips. `<Gather input="speech">` recognises these words."""

_VOICE = files(__package__) / "voice"


def names() -> list[str]:
    """Returns the names of all clips of simulated callers, such as `hello`."""
    return sorted(file.name.removesuffix(".wav") for file in _VOICE.iterdir() if file.name.endswith(".wav"))


@functools.cache
def load(name: str) -> bytes:
    """Returns the clip with this name as mu-law. Raises `CallerError` if no clip has this name."""
    if name not in names():
        raise CallerError(f"There is no clip {name!r}. Choose {', '.join(names())}.")
    return read_ulaw((_VOICE / f"{name}.wav").read_bytes())
