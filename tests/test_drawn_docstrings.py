"""The docstrings that `benchmarks.docstrings` draws: a reader sees what stands above each in its file."""

from __future__ import annotations

from benchmarks.docstrings import Documented, documented
from realtime_core import run_context


def _first_paragraph(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


MODULE = _first_paragraph(run_context.__doc__)
CLASS = _first_paragraph(run_context.ToolContext.__doc__)


def _drawn(signature: str) -> Documented:
    (found,) = (
        each
        for each in documented()
        if each.path.startswith("realtime_core/run_context.py:") and each.signature.startswith(signature)
    )
    return found


def test_the_docstring_of_a_class_is_shown_with_that_of_its_module() -> None:
    drawn = _drawn("class ToolContext(")
    assert drawn.context == (MODULE,)
    assert f"\nIn: {MODULE}\nclass ToolContext(" in str(drawn)


def test_the_docstring_of_an_attribute_is_shown_with_those_of_its_module_and_its_class() -> None:
    assert _drawn("ToolContext.tool_call:").context == (MODULE, CLASS)


def test_the_docstring_of_a_module_is_shown_alone() -> None:
    (drawn,) = (each for each in documented() if each.path == "realtime_core/run_context.py:1" and not each.signature)
    assert drawn.context == ()
