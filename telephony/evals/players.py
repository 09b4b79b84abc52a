"""Decides what a persona (a simulated caller) says next, with a text model or with a stand-in without a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

from .persona import Persona
from .texts import Chat
from .word_values import is_goodbye, kind_of

__all__ = ["Move", "Player", "StandInPlayer", "TextPlayer"]

_MAX_SAID = 600
_ROLE = """\
You play a caller on the phone. The user's messages are what you hear. Answer with one JSON object and nothing else:
{{"say": TEXT, "press": KEYS, "hang_up": BOOLEAN, "gives_up": BOOLEAN}}
"say": your next words, one or two short sentences as people speak. "press": keys of the phone, or "". "hang_up": true
when you end the call after these words. "gives_up": true if you end it because you are annoyed, or because you did not
get what you want. Never invent a fact. Never say that you are a machine or a test.
You are {persona.name}. Your goal: {persona.goal} What you know: {facts}. Your manner: {persona.manner}
You speak the language {persona.language}."""

_LAST = " (You have no more time. Say goodbye now, and hang up.)"


@dataclass(frozen=True, slots=True)
class Move:
    """The next acts of the caller, in this order: say something, press keys, hang up. `gives_up` is True if the caller
    hangs up because the caller is annoyed or did not reach the goal.
    """

    say: str = ""
    keys: str = ""
    hang_up: bool = False
    gives_up: bool = False


class Player(Protocol):
    """Decides what a simulated caller says and does in one call. The persona is the description of this caller. The
    method `next` may block.
    """

    def next(self, heard: str) -> Move:
        """Returns the next acts of the caller. `heard` has the words of the agent that the caller has just heard."""


class StandInPlayer:
    """Plays a persona by rules, without a text model. This player is not an AI model. The caller says the goal, answers
    questions with the facts, agrees when the agent asks for a confirmation, and says goodbye.
    """

    def __init__(self, persona: Persona) -> None:
        self._persona = persona
        self._turns = 0
        self._unanswered_repeats = 0
        self._said_goodbye = False
        self._said_goal = False

    def next(self, heard: str) -> Move:
        self._turns += 1
        heard_low = heard.casefold()
        if self._said_goodbye or (self._said_goal and is_goodbye(heard)):
            return Move(hang_up=True)
        if self._turns > self._persona.max_turns:
            return self._goodbye("I have no more time.")
        if not self._said_goal:
            self._said_goal = True
            return Move(say=self._persona.opening or self._persona.goal)
        if (key := _key_in(heard_low)) is not None:
            return Move(keys=key)
        if "anything else" in heard_low:
            return self._goodbye("No, thank you.")
        if "right?" in heard_low or "correct?" in heard_low:
            return Move(say="Yes, that is right.")
        if "?" in heard and (answer := self._fact_for(heard_low)):
            self._unanswered_repeats = 0
            return Move(say=answer)
        self._unanswered_repeats += 1
        if self._unanswered_repeats > 2:
            return Move(say="That does not help me. Goodbye.", hang_up=True, gives_up=True)
        return Move(say=self._persona.goal)

    def _goodbye(self, before: str) -> Move:
        self._said_goodbye = True
        return Move(say=f"{before} Goodbye.")

    def _fact_for(self, question: str) -> str:
        asked = kind_of("", question)
        for name, value in self._persona.facts.items():
            if name.replace("_", " ").casefold() in question or (asked and kind_of(name) == asked):
                return _spoken_fact(name, value)
        return ""


class TextPlayer:
    """Decides what a simulated caller of an eval says and does. A text model decides each step, in the role that the
    persona (the description of the caller) gives.
    """

    def __init__(self, persona: Persona, chat: Chat) -> None:
        self._chat = chat
        self._turns_left = persona.max_turns
        self._messages: list[dict[str, str]] = [{"role": "system", "content": _role(persona)}]

    def next(self, heard: str) -> Move:
        self._turns_left -= 1
        is_last = self._turns_left <= 0
        self._messages.append({"role": "user", "content": (heard or "(silence)") + (_LAST if is_last else "")})
        answer = self._chat.ask_json(self._messages)
        self._messages.append({"role": "assistant", "content": json.dumps(answer, ensure_ascii=False)})
        move = _move(answer)
        return replace(move, hang_up=True) if is_last else move


def _role(persona: Persona) -> str:
    facts = "; ".join(f"{name}: {value}" for name, value in persona.facts.items()) or "none"
    return _ROLE.format(persona=persona, facts=facts)


def _move(answer: Mapping[str, Any]) -> Move:
    keys = "".join(key for key in str(answer.get("press") or "") if key in "0123456789*#")
    say = answer.get("say")
    return Move(
        say=say.strip()[:_MAX_SAID] if isinstance(say, str) else "",
        keys=keys[:32],
        hang_up=answer.get("hang_up") is True,
        gives_up=answer.get("gives_up") is True,
    )


def _key_in(heard: str) -> str | None:
    words: Sequence[str] = heard.replace(",", " ").replace(".", " ").split()
    names = {
        name: str(n)
        for n, name in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    }
    for before, word in pairwise(words):
        if before == "press" and (key := names.get(word, word)) in set("0123456789*#"):
            return key
    return None


def _spoken_fact(name: str, value: Any) -> str:
    match kind_of(name):
        case "day":
            return f"On {value}."
        case "time":
            return f"At {value}."
        case "count":
            return f"For {value}."
        case "name":
            return f"My name is {value}."
    return f"{value}."
