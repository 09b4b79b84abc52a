"""Versions of agents: the digest of an agent, the share of the callers who get a new agent (a canary), and the rollback
of a canary. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from realtime_core import RealtimeAgent
from realtime_core.errors import UserError

from .argument_types import Rule, check_fields

if TYPE_CHECKING:
    from .call.options import AgentSource

__all__ = ["Canary", "Rollback", "Version", "digest_of_agent", "is_chosen"]

CANARY, STABLE = "canary", "stable"


@dataclass(frozen=True, slots=True)
class Rollback:
    """The rule for the automatic rollback of a canary (a new agent version for a part of the callers). A canary is
    rolled back when `failures` of its last `calls` calls have failed. A call has failed if a tool failed, or if the
    agent could not continue the call. The calls of all processes that share a database are counted together.
    """

    failures: int = 3
    calls: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.failures <= self.calls:
            raise UserError("Rollback(failures=..., calls=...): failures is at least 1, and at most calls.")

    def reason(self, failures: int, calls: int) -> str:
        """Returns why the canary (the new agent version) must be rolled back after `failures` of its last `calls` calls
        failed. Returns an empty text if the canary remains in use.
        """
        return f"{failures} of its last {calls} calls failed" if failures >= self.failures else ""


_RULES: Mapping[str, Rule] = {
    "percent": (int | float, "a number from 0 to 100"),
    "rollback": (Rollback | None, "a Rollback, or None"),
}


@dataclass(frozen=True, slots=True)
class Canary:
    """A new agent for `percent` of the callers. The same caller always gets the same agent, unless `percent` is changed
    or the canary is rolled back. After a change of `percent`, a caller may keep the earlier agent for up to a day. A
    caller without a number gets the present agent.

    With `rollback` None, only the command `telephony versions rollback` rolls the canary back.
    """

    agent: AgentSource
    percent: float = 5.0
    rollback: Rollback | None = field(default_factory=Rollback)

    def __post_init__(self) -> None:
        check_fields("Canary", _RULES, self)
        if not 0 <= self.percent <= 100:
            raise UserError(f"Canary(percent={self.percent!r}): write a number from 0 to 100.")


@dataclass(frozen=True, slots=True)
class Version:
    """The version of the agent in one call: its name, its digest, and whether it is a canary (a new version for a part
    of the callers).
    """

    name: str
    digest: str
    is_canary: bool = False

    def __str__(self) -> str:
        return f"{self.name[:40]} {self.digest}{' canary' if self.is_canary else ''}"


def is_chosen(subject: str, name: str, percent: float) -> bool:
    """Returns whether a caller gets the canary (the new agent version) with this name, which `percent` of the callers
    get. `subject` is the hash of the caller's phone number. The result depends only on the arguments, so all processes
    decide in the same way.
    """
    number = int.from_bytes(hashlib.sha256(f"canary {name} {subject}".encode()).digest()[:8])
    return number / 2**64 * 100 < percent


def digest_of_agent(agent: RealtimeAgent[Any], model: str = "", config: Mapping[str, Any] | None = None) -> str:
    """Returns a digest of an agent: of its instructions, tools and voice, the agents to which it hands over, the name
    of the model, and the configuration. Of a function, such as a tool, the digest includes the name and the code.
    """
    seen: dict[int, int] = {}
    text = json.dumps([_agent(agent, seen), model, _plain(config or {})], sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def _agent(agent: Any, seen: dict[int, int]) -> Any:
    if id(agent) in seen:  # agents may hand over to each other
        return seen[id(agent)]
    seen[id(agent)] = len(seen)
    tools = [
        dict(tool)
        if isinstance(tool, Mapping)
        else [tool.name, tool.description, tool.params_json_schema, _plain(tool.on_invoke_tool)]
        for tool in agent.tools
    ]
    handoffs = [
        _agent(each, seen) if isinstance(each, RealtimeAgent) else [getattr(each, "tool_name", ""), str(type(each))]
        for each in agent.handoffs
    ]
    instructions = _plain(agent.instructions)
    return {"name": agent.name, "instructions": instructions, "tools": tools, "handoffs": handoffs,
            "voice": _plain(agent.voice)}  # fmt: skip


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
    return _of_function(value) if callable(value) else type(value).__qualname__


def _of_function(function: Any, depth: int = 3) -> Any:
    """Returns the name, the code and the constants of a function, and of the functions that it encloses."""
    code = getattr(function, "__code__", None)
    if code is None:
        return [getattr(function, "__qualname__", type(function).__qualname__)]
    constants = [each for each in code.co_consts if isinstance(each, str | int | float)]
    inner: list[Any] = []
    if depth:
        cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if _is_filled(cell)]
        inner = [_of_function(each, depth - 1) for each in cells if callable(each)]
    return [code.co_qualname, hashlib.sha256(code.co_code).hexdigest(), constants, inner]


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
