"""Describes the events of a call, such as a time limit or a webhook of Twilio, in sentences for a supervisor. Pure."""

from __future__ import annotations

__all__ = ["event_words"]

_TIMERS = {
    "silence": "The caller said nothing{length}, so the agent was told to ask.",
    "silence to the end": "The caller said nothing{length}, so the agent was told to say goodbye and hang up.",
    "the caller says nothing": "The caller said nothing, so the call was ended.",
    "nearly maximum length": "The call is close to its maximum length, so the agent was told to say so.",
    "maximum length": "The call reached its maximum length, so the agent was told to say goodbye and hang up.",
    "a machine": "A machine was recognized, so the agent was told to say goodbye and hang up.",
    "pending answer: line": "The answer took long, so the caller was asked to wait a moment.",
    "pending answer: sound": "The answer took long, so the caller heard a waiting sound.",
    "pending answer: give up": "No answer came, so the call was given up.",
    "stalled": "The sound to the caller stopped, so the line was connected again.",
}
_DIALLED = {
    "in-progress": "The other person answered.",
    "answered": "The other person answered.",
    "busy": "The line of the other person was busy.",
    "no-answer": "The other person did not answer.",
    "failed": "The other person could not be called.",
    "canceled": "The other person was no longer called.",
}


def event_words(kind: str, text: str, *, silence_ms: float | None = None) -> str | None:
    """Returns a sentence about an event. `kind` and `text` are those of the transcript (`journal.transcript.Event`).
    `silence_ms` is the time in milliseconds since the last speech of either side, or None if it is not known.

    Returns an empty text for an event that says nothing to a supervisor. Returns None for an event of a kind that this
    module does not know.
    """
    match kind:
        case "timer":
            length = "" if silence_ms is None else f" for {max(1, round(silence_ms / 1000))} s"
            return _TIMERS.get(text, f"A time limit was reached: {text}.").format(length=length)
        case "rest":
            action, _, status = text.partition(": ")
            if status in ("", "None", "ok", "cancelled"):
                return ""
            return f"Twilio did not accept a request ({action.replace('_', ' ')}): {status}"
        case "callback":
            name, _, rest = text.partition(" ")
            if name == "emergency":
                return "The caller said that there is an emergency."
            return _DIALLED.get(rest.partition(" ")[0], "") if name == "dialled" else ""
        case "stream":
            return "The line to the caller was connected again."
        case "interruption" if text.startswith("a supervisor takes over"):
            return ""  # the command of the supervisor has a line
    return None
