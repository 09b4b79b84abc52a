"""What a call was to find out and did not record is asked for once, of a session of its own that only reads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from realtime_core import RealtimeAgent, RealtimeModelConfig, RealtimeRunner
from realtime_core.errors import RealtimeCoreError

from .findings import Findings
from .plan import Line

__all__ = ["ask_afterwards"]

log = logging.getLogger(__name__)

_WITHIN_S = 20.0


async def ask_afterwards(findings: Findings, transcript: Sequence[Line], model_config: RealtimeModelConfig) -> None:
    """Have the model fill in what is missing from the transcript. What it does not know stays missing."""
    said = "\n".join(f"{line.who}: {line.text if line.heard is None else line.heard}" for line in transcript)
    agent: RealtimeAgent[None] = RealtimeAgent(
        name="Clerk",
        instructions="You get the transcript of a phone call. Record by the tool what it says, and nothing else.",
        tools=[findings.tool()],
    )
    config = RealtimeModelConfig(
        **{
            **model_config,
            "initial_model_settings": {
                "output_modalities": ["text"],
                "turn_detection": None,
                "tool_choice": "required",
            },
        }
    )
    try:
        async with asyncio.timeout(_WITHIN_S), await RealtimeRunner(agent).run(model_config=config) as session:
            await session.send_message(said)
            async for _ in session.events("tool_end", "response_failed", "error"):
                return
    except (RealtimeCoreError, TimeoutError) as error:
        log.warning("What is missing of the result could not be asked for: %s", error or "no answer in time")
