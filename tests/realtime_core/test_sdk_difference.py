"""`docs/agents-sdk.md` lists every difference from the installed `openai-agents`, and no others."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

import pytest

from realtime_core.events import RealtimeAnyEvent, RealtimeSessionEvent
from tests.support import sdk_difference

DOCUMENT = (Path(__file__).parents[2] / "docs" / "agents-sdk.md").read_text()


def test_the_document_explains_each_difference() -> None:
    section = DOCUMENT.split("## Names, signatures, defaults and fields that differ")[1].split("\n## ")[0]
    explained = dict(re.findall(r"^- `(.+)`\n((?:  \S.*\n)+)", section, flags=re.MULTILINE))
    assert section.count("\n- ") == len(explained), "an entry without an explanation"
    assert list(explained) == sdk_difference.differences()


def test_the_document_names_our_other_events() -> None:
    section = DOCUMENT.split("## Events")[1].split("\n## ")[0]
    named = set(re.findall(r"`([a-z_]+)`", section.split("Our other events are:")[1].split("Ask for them")[0]))
    ours = set(get_args(RealtimeAnyEvent)) - set(get_args(RealtimeSessionEvent))
    assert named == {cls.type for cls in ours}


class Theirs:
    def __init__(self, name: str, count: int = 3) -> None: ...

    def run(self) -> None: ...


class Same:
    def __init__(self, name: str, count: int = 3, extra: int = 0, *, more: bool = False) -> None: ...

    def run(self, extra: int = 0) -> None: ...


class NoDefault:
    def __init__(self, name: str, count: int) -> None: ...


class OtherDefault:
    def __init__(self, name: str, count: int = 4) -> None: ...


class OtherOrder:
    def __init__(self, count: int = 3, name: str = "") -> None: ...


class ByName:
    def __init__(self, name: str, *, count: int = 3) -> None: ...


class Needs:
    def __init__(self, name: str, count: int = 3, *, key: str) -> None: ...


class WithAttribute:
    def __init__(self, name: str) -> None:
        self._private = name
        self.count: int = 3


class Lacks:
    def __init__(self, name: str) -> None: ...


@pytest.mark.parametrize(
    ("ours", "found"),
    [
        (Same, []),
        (NoDefault, ["X: count has no default, not 3"]),
        (OtherDefault, ["X: count is 4 by default, not 3"]),
        (OtherOrder, ["X: name is not the 1. positional parameter", "X: count is not the 2. positional parameter"]),
        (ByName, ["X: count is not the 2. positional parameter"]),
        (Needs, ["X: needs key"]),
        (Lacks, ["X: without the parameters count"]),
    ],
)
def test_a_difference_of_signatures_is_found(ours: Callable[..., Any], found: list[str]) -> None:
    assert list(sdk_difference._signature(Theirs, ours, "X")) == found


def test_a_difference_of_attributes_keys_and_members_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Key(TypedDict):
        a: int
        b: int

    monkeypatch.setattr(Theirs, "__module__", "agents.x")
    assert list(sdk_difference._thing(Theirs, Lacks, "X")) == ["X: without the parameters count", "X: without run"]
    assert list(sdk_difference._thing(Key, TypedDict("Key", {"a": int}), "X")) == ["X: without the keys b"]  # type: ignore[operator]
    assert list(sdk_difference._thing(Literal["a", "b"] | int, Literal["a"] | int, "X")) == ["X: without 'b'"]
    settings = {"voice": "ash", "speed": 1}
    assert list(sdk_difference._thing(settings, settings | {"voice": "cedar"}, "X")) == [
        "X: voice is 'cedar', not 'ash'"
    ]
    assert list(sdk_difference._class(WithAttribute, Lacks, "X")) == ["X: without count"]


def test_the_changed_imports_of_a_program_work() -> None:
    (imports,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    exec(compile(imports, "agents-sdk.md", "exec"), {})
