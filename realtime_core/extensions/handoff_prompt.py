"""Text for the instructions of agents that hand over to each other."""

from __future__ import annotations

__all__ = ["RECOMMENDED_PROMPT_PREFIX", "prompt_with_handoff_instructions"]

RECOMMENDED_PROMPT_PREFIX = """# About handoffs
You are one of several agents. Each agent has instructions and tools of its own, and the agents share one conversation.
To give the conversation to another agent, call the function for it. Its name usually begins with `transfer_to_`.
The user hears one assistant. Never mention agents, functions or transfers to the user.
"""
"""A text for the start of an agent's instructions, for agents that have handoffs or are the target of a handoff."""


def prompt_with_handoff_instructions(prompt: str) -> str:
    """Returns the instructions `prompt`, preceded by `RECOMMENDED_PROMPT_PREFIX`."""
    return f"{RECOMMENDED_PROMPT_PREFIX}\n\n{prompt}"
