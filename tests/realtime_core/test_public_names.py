"""The names that users import, and where they find them."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

import realtime_core
from realtime_core import events, model_events

ROOT = Path(realtime_core.__file__).parent
MODULES = (
    "agent config events handoffs items model model_events model_inputs openai_realtime runner session".split()  # noqa: SIM905
)


def type_checkers_names() -> set[str]:
    """Returns the names that a type checker finds in the package: the imports under TYPE_CHECKING."""
    tree = ast.parse((ROOT / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def test_the_three_lists_of_names_agree() -> None:
    assert set(realtime_core.__all__) == set(realtime_core._MODULE_OF) == type_checkers_names()
    assert len(realtime_core.__all__) == len(set(realtime_core.__all__))


def test_every_name_is_there() -> None:
    for name in realtime_core.__all__:
        module = importlib.import_module(f"realtime_core.{realtime_core._MODULE_OF[name]}")
        assert getattr(realtime_core, name) is getattr(module, name)
        assert name in dir(realtime_core)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'RealtimeNonsense'"):
        _ = realtime_core.RealtimeNonsense


@pytest.mark.parametrize("module", MODULES)
def test_the_modules_of_the_reference_are_there_and_import_alone(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"import realtime_core.{module}"], check=True, capture_output=True)


@pytest.mark.parametrize("module", [events, model_events])
def test_each_event_is_exported_is_in_the_union_and_has_a_type_of_its_own(module: Any) -> None:
    union = events.RealtimeAnyEvent if module is events else model_events.RealtimeModelEvent
    members = get_args(union)
    names = [cls.__name__ for cls in members]
    declared = [
        name for name, cls in inspect.getmembers(module, inspect.isclass)
        if (cls.__module__ == module.__name__ and dataclasses.is_dataclass(cls) and hasattr(cls, "type"))
        or name in names
    ]  # fmt: skip
    assert sorted(names) == sorted(declared)
    assert set(names) <= set(module.__all__) and set(names) <= set(realtime_core.__all__)
    kinds = [field.default if (field := cls.__dataclass_fields__["type"]).init else cls.type for cls in members]
    assert len(set(kinds)) == len(kinds)


def test_the_session_events_of_the_reference() -> None:
    kinds = {cls.__dataclass_fields__["type"].default for cls in get_args(events.RealtimeSessionEvent)}
    assert kinds == {
        "agent_start",
        "agent_end",
        "handoff",
        "tool_start",
        "tool_end",
        "tool_approval_required",
        "raw_model_event",
        "audio",
        "audio_end",
        "audio_interrupted",
        "error",
        "history_updated",
        "history_added",
        "guardrail_tripped",
        "input_audio_timeout_triggered",
    }


@pytest.mark.parametrize(
    ("cls", "method", "parameters"),
    [
        ("RealtimeSession", "__init__", ["model", "agent", "context", "model_config", "run_config"]),
        ("RealtimeSession", "send_message", ["message", "respond"]),
        ("RealtimeSession", "send_audio", ["audio", "commit"]),
        ("RealtimeSession", "approve_tool_call", ["call_id", "always"]),
        ("RealtimeSession", "reject_tool_call", ["call_id", "always", "rejection_message"]),
        ("RealtimeRunner", "__init__", ["starting_agent", "model", "config"]),
        ("RealtimeRunner", "run", ["context", "model_config"]),
        ("RealtimePlaybackTracker", "on_play_bytes", ["item_id", "item_content_index", "bytes"]),
        ("RealtimePlaybackTracker", "on_play_ms", ["item_id", "item_content_index", "ms"]),
    ],
)
def test_signatures(cls: str, method: str, parameters: list[str]) -> None:
    signature = inspect.signature(getattr(getattr(realtime_core, cls), method))
    assert list(signature.parameters)[1:] == parameters
