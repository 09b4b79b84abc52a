"""Reads the file `.env`, whose settings are added to the settings of the environment.

An option of a command has priority over an environment variable, and an environment variable has priority over the
file. An empty variable counts as not set. Only the current folder is searched, so a program never uses the settings of
another project.

`${NAME}` in a value is replaced by the value of this variable, as python-dotenv does it. A text in single quotes is not
changed. `${NAME}` is also kept if there is no variable `NAME`, because the text may be a part of a password.
python-dotenv would remove the text without a message.
"""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from .errors import SettingsError

__all__ = ["ENCODING", "VARIABLE", "composed", "env_file", "environment", "values_of"]

log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
VARIABLE = "TELEPHONY_ENV_FILE"
_DEFAULT = ".env"
ENCODING = "utf-8-sig"
"""UTF-8, including the byte order mark that editors on Windows write at the start of a file."""


def env_file() -> Path | None:
    """Returns the file of settings to read: `TELEPHONY_ENV_FILE`, or `.env` in the current folder. Returns None if
    there is no file, or if `TELEPHONY_ENV_FILE` is `off`.

    Raises:
        SettingsError: the file `TELEPHONY_ENV_FILE` does not exist, or the file cannot be read, or a line is not a
            setting.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if named.lower() == "off":
        return None
    path = Path(named or _DEFAULT)
    if not path.exists() and str(path) == _DEFAULT:
        return None
    try:
        text = path.read_text(ENCODING)
    except OSError as error:
        raise SettingsError([f"{path} cannot be read: {error.strerror}. {_CURE}"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{path} is not UTF-8 text. Save it as UTF-8. {_CURE}"]) from None
    if problems := list(_unusable_lines(path, text)):
        raise SettingsError(problems)
    return path


def _unusable_lines(path: Path, text: str) -> Iterator[str]:
    """Yields a problem for each line that is not a setting. The parser of `.env` files ignores such lines. The problems
    do not contain the lines, which may be secret. A line with only a name is permitted, because Docker takes the value
    from the environment. After a line that gives a value to the same name, such a line is a problem, because the parser
    would lose the value.
    """
    from dotenv.parser import parse_stream  # each command imports this module, and few have a file

    given: set[str] = set()
    for binding in parse_stream(io.StringIO(text)):
        is_name = binding.key is None or _NAME.fullmatch(binding.key) is not None
        if binding.error or not is_name or (binding.value is None and binding.key in given):
            line = binding.original.line + _lines_before(binding.original.string)
            yield f"{path}, line {line}: this is not a setting. Write NAME=value, with both quotes or none"
        elif binding.key is not None and binding.value is not None:
            given.add(binding.key)


def _lines_before(part: str) -> int:
    """Returns the number of line breaks before the first visible character."""
    return part[: len(part) - len(part.lstrip())].count("\n")


def environment() -> Mapping[str, str]:
    """Returns the settings of the environment: the environment variables that are not empty, and the variables of the
    file `.env` that are not in the environment.

    Raises:
        SettingsError: the file cannot be read.
    """
    path = env_file()
    given = {} if path is None else values_of(path)
    return given | {k: v for k, v in os.environ.items() if v}


def values_of(path: Path) -> dict[str, str]:
    """Returns the variables of this file of settings that are not empty. `${NAME}` is replaced by the value of `NAME`
    in the lines above or in the environment, except in single quotes. If there is no such variable, `${NAME}` is kept,
    and a warning names the line.
    """
    found: dict[str, str] = {}
    for line, name, value, is_literal in _settings_of(path):
        found[name] = value if is_literal else _replaced(value, os.environ | found, f"{path}, line {line}: {name}")
    return {name: value for name, value in found.items() if value}


def composed(path: Path) -> list[str]:
    """Returns the names of the settings in this file whose values contain the values of other variables."""
    values = values_of(path)
    return [name for _, name, value, _ in _settings_of(path) if values.get(name, value) != value]


def _settings_of(path: Path) -> Iterator[tuple[int, str, str, bool]]:
    """Yields the line, the name and the value of each setting, and whether the value is in single quotes."""
    from dotenv.parser import parse_stream  # each command imports this module, and few have a file

    for binding in parse_stream(io.StringIO(path.read_text(ENCODING))):
        if binding.key is not None and binding.value is not None:
            line, written = binding.original.line, binding.original.string
            yield (
                line + _lines_before(written),
                binding.key,
                binding.value,
                written.partition("=")[2].lstrip()[:1] == "'",
            )


def _replaced(value: str, variables: Mapping[str, str], where: str) -> str:
    from dotenv.variables import Variable, parse_variables

    parts = []
    for atom in parse_variables(value):
        if isinstance(atom, Variable) and atom.default is None and atom.name not in variables:
            _say_kept(where)
            parts.append(f"${{{atom.name}}}")
        else:
            parts.append(atom.resolve(variables))
    return "".join(parts)


@cache
def _say_kept(where: str) -> None:
    """Logs once in this process that `${...}` is kept. The name is not logged, because it may be a part of a secret."""
    log.warning(
        "%s contains ${...}, and there is no variable of this name. The text is kept as it is written. Write the value "
        "in single quotes if this is right.",
        where,
    )


_CURE = f"{VARIABLE}=off reads no file."
