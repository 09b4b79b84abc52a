"""Parses the descriptions of a function and of its parameters in a docstring, with griffe. Pure.

The four common styles are supported: Google, NumPy, Sphinx and Epydoc. The results equal those of the OpenAI Agents
SDK, which also uses griffe. This module additionally supports a colon in the type of a Google entry, and Epydoc's
`@param`.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Docstring", "DocstringStyle", "parse_docstring"]

DocstringStyle = Literal["google", "numpy", "sphinx"]

_EPYDOC_FIELD = re.compile(r"(?m)^([ \t]*)@(?=(?:param|arg|type|returns?|rtype|raises?)\b[^:\n]*:)")
_SPHINX_FIELD = re.compile(r"(?m)^:(?:param|parameter|arg|argument|key|keyword|type|returns?|rtype|raises?)\b[^:\n]*:")
_NUMPY_TITLE = re.compile(r"(?m)^(?:Other )?(?:Parameters|Returns|Yields|Raises)[ \t]*\n[ \t]*-{3,}")
_GOOGLE_TITLE = re.compile(r"(?mi)(?<=\S\n)(?=(?:args|arguments|params|parameters):[ \t]*\n[ \t])")
_TYPED_ENTRY = re.compile(r"(?m)^[ \t]+\*{0,2}\w+[ \t]*(?=\()")


@dataclass(frozen=True, slots=True)
class Docstring:
    """The descriptions in a function's docstring. `description` is the text before the first section. `parameters` maps
    names to descriptions.
    """

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def parse_docstring(text: str | None, style: DocstringStyle | None = None) -> Docstring:
    """Parses a docstring. Without a `style`, the style is detected. Text in an unknown style becomes the
    description.
    """
    text = _EPYDOC_FIELD.sub(r"\1:", inspect.cleandoc(text or ""))
    if "\n" not in text and not text.startswith(":"):
        return Docstring(text.strip())  # griffe takes 0.1 s to import, and one line needs no parser
    from griffe import Docstring as Text
    from griffe import DocstringSectionKind, logger

    style = style or _style(text)
    if style == "google":
        text = _without_types(_GOOGLE_TITLE.sub("\n", text))  # griffe needs a blank line before a section
    with logger.disable():
        # griffe strips indentation again. The empty first line protects a section at the beginning.
        sections = Text(f"\n{text}", lineno=1, parser=style).parse()
    texts = [section.value for section in sections if section.kind is DocstringSectionKind.text]
    entries = [
        entry
        for section in sections
        if section.kind in (DocstringSectionKind.parameters, DocstringSectionKind.other_parameters)
        for entry in section.value
    ]
    return Docstring(texts[0] if texts else "", {entry.name.lstrip("*"): entry.description for entry in entries})


def _style(text: str) -> DocstringStyle:
    if _SPHINX_FIELD.search(text):
        return "sphinx"
    return "numpy" if _NUMPY_TITLE.search(text) else "google"


def _without_types(text: str) -> str:
    """Returns the text without the bracketed types of its entries: `limit (int, default: 5): How many.` becomes `limit:
    How many.`

    Types come from the signature. griffe splits an entry at its first colon, which may be a colon in the type.
    """
    done: list[str] = []
    at = 0
    for entry in _TYPED_ENTRY.finditer(text):
        end = _closing(text, entry.end())
        if entry.start() >= at and text[end : end + 1] == ":":
            done.append(text[at : entry.end()].rstrip(" \t"))
            at = end
    return "".join([*done, text[at:]])


def _closing(text: str, start: int) -> int:
    """Returns the index after the bracket that closes the bracket at `start` on the same line, or `start` if there is
    no such bracket.
    """
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1, "\n": 0}.get(text[at], 0)
        if depth == 0 or text[at] == "\n":
            return at + 1 if depth == 0 else start
    return start
