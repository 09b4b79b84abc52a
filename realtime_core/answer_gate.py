"""Decides when the agent may begin to answer.

Pure. All times are in seconds on any steady clock, such as the clock of the event loop.
"""

from __future__ import annotations

__all__ = ["AnswerGate"]

_PAST = float("-inf")
_NEVER = float("inf")


class AnswerGate:
    """Decides when the agent may begin to speak. Times are in seconds on any steady clock. Any response may begin from
    the time `free_at` on. A response to the caller's speech may begin from the time `answers_at` on. `hold` moves only
    `answers_at` to a later time, for example because a tool runs.

    The agent waits while the caller speaks, but at most `speech_limit_s` seconds. After this time the speech detector
    counts as stuck. After speech, the agent waits at most `answer_limit_s` seconds for the server to commit the turn
    and to answer it. While `paused` is True, no response begins.
    """

    def __init__(self, *, speech_limit_s: float = 8.0, answer_limit_s: float = 1.0) -> None:
        self._speech_limit_s = speech_limit_s
        self._answer_limit_s = answer_limit_s
        self._speaking = False
        self._closed_until = _PAST
        self._held_until = _PAST
        self.paused = False

    @property
    def free_at(self) -> float:
        return _NEVER if self.paused else self._closed_until

    @property
    def answers_at(self) -> float:
        return max(self.free_at, self._held_until)

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
        """Registers that the server has created a response. The wait for an answer to the caller's last speech is then
        over, and the next response may begin at any time. Has no effect while the caller speaks, because the created
        response then answers earlier speech, and the next response must wait for the end of the new speech.
        """
        if not self._speaking:
            self._closed_until = _PAST

    def hold(self, until: float) -> None:
        """Delays answers to the caller until `release` is called, but at most until the time `until` (seconds on any
        steady clock).
        """
        self._held_until = until

    def release(self) -> None:
        self._held_until = _PAST
