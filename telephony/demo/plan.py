"""What a demonstration is to be, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["DEMO_AGENT", "Plan", "Rung"]

DEMO_AGENT = "telephony.demo.agent:agent"


@dataclass(frozen=True, slots=True)
class Plan:
    """`agent` is an import string; None: the demonstration's own, with its script and its caller."""

    agent: str | None
    script: Path | None
    live: bool
    run_tools: bool
    folder: Path
    verbose: bool
    asked_for: str | None = None
    """Who calls, where that was said."""

    @property
    def model_script(self) -> str | None:
        """For the embedded model; None: it tries the agent's tools."""
        if self.script is not None:
            return str(self.script)
        return "trattoria" if self.agent is None else None

    @property
    def caller(self) -> str:
        """Who calls: a name for `telephony.simulator.callers.find`."""
        if self.asked_for is not None:
            return self.asked_for
        return "demo" if self.agent is None and self.script is None else "visitor"

    @property
    def stub_tools(self) -> bool:
        return self.agent is not None and self.script is None and not self.run_tools


@dataclass(frozen=True, slots=True)
class Rung:
    """A call that was made: its journal, what happened at the caller's end, and what was heard there (mu-law)."""

    journal: Path
    events: Sequence[Mapping[str, Any]]
    heard: bytes
    server_said: str = ""
    """The server's last words, if it said anything."""
