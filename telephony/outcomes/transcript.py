"""The transcript of a call: each line that was said, and the part of the line that was heard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from realtime_core import AssistantAudio, AssistantMessageItem, UserMessageItem
from realtime_core.history_merge import words_within

from ..call.call import Call

__all__ = ["Line", "as_text", "transcript_of"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the conversation. `heard` is the part of an agent's line that the other person heard, if the person
    did not hear the whole line.
    """

    who: Literal["agent", "callee", "caller"]
    text: str
    heard: str | None = None


def as_text(transcript: Iterable[Line]) -> str:
    """Returns the transcript as text with the heard words: one line of text for each line of the conversation."""
    return "\n".join(f"{line.who}: {line.text if line.heard is None else line.heard}" for line in transcript)


def transcript_of(call: Call, *, other: Literal["caller", "callee"]) -> tuple[Line, ...]:
    """Returns the lines of the conversation, with the heard part of each line. Audio that had not been played at the
    end of the call was not heard. `other` is the name of the other party in the transcript.
    """
    try:
        history = call.session.history
    except AttributeError:  # the call ended before its session was made
        return ()
    cut = {(it.item_id, it.content_index): it.heard_ms for it in call.heard() if not it.finished}
    lines = []
    for item in history:
        if call.hides(item.item_id):
            continue  # an item of a part that is not recorded
        if isinstance(item, AssistantMessageItem):
            said = " ".join(map(_words, item.content)).strip()
            parts = enumerate(item.content)
            heard = " ".join(_heard(part, cut.get((item.item_id, index))) for index, part in parts).strip()
            if said:
                lines.append(Line("agent", said, None if heard == said else heard))
        elif isinstance(item, UserMessageItem):
            said = " ".join(map(_words, item.content)).strip()
            if said:
                lines.append(Line(other, said))
    return tuple(lines)


def _words(part: Any) -> str:
    return getattr(part, "transcript", None) or getattr(part, "text", None) or ""


def _heard(part: Any, cut_ms: float | None) -> str:
    if not isinstance(part, AssistantAudio):
        return _words(part)
    if part.heard_ms is not None:
        return part.heard_transcript or ""
    if cut_ms is None or part.received_ms <= 0:
        return _words(part)
    return words_within(part.transcript or "", cut_ms / part.received_ms)
