"""Replays as JUnit XML, for continuous integration. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

__all__ = ["junit_of"]


def junit_of(results: Sequence[dict[str, Any]]) -> str:
    """A test case for each result of `many.run`; a divergence is a failure, a call that could not be made an error."""
    failed, broken = (sum(bool(result.get(key)) for result in results) for key in ("diverged", "error"))
    suite = ElementTree.Element(
        "testsuite", name="telephony replay", tests=str(len(results)), failures=str(failed), errors=str(broken)
    )
    for result in results:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"replay.{result['mode']}", name=result["title"], time=f"{result['cpu_s']:.3f}"
        )
        if result.get("error"):
            ElementTree.SubElement(case, "error", message=_plain(result["error"]))
        elif result["diverged"]:
            failure = ElementTree.SubElement(case, "failure", message=_plain(result["divergence"]["what"]))
            failure.text = _plain(result["text"])
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _plain(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(c for c in text if c in "\n\t" or c >= " ")
