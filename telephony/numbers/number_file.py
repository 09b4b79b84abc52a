"""Reads the numbers file (`TELEPHONY_NUMBERS`). The message about a problem contains the line, and says what must be
corrected.
"""

from __future__ import annotations

import difflib
import json
import tomllib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import NumbersFileError
from .config import FieldProblems, NumberConfig, NumbersConfig, Problem
from .toml_lines import TomlLines

__all__ = ["parse_numbers", "read_numbers"]

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def read_numbers(path: Path) -> NumbersConfig:
    """Returns the configuration in a file. Paths of audio files and of the language folder are relative to the folder
    of the file.

    Raises:
        NumbersFileError: the file cannot be read, or has problems.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise NumbersFileError([f"{path}:{line}: this is no UTF-8: save the file as UTF-8"]) from None
    except (OSError, ValueError) as error:  # a path with a NUL character is a ValueError
        why = getattr(error, "strerror", None) or error
        raise NumbersFileError([f"{path}: cannot be read ({why}): write the path of a TOML file"]) from None
    return parse_numbers(text, name=str(path), folder=path.parent)


def parse_numbers(text: str, *, name: str = "numbers.toml", folder: Path = Path()) -> NumbersConfig:
    """Returns the configuration in the text of a file. Relative paths begin at `folder`.

    Raises:
        NumbersFileError: the text has problems.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NumbersFileError([_of_toml(name, text, error)]) from None
    lines = TomlLines(text)
    try:
        config = NumbersConfig.model_validate(given)
    except ValidationError as error:
        raise NumbersFileError(located(name, lines, _problems(error))) from None
    return _beside(config, folder)


def located(name: str, lines: TomlLines, problems: Sequence[Problem]) -> list[str]:
    """Returns the problems of the file `name` as lines of text, sorted by line number. Each line has the file, the line
    number, the field, and the remedy.
    """
    placed = sorted((_line(lines, path), _written(path), what) for path, what in problems)
    return list(dict.fromkeys(f"{name}:{line}: {f'{where}: ' if where else ''}{what}" for line, where, what in placed))


_TOML_CURES = {
    "Invalid value": ': write a text in quotes, such as "de", and write true or false in lower case',
    "Expected '=' after a key in a key/value pair": ": write `name = value`, and a name with + or * in quotes",
}
"""What the user can do about an error in a TOML file, by the error message of the parser."""


def _of_toml(name: str, text: str, error: tomllib.TOMLDecodeError) -> str:
    what, _, place = str(error).partition(" (at ")
    line = place.partition("line ")[2].partition(",")[0] if "line " in place else str(max(1, len(text.splitlines())))
    cure = _TOML_CURES.get(what, "")
    return f"{name}:{line}: this is no TOML: {what[:1].lower()}{what[1:]}{cure}"


def _line(lines: TomlLines, path: Sequence[str | int]) -> int:
    """Returns the line of a value. If a number gets the value from `defaults`, the line is the line in `defaults`."""
    if len(path) > 2 and path[0] == "numbers" and not lines.has(path[:3]) and lines.has(("defaults", path[2])):
        return lines.of(("defaults", *path[2:]))
    return lines.of(path)


def _written(path: Sequence[str | int]) -> str:
    """Returns the path in the form of the file, such as `numbers."+4930".hours`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if part and set(part) <= _BARE else json.dumps(part))
    return text


def _problems(error: ValidationError) -> list[Problem]:
    found: list[Problem] = []
    for each in error.errors():
        cause = each.get("ctx", {}).get("error")
        if isinstance(cause, FieldProblems):
            found += [((*_place(each["loc"]), *path), what) for path, what in cause.problems]
            continue
        found.append((_place(each["loc"]), _remedy(each)))
    return found


def _place(loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """Returns the path of a value in the file. pydantic also names members of unions and keys of mappings. These names
    are removed, because they are not in the file.
    """
    model: Any = NumbersConfig
    path: list[str | int] = []
    for part in loc:
        if part == "[key]":
            break
        if isinstance(part, str) and not _has(model, part):
            continue
        path.append(part)
        model = _inner(model, part)
    return tuple(path)


def _has(kind: Any, name: str) -> bool:
    """Returns whether values of this type can have this key. A model can have every key, because an unknown key is a
    problem of the model.
    """
    return any(_is_table(each) for each in _members(kind)) and not name.startswith(
        ("function-", "tuple[", "is-instance")
    )


def _is_table(kind: Any) -> bool:
    return (isinstance(kind, type) and issubclass(kind, BaseModel)) or typing.get_origin(kind) is dict or kind is Any


def _members(kind: Any) -> list[Any]:
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [member for each in typing.get_args(kind) for member in _members(each)]
    return [kind]


def _inner(kind: Any, part: str | int) -> Any:
    """Returns the type of the value at `part`, or None if the type is unknown."""
    for each in _members(kind):
        if isinstance(each, type) and issubclass(each, BaseModel):
            if isinstance(part, str) and (field := each.model_fields.get(part)) is not None:
                return field.annotation
        elif typing.get_origin(each) is dict and isinstance(part, str):
            return typing.get_args(each)[1]
        elif typing.get_origin(each) is tuple and isinstance(part, int):
            return typing.get_args(each)[0]
    return None


def _remedy(each: Any) -> str:
    kind, message = each["type"], str(each["msg"]).removeprefix("Value error, ")
    name = str(each["loc"][-1]) if each["loc"] else ""
    match kind:
        case "extra_forbidden":
            known = _fields(each["loc"][:-1])
            close = difflib.get_close_matches(name, known, 1)
            return f"there is no such field: {f'did you mean {close[0]}?' if close else f'known are {_list(known)}'}"
        case "missing":
            return "it is missing: add it"
        case "enum" | "literal_error":
            return f"{each['input']!r} is not known: write {each['ctx']['expected'].replace(chr(39), '')}"
        case "bool_parsing" | "bool_type":
            return f"write true or false, not {_shown(each['input'])}"
        case "int_parsing" | "int_type" | "float_parsing" | "float_type" | "int_from_float":
            return f"write a number, not {_shown(each['input'])}"
        case "value_error":
            return message
    return f"{message[0].lower()}{message[1:]}, not {_shown(each['input'])}"


def _fields(loc: Sequence[str | int]) -> list[str]:
    model: Any = NumbersConfig
    for part in _place(loc):
        model = _inner(model, part)
    names = [
        n
        for each in _members(model)
        if isinstance(each, type) and issubclass(each, BaseModel)
        for n in each.model_fields
    ]
    return [*names, "defaults"] if model is NumbersConfig else names


def _list(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _beside(config: NumbersConfig, folder: Path) -> NumbersConfig:
    """Returns the configuration with paths relative to the folder of the file."""
    numbers = {key: _with_paths(number, folder) for key, number in config.numbers.items()}
    locales = None if config.locales is None else folder / config.locales
    return config.model_copy(update={"numbers": numbers, "locales": locales})


def _with_paths(number: NumberConfig, folder: Path) -> NumberConfig:
    update: dict[str, Any] = {}
    if isinstance(number.greeting, Path):
        update["greeting"] = folder / number.greeting
    if isinstance(number.consent.notice, Path):
        update["consent"] = number.consent.model_copy(update={"notice": folder / number.consent.notice})
    return number.model_copy(update=update) if update else number
