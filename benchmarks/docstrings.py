"""Draws public docstrings at random, for a reader who does not know the code.

Above each docstring it prints the first paragraphs of the docstrings of its module and its classes, because a reader
of the file sees them too.

    python -m benchmarks.docstrings --seed 7

The reader answers for each docstring: did I understand it at the first reading? At least 48 of 50 should be understood.
The others are written again, and all that are built in the same way.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import random
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("realtime_core", "telephony")
SEED = 2026
COUNT = 50


@dataclass(frozen=True, slots=True)
class Documented:
    """A module, class, function or attribute with a docstring."""

    path: str
    """The path of the file below the repository, and the line."""
    signature: str
    """The source of the declaration; empty for a module."""
    text: str
    """The docstring."""
    context: tuple[str, ...] = ()
    """The first paragraphs of the docstrings of the module and the classes that contain the declaration, the module's
    first."""

    def __str__(self) -> str:
        lines = [self.path, *(f"In: {each}" for each in self.context), *([self.signature] if self.signature else [])]
        return "\n".join([*lines, textwrap.indent(self.text, "    ")])


def documented() -> list[Documented]:
    """Returns all public docstrings of the two packages, in the order of their files."""
    found: list[Documented] = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            tree = ast.parse(path.read_text())
            if text := ast.get_docstring(tree):
                found.append(Documented(f"{name}:1", "", text))
            found += _members(tree, name, "", ())
    return found


def _members(owner: ast.Module | ast.ClassDef, path: str, prefix: str, around: tuple[str, ...]) -> Iterator[Documented]:
    """Yields the docstrings of the public members of a module or class, and of their members.

    `around` has the first paragraphs of the docstrings of what contains `owner`.
    """
    own = ast.get_docstring(owner)
    context = (*around, " ".join(own.split("\n\n")[0].split())) if own else around
    for node, following in pairwise([*owner.body, None]):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if not node.name.startswith("_"):
                signature = _signature(node, prefix)
                if text := ast.get_docstring(node):
                    yield Documented(f"{path}:{node.lineno}", signature, text, context)
                if isinstance(node, ast.ClassDef):
                    yield from _members(node, path, f"{prefix}{node.name}.", context)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                match following:  # a string below an attribute describes it
                    case ast.Expr(value=ast.Constant(value=str(text))) if not name.startswith("_"):
                        line = f"{prefix}{ast.unparse(node)}"
                        yield Documented(f"{path}:{node.lineno}", line, inspect.cleandoc(text), context)


def _signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, prefix: str) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {prefix}{node.name}({bases})" if bases else f"class {prefix}{node.name}"
    start = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{start} {prefix}{node.name}({ast.unparse(node.args)}){returns}"


def main() -> None:
    """Prints the docstrings that the seed draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT)
    options = parser.parse_args()
    every = documented()
    print(f"{options.count} of {len(every)} public docstrings, seed {options.seed}\n")
    for number, each in enumerate(random.Random(options.seed).sample(every, options.count), 1):
        print(f"{number}. {each}\n")


if __name__ == "__main__":
    main()
