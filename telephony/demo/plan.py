"""The options and the outcome of a demonstration call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["DEMO_AGENT", "DemoCall", "Plan"]

DEMO_AGENT = "telephony.demo.agent:agent"


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a demo call. `agent` is the import string of the agent (`module:attribute`). If `agent` is None,
    the demo uses its own agent. By default, the demo then also uses its own simulated caller, and its own script for
    the embedded model (a local model that is not an AI).
    """

    agent: str | None
    script: Path | None
    live: bool
    run_tools: bool
    folder: Path
    verbose: bool
    caller_name: str | None = None
    """The simulated caller that the user selected for the demo call, such as `visitor` or a file. None means that the
    demo selects a caller.
    """
    tools: int = 0
    """The number of tool calls that are expected in the demo call if the embedded model has no script."""

    @property
    def model_script(self) -> str | None:
        """The script of the embedded model: a path or a name. With None, the embedded model calls each tool of the
        agent once.
        """
        if self.script is not None:
            return str(self.script)
        return "trattoria" if self.agent is None else None

    @property
    def caller(self) -> str:
        """The name of the simulated caller, for `telephony.simulator.callers.find`."""
        if self.caller_name is not None:
            return self.caller_name
        if self.agent is None and self.script is None:
            return "demo"
        return "visitor" if self.script is not None else f"visitor-{self.tools}"

    @property
    def tries_tools(self) -> bool:
        """Whether the embedded model calls each tool once."""
        return self.model_script is None and not self.live

    @property
    def stub_tools(self) -> bool:
        return self.agent is not None and self.script is None and not self.run_tools


@dataclass(frozen=True, slots=True)
class DemoCall:
    """A finished demo call: its journal, the events at the caller's end, and the audio that the caller heard (mu-law, 8
    kHz).
    """

    journal: Path
    events: Sequence[Mapping[str, Any]]
    heard: bytes
    server_error: str = ""
    """The last line that the server process wrote to standard error. The text is empty if there was no line."""
