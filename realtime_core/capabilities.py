"""The capabilities of a speech model: what a session can ask of the model, and what the session must do itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ModelCapabilities"]


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """The differences between speech models that the session and the turn logic use. The defaults fit a model that only
    takes inputs and emits audio."""

    drives_player: bool = False
    """Whether the model itself passes its audio to the `Player` (the object that plays the agent's audio) of its
    configuration. If False, the session passes the audio to the player.
    """
    confirms_settings: bool = False
    """Whether the model reports when the server has accepted new settings, by calling
    `RealtimeModelSendSessionUpdate.answered`. If False, settings count as accepted when they are sent.
    """
    truncates: bool = False
    """Whether the model can remove the audio that the caller has not heard from an item."""
    cancels: bool = False
    """Whether the model can stop a response in progress. If False, the rest of the response is dropped."""
    decides_turns: bool = False
    """Whether the model can detect the caller's turns and answer them without a request."""
    pauses_responses: bool = False
    """Whether the model accepts `RealtimeModelSendPauseResponses`. If False, the session drops the audio of a paused
    model.
    """
    changes_voice: bool = False
    """Whether the model accepts another voice after its first audio. If False, a later agent keeps the first voice."""
    transcribes: bool = False
    """Whether the model offers a transcription session (`RealtimeModel.transcription_session`)."""
    full_duplex: bool = False
    """Whether the model hears the caller while the model speaks, and decides by itself whether to stop. If True, speech
    of the caller does not interrupt playback, and the end of the caller's turn does not request an answer.
    """
