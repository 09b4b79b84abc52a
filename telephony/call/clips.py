"""Clips that the caller hears when the model cannot speak (mu-law, 8 kHz, no header).

Made with `flite -voice slt`, without its silence before the first word; the waiting sound with `sox` (four plucked
notes).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["apology", "farewell", "one_moment", "repeat", "text_of", "waiting"]

_TEXTS = {
    "apology": "I am sorry, something went wrong at our end. Please call again later.",
    "farewell": "I am sorry, we have to end this call now. Please call again in a few minutes. Goodbye.",
    "one_moment": "One moment, please.",
    "repeat": "I am sorry, I did not get that. Could you say it again?",
}


def apology() -> bytes:
    """ "I am sorry, something went wrong at our end. Please call again later." """
    return _clip("apology")


def farewell() -> bytes:
    """ "I am sorry, we have to end this call now. Please call again in a few minutes. Goodbye." """
    return _clip("farewell")


def one_moment() -> bytes:
    """ "One moment, please." """
    return _clip("one_moment")


def repeat() -> bytes:
    """ "I am sorry, I did not get that. Could you say it again?" """
    return _clip("repeat")


def waiting() -> bytes:
    """A waiting sound, made to be looped."""
    return _clip("waiting")


def text_of(ulaw: bytes) -> str:
    """The words of one of these clips; empty for others."""
    return next((text for name, text in _TEXTS.items() if _clip(name) is ulaw), "")


@cache
def _clip(name: str) -> bytes:
    return files(__package__).joinpath(f"{name}.ulaw").read_bytes()
