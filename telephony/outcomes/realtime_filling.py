"""Fills in a result from the transcript of its call, in a text session of the realtime model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from realtime_core import RealtimeAgent, RealtimeModelConfig, RealtimeRunner
from realtime_core.errors import RealtimeCoreError

from .result_form import ResultForm
from .transcript import Line, as_text

__all__ = ["fill_from_transcript"]

log = logging.getLogger(__name__)

_EXTRACTION_S = 20.0


async def fill_from_transcript(form: ResultForm, transcript: Sequence[Line], model_config: RealtimeModelConfig) -> None:
    """Asks the model, in a new text session, to fill in the missing fields of the result `form` from the transcript.
    Fields that are not in the transcript stay missing.
    """
    agent: RealtimeAgent[None] = RealtimeAgent(
        name="Clerk",
        instructions="You get the transcript of a phone call. Record by the tool what it says, and nothing else.",
        tools=[form.tool()],
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
        async with asyncio.timeout(_EXTRACTION_S), await RealtimeRunner(agent).run(model_config=config) as session:
            await session.send_message(as_text(transcript))
            async for _ in session.events("tool_end", "response_failed", "error"):
                return
    except (RealtimeCoreError, TimeoutError) as error:
        log.warning(
            "The missing fields of a result could not be read from its transcript: %s", error or "no answer in time"
        )
