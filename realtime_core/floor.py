"""Who has the floor: when may the agent begin to answer?

Pure. Times are in seconds.
"""

from __future__ import annotations

__all__ = ["Floor"]

_PAST = float("-inf")


class Floor:
    """The agent waits while the caller speaks, at most `speech_limit_s` (then the detector is presumed stuck), and
    after speech at most `answer_limit_s` for the turn to be taken and for the server's own answer to it. Answers can be
    held back besides. `free_at` is when it may begin, `answers_at` when to answer."""

    def __init__(self, *, speech_limit_s: float = 8.0, answer_limit_s: float = 1.0) -> None:
        self._speech_limit_s = speech_limit_s
        self._answer_limit_s = answer_limit_s
        self._speaking = False
        self._closed_until = _PAST
        self._held_until = _PAST

    @property
    def free_at(self) -> float:
        return self._closed_until

    @property
    def answers_at(self) -> float:
        return max(self._closed_until, self._held_until)

    def speech_started(self, now: float) -> None:
        self._speaking = True
        self._closed_until = now + self._speech_limit_s

    def speech_stopped(self, now: float) -> None:
        self._speaking = False
        self._closed_until = now + self._answer_limit_s

    def committed(self, now: float, *, server_answers: bool) -> None:
        self._speaking = False
        self._closed_until = now + self._answer_limit_s if server_answers else _PAST

    def answered(self) -> None:
        """A response was created. While the caller speaks that changes nothing: the two crossed on the way."""
        if not self._speaking:
            self._closed_until = _PAST

    def hold(self, until: float) -> None:
        """Hold answers back until `release`, at most until then."""
        self._held_until = until

    def release(self) -> None:
        self._held_until = _PAST
