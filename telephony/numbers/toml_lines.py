"""Finds the line of a value in a TOML file. Pure.

The parser of the standard library does not return line numbers. This module reads only the keys of valid TOML: headers
of tables, and keys at the start of a line. A key within an inline table or an array gets the line of the key of that
table or array.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["TomlLines"]

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_PATH = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*")
_PART = re.compile(_KEY)
_STRINGS = ('"""', "'''", '"', "'")

Path = tuple[str | int, ...]


class TomlLines:
    """The line numbers of the keys in one document. The first line is 1."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}
        """The number of elements of each array of tables so far."""
        self._read(text.splitlines())

    def of(self, path: Sequence[str | int]) -> int:
        """Returns the line of the value at this path, or of the nearest table that contains the value. Returns 1 if no
        table of the file contains the value.
        """
        here = tuple(path)
        while here and here not in self._lines:
            here = here[:-1]
        return self._lines.get(here, 1)

    def has(self, path: Sequence[str | int]) -> bool:
        return tuple(path) in self._lines

    def _read(self, lines: list[str]) -> None:
        table: Path = ()
        number = 0
        while number < len(lines):
            line = lines[number].strip()
            if line.startswith("[["):
                table = self._element(_parts(line[2:]))
                self._lines[table] = number + 1
            elif line.startswith("["):
                table = self._resolved(_parts(line[1:]))
                self._lines.setdefault(table, number + 1)
            elif (found := _PATH.match(line)) is not None and line[found.end() :].startswith("="):
                path: Path = (*table, *_parts(found[1]))
                for depth in range(len(table) + 1, len(path) + 1):
                    self._lines.setdefault(path[:depth], number + 1)
                number += _extent([line[found.end() + 1 :], *lines[number + 1 :]], path, number + 1, self._lines)
                continue
            number += 1

    def _element(self, parts: Path) -> Path:
        array = self._resolved(parts[:-1]) + parts[-1:]
        index = self._tables.get(array, 0)
        self._tables[array] = index + 1
        return (*array, index)

    def _resolved(self, parts: Path) -> Path:
        """Returns the path with the index of the last element after each array of tables."""
        path: Path = ()
        for part in parts:
            path = (*path, part)
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
        return path


def _parts(text: str) -> Path:
    found = _PATH.match(text)
    if found is None:
        return ()
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in _PART.findall(found[1]))


def _extent(lines: list[str], path: Path, first: int, found: dict[Path, int]) -> int:
    """Returns the number of lines of a value, from the text after `=` on. The elements of an array get their own
    lines.
    """
    depth, index, quote = 0, 0, ""
    for offset, line in enumerate(lines):
        at = 0
        while at < len(line):
            if quote:
                if quote[0] == '"' and line[at] == "\\":
                    at += 2
                    continue
                if line.startswith(quote, at):
                    at, quote = at + len(quote), ""
                    continue
            elif line[at] == "#":
                break
            elif (opened := next((it for it in _STRINGS if line.startswith(it, at)), "")) != "":
                if depth == 1:
                    found.setdefault((*path, index), first + offset)
                at, quote = at + len(opened), opened
                continue
            elif line[at] in "[{":
                if depth == 1:
                    found.setdefault((*path, index), first + offset)
                depth += 1
            elif line[at] in "]}":
                depth -= 1
            elif line[at] == "," and depth == 1:
                index += 1
            at += 1
        if len(quote) == 1:
            quote = ""  # a string of one line ends there
        if depth <= 0 and not quote:
            return offset + 1
    return len(lines)
