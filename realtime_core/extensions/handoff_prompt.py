"""Text for the instructions of agents that hand over to each other."""

from __future__ import annotations

__all__ = ["RECOMMENDED_PROMPT_PREFIX", "prompt_with_handoff_instructions"]

RECOMMENDED_PROMPT_PREFIX = """# About handoffs
You are one of several agents. Each agent has instructions and tools of its own, and the agents share one conversation.
To give the conversation to another agent, call the function for it. Its name usually begins with `transfer_to_`.
The user hears one assistant. Never mention agents, functions or transfers to the user.
"""
"""Begin the instructions of an agent with this text if the agent has handoffs or is the target of one."""


def prompt_with_handoff_instructions(prompt: str) -> str:
    """Returns the instructions `prompt`, with `RECOMMENDED_PROMPT_PREFIX` in front."""
    return f"{RECOMMENDED_PROMPT_PREFIX}\n\n{prompt}"
