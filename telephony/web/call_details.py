"""Collects the details of a conversation for the call record, from the events of the session. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from realtime_core.events import RealtimeAnyEvent
from realtime_core.usage import ModalityTokens, Usage

from ..call.recording.cut_causes import CutCauses

__all__ = ["CallDetails", "usage_json"]

_MAX_TURNS = 1_000
_MAX_TOOLS = 100
_EVERY_S = 10.0
_UNNAMED = "other"


class CallDetails:
    """Collects the details of one conversation for the call record: the agents that spoke, the turns with their
    latencies, the number of interruptions by the caller, and the calls and failures of each tool. `on_event` must be
    called with each event of the session and the time of the event loop in seconds. `on_response` must be called with
    each response latency that the caller experienced.

    The latency of a turn is the time from the end of the caller's speech until the caller hears the first sound of the
    answer. The latency is None for a turn that the caller did not hear, and for a turn that did not answer speech.
    """

    def __init__(self) -> None:
        self.agents: list[str] = []
        self.turns: list[dict[str, Any]] = []
        self.interruptions = 0
        self.tools: dict[str, dict[str, int]] = {}
        self._began: float | None = None
        self._response = ""
        self._is_counted = False
        self._causes = CutCauses()
        self._changed = False
        self._has_spoken = False
        self._written = 0.0

    def begin(self, now: float) -> None:
        """Starts the collection at the start of the call. The times of the turns count from `now`, in seconds."""
        self._began = self._written = now

    def on_event(self, event: RealtimeAnyEvent, now: float) -> None:
        cause = self._causes.of(event)
        match event.type:
            case "audio":
                self._audio(event.audio.response_id, now)
            case "agent_start":
                self._speaks(event.agent.name)
            case "handoff":
                self._speaks(event.to_agent.name)
            case "tool_start":
                self._tool(event.tool.name)["calls"] += 1
            case "tool_end" if event.error is not None:
                self._tool(event.tool.name)["failures"] += 1
            case "audio_interrupted" if cause is not None:
                self.interruptions += cause.is_callers
                if self.turns:
                    self.turns[-1]["cut"] = cause.value
                self._changed = True

    def on_response(self, seconds: float) -> None:
        """Stores how long the caller waited for the agent's last turn: `seconds` is the time from the end of the
        caller's speech until the caller hears the turn. Called when the caller begins to hear the turn.
        """
        if self.turns and self._is_counted and self.turns[-1]["latency_ms"] is None:
            self.turns[-1]["latency_ms"] = round(seconds * 1000)
            self._changed = True

    def is_due(self, now: float) -> bool:
        """Returns whether the details have changed and must be written. Changes are written at most every ten seconds.
        The first words of the agent must be written immediately, so the record of a killed process shows whether the
        agent has spoken. `now` is the time of the event loop in seconds. Returns True only once for each change.
        """
        begins = bool(self.turns) and not self._has_spoken
        if not self._changed or (now < self._written + _EVERY_S and not begins):
            return False
        self._changed, self._written, self._has_spoken = False, now, bool(self.turns)
        return True

    def changes(self) -> dict[str, Any]:
        """Returns the details as fields of the call record: `agents`, `turns`, `interruptions` and `tools`. The lists
        and mappings are copies.
        """
        return {
            "agents": list(self.agents),
            "turns": [dict(turn) for turn in self.turns],
            "interruptions": self.interruptions,
            "tools": {name: dict(counts) for name, counts in self.tools.items()},
        }

    def _audio(self, response_id: str, now: float) -> None:
        if response_id == self._response:
            return
        self._response, self._changed = response_id, True
        self._is_counted = len(self.turns) < _MAX_TURNS
        if self._is_counted:
            self.turns.append({"at_ms": round((now - (self._began or now)) * 1000), "latency_ms": None})

    def _speaks(self, name: str) -> None:
        if not self.agents or self.agents[-1] != name:
            self.agents.append(name)
            self._changed = True

    def _tool(self, name: str) -> dict[str, int]:
        self._changed = True
        if name not in self.tools and len(self.tools) >= _MAX_TOOLS:
            name = _UNNAMED
        return self.tools.setdefault(name, {"calls": 0, "failures": 0})


def usage_json(usage: Usage) -> dict[str, Any]:
    """Returns the token counts of a call by direction and modality, as JSON values. Counts of 0 are left out."""
    return {
        "responses": usage.requests,
        "input": {"tokens": usage.input_tokens, **_counts(usage.input_tokens_details)},
        "output": {"tokens": usage.output_tokens, **_counts(usage.output_tokens_details)},
    }


def _counts(details: ModalityTokens) -> dict[str, int]:
    return {name: count for name, count in asdict(details).items() if count}
