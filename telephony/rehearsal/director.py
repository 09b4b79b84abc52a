"""Decides what the agent says and does in a rehearsal, without an AI model. Pure. The agent follows a script: the agent
greets, and then calls each of its tools once.
"""

from __future__ import annotations

from dataclasses import replace

from realtime_core.local.improviser import Improviser
from realtime_core.local.reply import Heard, Reply, Situation

__all__ = ["RehearsalDirector"]


class RehearsalDirector:
    """Decides what the embedded model says in a rehearsal. The `Improviser` of `realtime_core.local` makes the
    decisions, and calls each tool once. However, the first words are always a greeting, even if the callee has said
    hello. Therefore no tool is called before the greeting, and a callee who hangs up during the greeting gives no
    result.
    """

    def __init__(self) -> None:
        self._improviser = Improviser()
        self._greeted = False

    def heard(self) -> Heard:
        return self._improviser.heard()

    def reply(self, situation: Situation) -> Reply:
        if not self._greeted:
            situation = replace(situation, speech_s=0.0, texts=())
        return self._improviser.reply(situation)

    def begun(self, reply: Reply) -> None:
        self._greeted = True
        self._improviser.begun(reply)
