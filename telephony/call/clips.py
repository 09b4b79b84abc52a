"""English clips (mu-law, 8 kHz, no header) that the caller hears when the model cannot speak."""

from __future__ import annotations

from ..locales.locale import english, waiting_sound

__all__ = ["apology", "farewell", "one_moment", "repeat", "waiting"]


def apology() -> bytes:
    """Returns mu-law audio at 8 kHz: "I am sorry, something went wrong at our end. Please call again later." """
    return english().clips["apology"]


def farewell() -> bytes:
    """Returns mu-law audio at 8 kHz: "I am sorry, we have to end this call now. Please call again in a few minutes.
    Goodbye."
    """
    return english().clips["farewell"]


def one_moment() -> bytes:
    """Returns mu-law audio at 8 kHz: "One moment, please." """
    return english().clips["one_moment"]


def repeat() -> bytes:
    """Returns mu-law audio at 8 kHz: "I am sorry, I did not get that. Could you say it again?" """
    return english().clips["repeat"]


def waiting() -> bytes:
    """Returns a waiting sound (mu-law, 8 kHz, no header) that can be played in a loop."""
    return waiting_sound()
