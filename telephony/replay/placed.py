"""Calls that were placed: who answered has to be found out again before the agent says a word."""

from __future__ import annotations

import asyncio

from ..call.options import AgentSource, CallOptions
from ..outbound.call_agent import agent_for_call
from ..outbound.opening import Opening
from ..outbound.plan import CallPlan
from .answers import Answers, answering_tools
from .recording import Recording

__all__ = ["open_again", "with_recorded_tools"]


def open_again(recording: Recording, options: CallOptions) -> None:
    """Run the call's opening as it was run then. Twilio's verdict comes when it came."""
    told = recording.config.get("placed")
    if not isinstance(told, dict):
        return
    opening = Opening(CallPlan.retold(told))
    options.placed = told
    opening.attach(options)
    loop = asyncio.get_running_loop()
    for t, answered_by in recording.verdicts:
        loop.call_later(t, opening.verdict, answered_by)


def with_recorded_tools(recording: Recording, source: AgentSource, answers: Answers) -> AgentSource:
    """The agent with what its call had brought: facts, and tools that answer from the recording."""
    told = recording.config.get("placed")
    if not isinstance(told, dict):
        return source
    brought = set(told.get("tools") or ())
    tools = [tool for tool in answering_tools(recording, answers) if tool.name in brought]
    return agent_for_call(source, told.get("facts") or {}, tools)
