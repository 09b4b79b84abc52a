"""Tools that can be used in phone calls only, and the transfer targets that these tools declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from realtime_core import FunctionTool

from .call import Call

__all__ = ["CallTool", "declare_targets"]


class CallTool(FunctionTool):
    """A tool that can be used in phone calls only. `targets` maps the names of transfer targets to phone numbers or SIP
    addresses. If `warm` is True, the called person hears a summary and can decline before the caller is connected.
    """

    targets: Mapping[str, str] = {}
    warm: bool = False


def declare_targets(call: Call, tools: Iterable[Any]) -> None:
    """Adds the transfer targets that these tools declare to the call. Users' own tools can transfer the caller to these
    targets with `Call.transfer`.
    """
    for tool in tools:
        if isinstance(tool, CallTool):
            call.transfer_targets.update(tool.targets)
            (call.warm_targets.update if tool.warm else call.warm_targets.difference_update)(tool.targets)
