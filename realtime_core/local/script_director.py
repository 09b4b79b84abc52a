"""A director that follows a script: it decides what the embedded model says and which tools it calls."""

from __future__ import annotations

import dataclasses
from collections import deque

from .reply import Heard, Reply, Situation
from .script import Script, Turn

__all__ = ["ScriptDirector"]


class ScriptDirector:
    """Decides the answers of the embedded server according to a script. Each spoken turn of the caller gets the next
    spoken turn of the script as its answer. A text of the client is answered by the scripted turn whose `text` it
    contains. The output of a tool is answered by the turn that called the tool. If no turn fits, the answer is the
    greeting (once, before the caller has spoken) or `otherwise` of the script.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._spoken = [turn for turn in script.turns if turn.text is None]
        self._written = [turn for turn in script.turns if turn.text is not None]
        self._next = 0
        self._greeted = script.greeting is None
        self._waiting: Turn | None = None
        self._offered: deque[tuple[Reply, Turn | None]] = deque(maxlen=8)

    def heard(self) -> Heard:
        turn = self._next_spoken()
        return Heard() if turn is None else Heard(turn.heard, turn.heard_fails, turn.heard_in)

    def reply(self, situation: Situation) -> Reply:
        if situation.outputs and self._waiting is not None:
            result = ", ".join(output.output for output in situation.outputs)
            return self._offer(_with_result(self._waiting.answer, result), self._waiting)
        turn = self._matching(situation)
        if turn is not None:
            return self._offer(turn.first, turn)
        greeting = self._script.greeting
        if (
            greeting is not None
            and not self._greeted
            and not (situation.speech_s or situation.texts or situation.outputs)
        ):
            return self._offer(greeting, None)
        return self._offer(self._script.otherwise, None)

    def begun(self, reply: Reply) -> None:
        turn = next((turn for offered, turn in self._offered if offered is reply), None)
        if reply is self._script.greeting:
            self._greeted = True
        if turn is None:
            return
        if turn is self._next_spoken():
            self._next += 1
        # The answer to a call follows its result. Other turns may come in between.
        if turn.calls and reply.calls:
            self._waiting = turn
        elif turn is self._waiting:
            self._waiting = None

    def _matching(self, situation: Situation) -> Turn | None:
        for text in (*situation.texts, situation.request_instructions):
            for turn in self._written:
                if turn.text is not None and turn.text.casefold() in text.casefold():
                    return turn
        if situation.speech_s or any("pressed" not in text for text in situation.texts):
            return self._next_spoken()
        return None

    def _next_spoken(self) -> Turn | None:
        return self._spoken[self._next] if self._next < len(self._spoken) else None

    def _offer(self, reply: Reply, turn: Turn | None) -> Reply:
        self._offered.append((reply, turn))
        return reply


def _with_result(reply: Reply, result: str) -> Reply:
    return dataclasses.replace(reply, say=reply.say.replace("{result}", result))
