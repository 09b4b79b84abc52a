"""What the caller hears where the model cannot speak: clips in the package (mu-law, 8 kHz, no header)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["apology"]


@cache
def apology() -> bytes:
    """ "I am sorry, something went wrong at our end. Please call again later." """
    return files(__package__).joinpath("apology.ulaw").read_bytes()
