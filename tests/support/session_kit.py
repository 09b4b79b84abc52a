"""Helpers that the tests of the session share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from realtime_core.agent import RealtimeAgent
from realtime_core.config import RealtimeRunConfig
from realtime_core.model import RealtimeModelConfig
from realtime_core.model_events import (
    RealtimeModelAudioEvent,
    RealtimeModelEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from realtime_core.model_inputs import RealtimeModelSendToolOutput
from realtime_core.session import RealtimeSession
from realtime_core.testing import ScriptedRealtimeModel


@dataclass
class Kit:
    """An open session, its model, and every event it emits."""

    session: RealtimeSession
    model: ScriptedRealtimeModel
    events: list[Any] = field(default_factory=list)

    def of(self, type: str) -> list[Any]:
        return [event for event in self.events if event.type == type]

    @property
    def types(self) -> list[str]:
        """The types of all events that are not raw."""
        return [event.type for event in self.events if event.type != "raw_model_event"]

    @property
    def sent(self) -> list[Any]:
        return list(self.model.sent_events)

    def emit(self, *events: RealtimeModelEvent) -> None:
        self.model.emit_now(*events)

    @property
    def outputs(self) -> list[tuple[str, bool]]:
        """Tool outputs that were sent, and whether a response was asked for."""
        return [(e.output, e.start_response) for e in self.sent if isinstance(e, RealtimeModelSendToolOutput)]


@asynccontextmanager
async def opened(
    agent: RealtimeAgent[Any] | None = None,
    *,
    model: ScriptedRealtimeModel | None = None,
    context: Any = None,
    run_config: RealtimeRunConfig | None = None,
    model_config: RealtimeModelConfig | None = None,
    immediate: bool = True,
) -> AsyncIterator[Kit]:
    model = model or ScriptedRealtimeModel(strict=False, immediate=immediate)
    session = RealtimeSession(model, agent or RealtimeAgent(name="Desk"), context, model_config, run_config)
    kit = Kit(session, model)
    session.add_handler(kit.events.append)
    async with session:
        yield kit


async def settle(seconds: float = 0.001) -> None:
    """Until everything that can happen now has happened (in virtual time)."""
    await asyncio.sleep(seconds)


def call(name: str, arguments: str = "{}", call_id: str = "call_1", **fields: Any) -> RealtimeModelToolCallEvent:
    return RealtimeModelToolCallEvent(name=name, call_id=call_id, arguments=arguments, id=f"item_{call_id}", **fields)


def audio(ms: int = 100, item_id: str = "item_a", response_id: str = "resp_1") -> RealtimeModelAudioEvent:
    return RealtimeModelAudioEvent(bytes(48 * ms), response_id, item_id, 0)


def said(text: str, item_id: str = "item_a", response_id: str = "resp_1") -> RealtimeModelTranscriptDeltaEvent:
    return RealtimeModelTranscriptDeltaEvent(item_id, text, response_id)


def started(response_id: str = "resp_1") -> RealtimeModelTurnStartedEvent:
    return RealtimeModelTurnStartedEvent(response_id=response_id)


def ended(response_id: str = "resp_1", **fields: Any) -> RealtimeModelTurnEndedEvent:
    return RealtimeModelTurnEndedEvent(response_id=response_id, **fields)


def types(events: Iterable[Any]) -> list[str]:
    return [event.type for event in events]
