"""The capabilities of a speech model."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ModelCapabilities"]


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """The differences between speech models that the session and the turn logic use. The defaults fit a model that only
    takes inputs and emits audio."""

    drives_player: bool = False
    """The model calls the `Player` of its configuration. Otherwise a listener of the session has to call it."""
    confirms_settings: bool = False
    """The model calls `RealtimeModelSendSessionUpdate.answered`. Otherwise settings apply as soon as they are sent."""
    truncates: bool = False
    """The model can remove the audio that the caller has not heard from an item."""
    cancels: bool = False
    """The model can stop a response in progress. Otherwise the rest of the response is dropped."""
    decides_turns: bool = False
    """The model can detect the caller's turns and answer them without a request."""
    full_duplex: bool = False
    """The model hears the caller while it speaks, and decides whether to stop. So speech of the caller does not
    interrupt playback."""
