"""Describes in plain words what a difference between a recording and its replay means for the caller, the model and the
tools. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .compare import Divergence

__all__ = ["cause_of"]

_SPOKEN = re.compile(
    r"(?P<item>\S+): (?:(?P<samples>the samples) from (?P<from>\d+) ms on differ"
    r"|its audio from (?P<at>\d+) ms on was sent (?P<ms>\d+) ms too (?P<when>late|early)"
    r"|(?P<now>\d+) ms of it were sent, and (?P<then>\d+) ms then)$"
)
_TIMED = re.compile(r"(?P<what>.+) came (?P<ms>\d+) ms too (?P<when>late|early)$")
_HEARD = re.compile(r'"?audio_end_ms"?=(\d+)')
_EXCERPT = 60

_MODEL: Mapping[str, tuple[str, str]] = {
    "response.create": (
        "The model is no longer asked for an answer here",
        "The model is asked for an answer that was not asked for in the recording",
    ),
    "response.cancel": (
        "The model is no longer told to stop its answer",
        "The model is told to stop an answer that it finished in the recording",
    ),
    "conversation.item.truncate": (
        "The model is no longer told how much of its answer the caller heard",
        "The model is told that the caller heard only a part of an answer, and was not told so in the recording",
    ),
    "conversation.item.create": (
        "A text or a tool's result no longer reaches the model",
        "The model gets a text or a tool's result that it did not get in the recording",
    ),
    "input_audio_buffer.clear": ("The caller's audio is no longer cleared", "The caller's audio is cleared"),
}
"""The meaning of a missing command to the model, and the meaning of an additional command, by the type of the
command.
"""


def cause_of(divergence: Divergence, texts: Mapping[str, str]) -> str:
    """Returns one sentence that explains a difference between a recorded call and its replay, in plain words. Returns
    an empty text if no sentence is known for this difference. `texts` maps the id of each spoken conversation item to
    its words.
    """
    match divergence.lane:
        case "phone":
            return _of_phone(divergence, texts)
        case "model":
            return _of_model(divergence, texts)
        case "tools":
            return _of_tools(divergence)
        case "call":
            return _of_call(divergence)
        case "twilio":
            return _of_twilio(divergence)
    return ""


def _of_phone(divergence: Divergence, texts: Mapping[str, str]) -> str:
    what = divergence.what
    if found := _SPOKEN.match(what):
        said = _said(found["item"], texts)
        if found["samples"]:
            return f"{said} sounds different from {found['from']} ms on."
        if found["when"]:
            part = said if found["at"] == "0" else f"The rest of {said}"
            return f"{_cap(part)} reaches the caller {found['ms']} ms {_later(found['when'])} than in the recording."
        return f"{found['now']} ms of {said} are sent to the caller, and {found['then']} ms in the recording."
    if what.startswith("clear"):
        match divergence.kind:
            case "missing":
                return "The agent no longer falls silent where the caller interrupted it."
            case "extra":
                return "The agent is cut off where it was not cut off in the recording."
            case "late" | "early":
                return f"The agent falls silent {_ms(what)} ms {_later(divergence.kind)} than in the recording."
    if what.startswith("speak "):
        said = _said(what.split()[1], texts)
        match divergence.kind:
            case "missing":
                return f"The caller no longer hears {said}."
            case "extra":
                return f"The caller hears {said}, which is not in the recording."
            case "late" | "early":
                return f"The caller hears {said} {_ms(what)} ms {_later(divergence.kind)} than in the recording."
    return ""


def _of_model(divergence: Divergence, texts: Mapping[str, str]) -> str:
    what = divergence.what
    if divergence.kind == "audio":
        return "The model gets other audio of the caller than in the recording."
    command = what.split(":")[0].split()[0]
    if divergence.kind in ("late", "early") and (found := _TIMED.match(what)):
        does = {"response.create": "is asked for an answer", "conversation.item.create": "gets a text or a result"}
        action = does.get(command, f"gets {command}")
        return f"The model {action} {found['ms']} ms {_later(found['when'])} than in the recording."
    if divergence.kind == "changed" and command == "conversation.item.truncate":
        before, after = _HEARD.search(divergence.expected), _HEARD.search(divergence.actual)
        if before and after and before[1] != after[1]:
            return f"The model is told that {after[1]} ms of an answer were heard, and {before[1]} ms in the recording."
    if divergence.kind == "changed" and command == "conversation.item.create":
        return "The model gets another text or another result of a tool than in the recording."
    if command in _MODEL and divergence.kind in ("missing", "extra"):
        return f"{_MODEL[command][divergence.kind == 'extra']}."
    return ""


def _of_tools(divergence: Divergence) -> str:
    if divergence.kind == "schema":
        return divergence.what
    words = divergence.what.split(":")[0].split()
    if len(words) < 2:
        return ""
    name, returns = words[1], "returns" in divergence.what
    match divergence.kind:
        case "missing":
            return f"{name} {'no longer returns a result' if returns else 'is no longer called'}."
        case "extra":
            return f"{name} {'returns a result' if returns else 'is called'}, unlike in the recording."
        case "changed":
            return f"{name} {'returns something else' if returns else 'gets other arguments'} than in the recording."
        case "late" | "early":
            does = "returns" if returns else "is called"
            return f"{name} {does} {_ms(divergence.what)} ms {_later(divergence.kind)} than in the recording."
    return ""


def _of_call(divergence: Divergence) -> str:
    what, kind = divergence.what, divergence.kind
    if what.startswith("the call ends"):
        if kind == "changed":
            return (
                f"The call ends in another way: {_reason(divergence.actual)}, and {_reason(divergence.expected)} then."
            )
        if kind in ("late", "early"):
            return f"The call ends {_ms(what)} ms {_later(kind)} than in the recording."
        return "The call no longer ends." if kind == "missing" else "The call ends, and it did not in the recording."
    if what.startswith("error"):
        return "An error of the recorded call is gone." if kind == "missing" else "The call has an error."
    if what.startswith("time is up: "):
        name = what.removeprefix("time is up: ").split(" did not")[0].split(" is not")[0].split(" came")[0]
        return {
            "missing": f"A time limit ({name}) is no longer reached.",
            "extra": f"A time limit ({name}) is reached, and was not in the recording.",
        }.get(kind, "")
    if what.startswith("answered by"):
        return "The call is answered by someone else than in the recording."
    return ""


def _of_twilio(divergence: Divergence) -> str:
    action = divergence.what.removeprefix("REST ").split()[0].rstrip(":")
    match divergence.kind:
        case "missing":
            return f"Twilio is no longer asked to {action.replace('_', ' ')}."
        case "extra":
            return f"Twilio is asked to {action.replace('_', ' ')}, and was not in the recording."
    return ""


def _said(item: str, texts: Mapping[str, str]) -> str:
    text = " ".join(texts.get(item, "").split())
    if not text:
        return "an answer"
    return f"“{text if len(text) <= _EXCERPT else text[:_EXCERPT].rsplit(' ', 1)[0] + '…'}”"


def _ms(what: str) -> str:
    found = _TIMED.match(what)
    return found["ms"] if found else "some"


def _later(when: str) -> str:
    return "later" if when == "late" else "sooner"


def _cap(text: str) -> str:
    return text[:1].upper() + text[1:]


def _reason(action: str) -> str:
    found = re.search(r"reason=(.*?)\)?$", action)
    return repr(found[1]) if found else "otherwise"
