"""Collects what a supervisor and the caller say during a take-over (the time in which the supervisor speaks in place of
the agent), and writes the message about this conversation that the model gets afterwards. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Dialogue", "HandedBack", "Line", "note_of"]

Line = Sequence[str]
"""One utterance, as a pair of texts: the speaker (`SUPERVISOR` or `CALLER`), and the words. The words are empty if they
are not known.
"""

SUPERVISOR, CALLER = "supervisor", "caller"
_MAX_LINES = 100
_MAX_CHARS = 8000
_MAX_SAID = 4000

_TAKEN_OVER = (
    "A member of staff took over your voice for a while and spoke with the caller. You heard the caller, and not the "
    "member of staff."
)
_HANDED_BACK = (
    "The member of staff has handed the call back to you. Continue from here in one or two short sentences. Do not "
    "greet again, and do not repeat what was settled."
)
_UNKNOWN = {CALLER: "(you heard it)", SUPERVISOR: "(not understood)"}


class HandedBack(StrEnum):
    """What the model knows of a take-over after the supervisor has handed the call back."""

    WORDS = "words"
    """The words of the supervisor and the caller, as they were transcribed, and the typed text."""
    NOTE = "note"
    """The text that the supervisor typed."""
    NOTHING_SAID = "nothing said"
    """That there was a take-over. No words of the supervisor are known."""
    UNKNOWN = "unknown"
    """The server of the model did not confirm in time that it has the message about the take-over."""


@dataclass(slots=True)
class _Words:
    speaker: str
    began: float
    item_id: str = ""
    text: str = ""


class Dialogue:
    """Collects what was said during one take-over (the time in which a supervisor speaks in place of the agent). Times
    are in seconds on one clock.
    """

    def __init__(self) -> None:
        self._words: list[_Words] = []

    def caller_began(self, item_id: str, now: float) -> None:
        """Adds an utterance of the caller, which began at the time `now`. `item_id` is the id of its conversation item,
        with which `caller_said` later adds the words.
        """
        self._words.append(_Words(CALLER, now, item_id))

    def caller_said(self, item_id: str, text: str) -> None:
        """Adds the transcript of a turn of the caller. `item_id` is the item of the turn. A turn that began before the
        take-over (before the supervisor began to speak in place of the agent) is left out.
        """
        for words in self._words:
            if words.item_id == item_id:
                words.text = text

    def supervisor_said(self, began: float, text: str) -> None:
        """Adds an utterance of the supervisor, who speaks in place of the agent. `began` is the time at which the
        utterance began. An empty `text` means that the words were not understood.
        """
        self._words.append(_Words(SUPERVISOR, began, text=text))

    def lines(self, hides: Callable[[str], bool] = lambda item_id: False) -> list[list[str]]:
        """Returns what the supervisor and the caller said during the take-over, in the order in which they began to
        speak. Each utterance is given as [speaker, words]. `hides` returns whether an item of the caller belongs to a
        secret part of the call. Such utterances are left out. Of a long dialogue only the end is returned. The list is
        empty if the supervisor's words are not known.
        """
        words = sorted(self._words, key=lambda each: each.began)
        lines = [[each.speaker, " ".join(each.text.split())[:_MAX_CHARS]] for each in words if not hides(each.item_id)]
        if not any(speaker == SUPERVISOR and text for speaker, text in lines):
            return []
        kept, chars = list[list[str]](), 0
        for line in reversed(lines[-_MAX_LINES:]):
            chars += len(line[1])
            if chars > _MAX_CHARS:
                break
            kept.append(line)
        return kept[::-1]


def note_of(lines: Sequence[Line], said: str) -> str:
    """Returns the message that the model gets at the end of a take-over: `lines` are the utterances of the supervisor
    and the caller, and `said` is the text that the supervisor typed.
    """
    said = " ".join(said.split())[:_MAX_SAID]
    if not lines:
        told = f" The member of staff said: “{said}”." if said else ""
        return f"{_TAKEN_OVER}{told} {_HANDED_BACK}"
    told = "".join(f"\n{_line(speaker, text)}" for speaker, text in lines)
    added = f"\nThe member of staff adds: “{said}”." if said else ""
    return f"{_TAKEN_OVER} This was said, in order:{told}{added}\n{_HANDED_BACK}"


def _line(speaker: str, text: str) -> str:
    name = "Caller" if speaker == CALLER else "Member of staff"
    return f"{name}: “{text}”" if text else f"{name}: {_UNKNOWN.get(speaker, '(not understood)')}"
