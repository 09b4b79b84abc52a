"""Public generic classes with a type in brackets, as in `CallResult[Booking](...)`."""

from __future__ import annotations

from typing import Any, Generic

import pytest

import realtime_core
import telephony

CLASSES = sorted(
    {
        each
        for package in (realtime_core, telephony)
        for name in package.__all__
        if isinstance(each := getattr(package, name), type) and issubclass(each, Generic) and each.__parameters__  # type: ignore[attr-defined]
    },
    key=lambda each: each.__name__,
)


def test_the_generic_classes_are_found() -> None:
    assert {telephony.CallResult, telephony.EndedCall, realtime_core.RealtimeAgent} <= set(CLASSES)


@pytest.mark.parametrize("generic", CLASSES)
def test_a_generic_class_is_created_with_a_type_in_brackets(generic: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `__init__`, `typing` sets `__orig_class__` on the object. On Python 3.11 a frozen dataclass with slots
    raises TypeError then."""
    monkeypatch.setattr(generic, "__init__", lambda self: None)
    assert type(generic[(Any,) * len(generic.__parameters__)]()) is generic
