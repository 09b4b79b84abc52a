"""Finds the changes between the recorded configuration of the model and the current configuration: instructions, tools,
voice, settings. Pure. A replay with the recorded model cannot evaluate such a change, because the recorded model gives
the recorded answers.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ..journal.format import object_at

__all__ = ["Change", "changes_between", "changes_of_settings", "tool_schemas"]

_NAMES = {
    "instructions": "instructions",
    "audio.output.voice": "voice",
    "model": "model",
    "model_name": "model",
}
_EXCERPT = 60
_MANY = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the model's configuration. `subject` is the changed part: `instructions`, `voice`, `tool
    book_table`, or a setting by its path. `then` and `now` are texts for people. `then` is empty if the recorded
    configuration did not have the subject. `now` is empty if the current configuration does not have the subject.
    """

    subject: str
    then: str = ""
    now: str = ""

    def __str__(self) -> str:
        if not self.then:
            return f"{self.subject}: new: {self.now}"
        if not self.now:
            return f"{self.subject}: removed: {self.then}"
        return f"{self.subject}: {self.then} -> {self.now}"


def changes_between(then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Returns the changes between the commands that were sent to the model in the recording (`then`) and in the replay
    (`now`). Each change is returned once.

    A call has one `session.update` for each agent, and one `response.create` for each answer with its own instructions.
    These commands are compared in order. If one call has more commands than the other, the surplus commands are not
    compared.
    """
    found: dict[Change, None] = {}
    for one, other in zip(_sessions(then), _sessions(now), strict=False):
        found |= dict.fromkeys(_changes(one, other))
    for before, after in zip(_requests(then), _requests(now), strict=False):
        if before != after and (before or after):
            found[_of_text("instructions of an answer", before, after)] = None
    return list(found)


def changes_of_settings(
    header: Mapping[str, Any], session: Mapping[str, Any], today: Mapping[str, Any]
) -> Iterator[Change]:
    """Yields the changes of the model's name and of the transcription settings. `today` has the current settings
    (`Settings.model_settings`). A setting that is not in `today` is not compared. `header` is the header of the
    journal, and `session` is the first recorded configuration of the model's session.
    """
    recorded = object_at(header, "config", "run_config", "model_settings")
    if (name := today.get("model_name")) is not None and name != recorded.get("model_name"):
        yield Change("model", str(recorded.get("model_name") or "the default"), str(name))
    if "input_audio_transcription" in today:
        then = object_at(session, "audio", "input", "transcription").get("model") or "off"
        now = object_at(today, "input_audio_transcription").get("model") or "off"
        if then != now:
            yield Change("transcription model", str(then), str(now))


def _sessions(commands: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [object_at(each, "session") for each in commands if each.get("type") == "session.update"]


def _requests(commands: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        str(object_at(each, "response").get("instructions") or "")
        for each in commands
        if each.get("type") == "response.create"
    ]


def tool_schemas(session: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns the parameters of each function in a configuration, as JSON schemas, by the names of the tools."""
    tools = session.get("tools")
    return {
        str(tool.get("name")): tool.get("parameters") or {}
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, Mapping) and tool.get("type") == "function"
    }


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    if then.get("instructions") != now.get("instructions"):
        yield _of_text("instructions", str(then.get("instructions") or ""), str(now.get("instructions") or ""))
    yield from _of_tools(_tools(then), _tools(now))
    before, after = (dict(_leaves({**each, "instructions": None, "tools": None})) for each in (then, now))
    for path in {**before, **after}:
        if before.get(path) != after.get(path):
            yield Change(_NAMES.get(path, path), _short(before.get(path)), _short(after.get(path)))


def _tools(session: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    tools = session.get("tools")
    return {
        str(tool.get("name") or tool.get("server_label") or tool.get("type")): tool
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, Mapping)
    }


def _of_tools(then: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> Iterator[Change]:
    for name in {**then, **now}:
        before, after = then.get(name), now.get(name)
        if before == after:
            continue
        if before is None or after is None:
            yield Change(f"tool {name}", "" if before is None else _signature(before), _signature(after or {}))
            continue
        old, new = (dict(_leaves({k: v for k, v in each.items() if k != "parameters"})) for each in (before, after))
        for path in {**old, **new}:
            if old.get(path) != new.get(path):
                yield _of_text(f"{path} of tool {name}", str(old.get(path) or ""), str(new.get(path) or ""))
        if before.get("parameters") != after.get("parameters"):
            yield from _of_schemas(name, before.get("parameters") or {}, after.get("parameters") or {})


def _of_schemas(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    before, after = then.get("properties") or {}, now.get("properties") or {}
    subject = f"parameters of tool {name}"
    if list(before) != list(after) and set(before) != set(after):
        yield Change(subject, ", ".join(before) or "none", ", ".join(after) or "none")
    kept = [each for each in before if each in after and before[each] != after[each]]
    for each in kept[:_MANY]:
        yield Change(f"parameter {each} of tool {name}", _short(before[each]), _short(after[each]))
    if set(before) == set(after) and not kept:
        rest = [{k: v for k, v in each.items() if k != "properties"} for each in (then, now)]
        if rest[0] != rest[1]:
            yield Change(subject, _short(rest[0]), _short(rest[1]))


def _signature(tool: Mapping[str, Any]) -> str:
    if not tool:
        return ""
    parameters = (tool.get("parameters") or {}).get("properties") or {}
    return f"{tool.get('name') or tool.get('type')}({', '.join(parameters)})"


def _of_text(subject: str, then: str, now: str) -> Change:
    """Returns the change of a long text. The change shows the first words that differ, with some words before them."""
    if len(then) <= 2 * _EXCERPT and len(now) <= 2 * _EXCERPT:
        return Change(subject, then and repr(then), now and repr(now))
    old, new = then.split(), now.split()
    blocks = [
        (a, a_end, b, b_end)
        for tag, a, a_end, b, b_end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if tag != "equal"
    ]
    if not blocks:
        return Change(subject, "(spaces)", "(other spaces)")
    a, a_end, b, b_end = blocks[0]
    more = f" (and {len(blocks) - 1} more places)" if len(blocks) > 1 else ""
    return Change(subject, _excerpt(old, a, a_end), _excerpt(new, b, b_end) + more)


def _excerpt(words: Sequence[str], start: int, end: int) -> str:
    first = max(0, start - 3)
    text = " ".join(words[first : end + 2])
    text = text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"
    return f"{'…' if first else ''}{text}"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else str(name))
    elif value is not None:
        yield path, value


def _short(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value, default=repr).decode()
    return text if len(text) <= 2 * _EXCERPT else f"{text[: 2 * _EXCERPT]}…"
