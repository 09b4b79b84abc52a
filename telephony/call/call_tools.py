"""Tools that work on phone calls only, and the transfer targets that they declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from realtime_core import FunctionTool

from .call import Call

__all__ = ["CallTool", "declare_targets"]


class CallTool(FunctionTool):
    """A tool that works on phone calls only. `targets` are the transfer targets that it declares, warm ones or not."""

    targets: Mapping[str, str] = {}
    warm: bool = False


def declare_targets(call: Call, tools: Iterable[Any]) -> None:
    """Adds the targets of these tools to the call. `Call.transfer` in users' own tools can use them, too."""
    for tool in tools:
        if isinstance(tool, CallTool):
            call.transfer_targets.update(tool.targets)
            (call.warm_targets.update if tool.warm else call.warm_targets.difference_update)(tool.targets)
