"""Reads the file `.env`. Its settings are added to the settings of the environment.

An option of a command has priority over an environment variable, and an environment variable has priority over the
file. An empty variable counts as not set. Only the current folder is searched, so a program never uses the settings of
another project.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from .errors import SettingsError

__all__ = ["ENCODING", "VARIABLE", "env_file", "environment"]

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
    do not contain the lines, which may be secret. A name alone is permitted: Docker takes its value from the
    environment. After a line with a value it is a mistake, because the parser would lose the value.
    """
    from dotenv.parser import parse_stream  # each command imports this module, and few have a file

    given: set[str] = set()
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.value is None and binding.key in given):
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
    given: Mapping[str, str | None] = {}
    if path is not None:
        from dotenv import dotenv_values  # each command imports this module, and few have a file

        given = dotenv_values(path, encoding=ENCODING)
    return {name: value for name, value in given.items() if value} | {k: v for k, v in os.environ.items() if v}


_CURE = f"{VARIABLE}=off reads no file."
