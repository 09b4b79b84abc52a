"""What a docstring says of a function and of its parameters: Google, NumPy and Sphinx style. Pure."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

__all__ = ["Docstring", "parse_docstring"]

_SECTIONS = {
    "args", "arguments", "parameters", "params", "returns", "return", "yields", "raises", "examples", "example",
    "note", "notes", "attributes", "keyword args", "keyword arguments", "other parameters", "see also", "warnings",
}  # fmt: skip
_PARAMETER_SECTIONS = {
    "args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters",
}  # fmt: skip
_GOOGLE_ENTRY = re.compile(r"^\*{0,2}(?P<name>\w+)\s*(\([^)]*\))?\s*:\s*(?P<text>.*)$")
_NUMPY_ENTRY = re.compile(r"^\*{0,2}(?P<name>\w+)(\s*,\s*\*{0,2}\w+)*(\s*:.*)?$")
_SPHINX_FIELD = re.compile(r"^:(?P<kind>\w+)(\s+(?P<spec>[^:]*))?:\s*(?P<text>.*)$")


@dataclass(frozen=True, slots=True)
class Docstring:
    """`description` is what comes before the first section; `parameters` maps names to descriptions."""

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def parse_docstring(text: str | None) -> Docstring:
    """Read a docstring; what cannot be recognised is description."""
    lines = inspect.cleandoc(text or "").splitlines()
    description: list[str] = []
    parameters: dict[str, str] = {}
    at = 0
    while at < len(lines):
        underlined = at + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[at + 1].strip()) is not None
        title = lines[at].strip().removesuffix(":").lower()
        if title in _SECTIONS and (underlined or lines[at].rstrip().endswith(":")):
            body, at = _section(lines, at + (2 if underlined else 1), indented=not underlined)
            if title in _PARAMETER_SECTIONS:
                parameters |= _entries(body, _NUMPY_ENTRY if underlined else _GOOGLE_ENTRY)
        elif field_match := _SPHINX_FIELD.match(lines[at]):
            body, at = _section(lines, at + 1, indented=True)
            spec = (field_match["spec"] or "").split()
            if field_match["kind"] in {"param", "parameter", "arg", "argument", "key"} and spec:
                parameters[spec[-1].lstrip("*")] = _join([field_match["text"], *body])
        else:
            description.append(lines[at])
            at += 1
    return Docstring("\n".join(description).strip(), parameters)


def _section(lines: list[str], at: int, *, indented: bool) -> tuple[list[str], int]:
    """The lines of a section that begins at `at`, and where it ends."""
    start = at
    while at < len(lines):
        line = lines[at]
        if indented and line and not line[0].isspace():
            break
        if not indented and at + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[at + 1].strip()):
            break
        at += 1
    return inspect.cleandoc("\n" + "\n".join(lines[start:at])).splitlines(), at


def _entries(body: list[str], entry: re.Pattern[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in body:
        if line and not line[0].isspace() and (match := entry.match(line)):
            current = found.setdefault(match["name"], [match.groupdict().get("text") or ""])
        elif current is not None:
            current.append(line)
    return {name: _join(parts) for name, parts in found.items()}


def _join(parts: list[str]) -> str:
    return " ".join(part.strip() for part in parts if part.strip())
