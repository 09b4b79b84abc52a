"""A stand-in for the speech model in evals. The stand-in is not an AI model. The answers of the stand-in depend on the
instructions, on the schemas of the tools, and on random numbers. Pure.

The stand-in runs on the embedded server. The stand-in gets the words of the simulated caller as text, and follows a few
rules: the stand-in asks for the required parameters of a tool, calls the tool, answers questions with sentences of the
instructions, and follows the instructions about confirmations, fillers and goodbyes. Each rule fails with the
probability `slip`. Therefore an eval with the stand-in shows how instructions, schemas, tools, guardrails and the turn
policy change the behaviour of the stand-in. The eval shows nothing about a real model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from realtime_core.local.improviser import agent_name, has_side_effects
from realtime_core.local.reply import Call, Heard, Reply, Situation

from .word_values import is_backchannel, is_goodbye, is_yes, value_of, words_of

__all__ = ["StandInModel"]

_CONFIRMS = re.compile(
    r"\b(confirm|read (it|them|everything)? ?back|repeat (it|them|everything|the)|is that right)", re.I
)
_FILLS = re.compile(r"\bone moment\b", re.I)
_KEY = re.compile(r"pressed ([0-9*#])")
_GREETS = re.compile(r"\bgreet", re.I)
_EXACTLY = re.compile(r"[Ss]ay exactly(?: this)?[^:\"]*: *\"?([^\"]+)")
_SENTENCE = re.compile(r"[^.!?]+[.!?]?")
_COMMON = frozenset(
    [
        "the",
        "a",
        "an",
        "is",
        "are",
        "you",
        "your",
        "we",
        "our",
        "do",
        "does",
        "of",
        "to",
        "for",
        "in",
        "on",
        "at",
        "and",
        "or",
        "it",
        "i",
        "my",
        "me",
        "please",
        "can",
        "could",
        "would",
        "what",
        "when",
        "which",
        "how",
        "have",
        "has",
        "with",
        "this",
        "that",
        "be",
        "by",
        "as",
        "from",
        "about",
        "tell",
    ]
)
_QUESTIONS = {
    "day": "For which day?",
    "date": "For which day?",
    "people": "For how many people?",
    "time": "At what time?",
    "name": "What is your name?",
}
_SLIP = 0.02
_AGAIN, _HELP = "As I said: ", "How can I help you?"


@dataclass(frozen=True)
class _State:
    values: Mapping[str, Any] = field(default_factory=dict)
    """The values that the caller has said, by tool and parameter."""
    tool: str = ""
    """The tool that the caller wants."""
    asked: str = ""
    """The parameter for which the stand-in asked last, or `confirm`."""
    done: frozenset[str] = frozenset()
    said: str = ""
    greeted: bool = False


class StandInModel:
    """Answers in place of a speech model in one simulated call, by rules and without an AI model. `overheard` returns
    the words that the caller has said since the last call of `overheard`. `slip` is the probability that a rule fails.
    """

    def __init__(self, overheard: Callable[[], str], random: Random, *, slip: float = _SLIP) -> None:
        self._overheard = overheard
        self._random = random
        self._slip = slip
        self._state = _State()
        self._words = ""
        self._offered: tuple[Reply, _State] | None = None

    def heard(self) -> Heard:
        words = self._overheard()
        self._words = f"{self._words} {words}".strip()
        return Heard(words)

    def reply(self, situation: Situation) -> Reply:
        reply, state = self._reply(situation, self._state)
        self._offered = (reply, replace(state, said=reply.say or state.said, greeted=True))
        return reply

    def begun(self, reply: Reply) -> None:
        if self._offered is not None and self._offered[0] is reply:
            self._state, self._words = self._offered[1], ""

    # --- the rules -----------------------------------------------------------------------------------------------

    def _reply(self, situation: Situation, state: _State) -> tuple[Reply, _State]:
        if found := _EXACTLY.search(situation.request_instructions):
            return Reply(say=found[1].strip()), state
        if situation.outputs:
            return self._after_tools(situation, state)
        for text in situation.texts:
            if found := _KEY.search(text):
                return Reply(say=f"You pressed {found[1]}."), state
        if situation.texts:  # feedback of a guardrail, or another message of the application
            return Reply(say="I am sorry, I cannot say that. Can I do anything else for you?"), state
        if situation.idle:
            return Reply(say="Are you still there?"), state
        if not situation.speech_s:
            hello = f"Hello, this is {agent_name(situation.instructions) or 'your agent'}. How can I help you?"
            return Reply(
                say=hello if not state.greeted or _GREETS.search(situation.request_instructions) else "Yes?"
            ), state
        return self._to_caller(situation, state)

    def _after_tools(self, situation: Situation, state: _State) -> tuple[Reply, _State]:
        results = " ".join(output.output for output in situation.outputs)
        if self._makes_mistake():
            return Reply(say="That is done. Can I do anything else for you?"), state
        return Reply(say=f"{_sentence(results)} Can I do anything else for you?"), state

    def _to_caller(self, situation: Situation, state: _State) -> tuple[Reply, _State]:
        words = self._words
        tools = [tool for tool in situation.tools if tool.get("type") == "function"]
        if not words:
            return Reply(say="Sorry, I did not hear you."), state
        if is_backchannel(words) and not is_yes(words):
            return Reply(say=f"{_AGAIN}{state.said.removeprefix(_AGAIN) or _HELP}"), state
        if is_goodbye(words):
            return self._goodbye(tools), state
        if state.asked == "confirm":
            if is_yes(words):
                return self._call(state, tools, situation)
            state = replace(state, asked="", values={})
        tool = self._tool(words, state, tools)
        answer = self._answer(words, situation.instructions)
        if tool is None or (answer and not state.tool and "?" in words):
            return Reply(say=answer or "I am sorry, I do not know that. What else can I do for you?"), state
        state = self._filled(words, replace(state, tool=str(tool["name"])), tool)
        return self._ask_or_call(state, tools, tool, situation)

    def _ask_or_call(
        self, state: _State, tools: Sequence[Mapping[str, Any]], tool: Mapping[str, Any], situation: Situation
    ) -> tuple[Reply, _State]:
        missing = [name for name in _parameters(tool)[1] if name not in state.values]
        if missing and not self._makes_mistake():
            question = _QUESTIONS.get(missing[0], f"What is the {_spoken(missing[0])}?")
            return Reply(say=question), replace(state, asked=missing[0])
        wants = bool(_CONFIRMS.search(situation.instructions)) != self._makes_mistake()
        if wants and state.values:
            values = ", ".join(f"{_spoken(name)} {value}" for name, value in state.values.items())
            return Reply(say=f"So that is {values}. Is that right?"), replace(state, asked="confirm")
        return self._call(state, tools, situation)

    def _call(self, state: _State, tools: Sequence[Mapping[str, Any]], situation: Situation) -> tuple[Reply, _State]:
        tool = next((tool for tool in tools if tool["name"] == state.tool), None)
        if tool is None:
            return Reply(say="I am sorry, I cannot do that."), replace(state, asked="", tool="")
        properties, required = _parameters(tool)
        arguments = {name: state.values.get(name, _guess(properties.get(name, {}))) for name in required}
        arguments |= {name: value for name, value in state.values.items() if name in properties}
        filler = "One moment, please." if _FILLS.search(situation.instructions) and not self._makes_mistake() else ""
        done = replace(state, asked="", tool="", values={}, done=state.done | {state.tool})
        return Reply(say=filler, calls=[Call(state.tool, json.dumps(arguments))]), done

    def _goodbye(self, tools: Sequence[Mapping[str, Any]]) -> Reply:
        ends = [tool["name"] for tool in tools if tool["name"] in ("hang_up", "end_call")]
        calls = [Call(ends[0], "{}")] if ends and not self._makes_mistake() else []
        return Reply(say="Thank you for calling. Goodbye!", calls=calls)

    def _tool(self, words: str, state: _State, tools: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """Returns the tool that the caller wants: the tool whose parameters are being asked for, or the tool with the
        most words in common with `words`.
        """
        usable = [t for t in tools if not has_side_effects(str(t["name"]), str(t.get("description") or ""))]
        if state.tool and (current := next((t for t in usable if t["name"] == state.tool), None)) is not None:
            return current
        said = set(words_of(words)) - _COMMON
        scores = [(len(said & _vocabulary(tool)) + _values_in(words, tool), -n) for n, tool in enumerate(usable)]
        best = max(scores, default=(0, 0))
        return usable[-best[1]] if best[0] > 0 else None

    def _filled(self, words: str, state: _State, tool: Mapping[str, Any]) -> _State:
        properties, _ = _parameters(tool)
        values = dict(state.values)
        for name, schema in properties.items():
            found = value_of(words, name, schema, asked=state.asked == name)
            if found is None:
                continue
            if isinstance(found, int) and not isinstance(found, bool) and self._makes_mistake():
                found += 1
            values[name] = found
        return replace(state, values=values, asked="")

    def _answer(self, words: str, instructions: str) -> str:
        """Returns the sentence of the instructions that has the most words in common with the question."""
        said = set(words_of(words)) - _COMMON
        sentences = [sentence.strip() for sentence in _SENTENCE.findall(instructions) if sentence.strip()]
        best = max(sentences, key=lambda sentence: len(said & set(words_of(sentence))), default="")
        return "" if not said & set(words_of(best)) or self._makes_mistake() else _sentence(best)

    def _makes_mistake(self) -> bool:
        return self._random.random() < self._slip


def _parameters(tool: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[str]]:
    schema = tool.get("parameters") or {}
    return schema.get("properties") or {}, schema.get("required") or ()


def _values_in(words: str, tool: Mapping[str, Any]) -> int:
    """Returns the number of parameters of the tool that have a value in these words."""
    values = [value_of(words, name, schema, asked=False) for name, schema in _parameters(tool)[0].items()]
    return sum(value is not None for value in values)


def _vocabulary(tool: Mapping[str, Any]) -> set[str]:
    text = f"{tool['name']} {tool.get('description') or ''} {' '.join(_parameters(tool)[0])}".replace("_", " ")
    return set(words_of(text)) - _COMMON


def _guess(schema: Mapping[str, Any]) -> Any:
    """Returns a value for a parameter that the caller did not say."""
    if schema.get("enum"):
        return schema["enum"][0]
    return {"integer": 1, "number": 1, "boolean": False, "array": [], "object": {}}.get(
        str(schema.get("type")), "unknown"
    )


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) or not text else f"{text}."
