"""Decides the answers of the embedded server if there is no script: it greets with the agent's name, tries each of the
agent's tools once, and reacts to keys. Pure.

The improviser is not an AI, says so, and does not understand speech. After speech of the caller, the improviser tries
the next tool. The improviser gets a pressed key as the text "The caller pressed N.", and tries tool number N. The keys
0, * and # repeat the greeting, which names the key of each tool. After any other key, the improviser says that the key
has no tool. The improviser never calls a tool that ends or moves the call or that writes to a do-not-call list, because
no caller requested this. A script may call such tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .example_arguments import example_arguments
from .reply import Call, Heard, Reply, Situation

__all__ = ["Improviser", "agent_name", "has_side_effects"]

_NAMED = re.compile(
    r"(?:answer(?:ing)?(?: \w+){0,2} for|[Yy]our name is|[Yy]ou are|on behalf of|work(?:ing)? (?:for|at))"
    r"(?: the| an?)?(?: [a-z]+)*?(?: (?:of|at|for|named|called))? ((?:[A-Z][\w'&-]*)(?: (?:[A-Z][\w'&-]*|of|and|&))*)"
)
_ENDS_A_CALL = re.compile(
    r"(?:^|_)(?:hang_?up|end_(?:the_)?(?:call|conversation)|(?:say_)?goodbye|transfer\w*|forward_(?:the_)?call|opt_?out"
    r"|call_back|unsubscribe|(?:add_to_)?do_?not_?call\w*|stop_calling)(?:_|$)",
    re.IGNORECASE,
)
_SAYS_SO = re.compile(r"(?:End the phone call|Hand the caller over|The person does not want to be called)\b")
"""Matches the start of the descriptions of the ready-made phone tools."""
_HANDOFF = "Handoff to the "
"""The default description of a handoff to another agent. Such a handoff does not move the call."""
_KEY = re.compile(r"pressed ([0-9*#])")
_EXACTLY = re.compile(r"[Ss]ay exactly(?: this)?[^:\"]*: *\"?([^\"]+)")
_MAX_SPOKEN_RESULT = 200
_MAX_MENU = 9


def agent_name(instructions: str) -> str | None:
    """Returns the name of the agent or of its company from the agent's instructions, or None. "You answer for Trattoria
    Blu." gives "Trattoria Blu".
    """
    found = _NAMED.search(instructions)
    return None if found is None else re.sub(r"( (of|and|&))+$", "", found[1])


def has_side_effects(name: str, description: str = "") -> bool:
    """Returns whether a tool seems to end or move the call, or to write to a do-not-call list, judged by its name and
    description. The improviser must not call such a tool.
    """
    if description.startswith(_HANDOFF):
        return False
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-\s]+", "_", name)
    return bool(_ENDS_A_CALL.search(snake) or _SAYS_SO.match(description))


class Improviser:
    def __init__(self) -> None:
        self._tried: set[str] = set()
        self._greeted = False
        self._calling: tuple[Reply, str] | None = None
        self._last_result: str | None = None

    def heard(self) -> Heard:
        return Heard()

    def reply(self, situation: Situation) -> Reply:
        tools = [tool for tool in situation.tools if tool.get("type") == "function" and not _left_alone(tool)]
        if situation.outputs:
            self._last_result = self._results(situation)
            return Reply(say=f"{self._last_result} {self._next_line(tools)}")
        for text in situation.texts:
            if found := _KEY.search(text):
                return self._pressed(found[1], tools, situation)
        if found := _EXACTLY.search(situation.request_instructions):
            return Reply(say=found[1].strip())
        if situation.idle:
            return Reply(say=f"Are you still there? {self._next_line(tools)}")
        untried = [tool for tool in tools if tool["name"] not in self._tried]
        if untried and (situation.speech_s or situation.texts):
            return self._call(untried[0])
        return self._menu(situation, tools)

    def begun(self, reply: Reply) -> None:
        self._greeted = True
        if self._calling is not None and self._calling[0] is reply:
            self._tried.add(self._calling[1])

    def _pressed(self, key: str, tools: Sequence[Mapping[str, Any]], situation: Situation) -> Reply:
        if key in "*#0":
            return self._menu(situation, tools)
        if key.isdecimal() and 1 <= int(key) <= len(tools):
            return self._call(tools[int(key) - 1])
        return Reply(say=f"You pressed {key}. There is nothing on that key. {self._next_line(tools)}")

    def _call(self, tool: Mapping[str, Any]) -> Reply:
        name = tool["name"]
        arguments = json.dumps(example_arguments(tool.get("parameters")))
        reply = Reply(say=f"One moment, please. I call {_spoken(name)}.", calls=[Call(name, arguments)])
        self._calling = (reply, name)
        return reply

    def _menu(self, situation: Situation, tools: Sequence[Mapping[str, Any]]) -> Reply:
        hello = ""
        if not self._greeted:
            hello = f"Hello, this is {agent_name(situation.instructions) or 'your agent'}. "
        script = "I am a script, not an AI."
        alone = [
            _spoken(tool["name"]) for tool in situation.tools if tool.get("type") == "function" and _left_alone(tool)
        ]
        skipped = f" I leave {', '.join(alone)} alone." if alone else ""
        if not tools:
            return Reply(say=f"{hello}{script} Your agent has no tools{' that I try' if alone else ''}.{skipped}")
        keys = ", ".join(f"press {i} for {_spoken(tool['name'])}" for i, tool in enumerate(tools[:_MAX_MENU], 1))
        return Reply(say=f"{hello}{script} I can try your tools, one by one: {keys}.{skipped} {self._next_line(tools)}")

    def _next_line(self, tools: Sequence[Mapping[str, Any]]) -> str:
        if not tools:
            return "To hear this again, press zero."
        if all(tool["name"] in self._tried for tool in tools):
            return "I have tried all your tools. To try one again, press its number."
        return "Say something, and I try the next one."

    @staticmethod
    def _results(situation: Situation) -> str:
        return " ".join(f"{_spoken(done.name)}: it answered: {_short(done.output)}." for done in situation.outputs)


def _left_alone(tool: Mapping[str, Any]) -> bool:
    return has_side_effects(str(tool["name"]), str(tool.get("description") or ""))


def _spoken(name: str) -> str:
    return re.sub(r"[_-]+", " ", name)


def _short(output: str) -> str:
    text = " ".join(output.split()).rstrip(".")
    return text if len(text) <= _MAX_SPOKEN_RESULT else text[:_MAX_SPOKEN_RESULT].rsplit(" ", 1)[0]
