"""Counts the events of one call, such as interruptions and tool calls, in the metrics of the application."""

from __future__ import annotations

import asyncio

from realtime_core.events import RealtimeAnyEvent

from ..call.recording.cut_causes import CutCauses
from ..metrics import Metrics

__all__ = ["CallMetrics"]


class CallMetrics:
    """Counts the events of one session of the model in the application's metrics. `on_event` must be called with each
    event of the session.
    """

    def __init__(self, metrics: Metrics, model: str = "") -> None:
        self._metrics = metrics
        self._model = model
        self._clock = asyncio.get_running_loop().time
        self._stopped_at: float | None = None
        self._reconnecting = False
        self._causes = CutCauses()

    def on_event(self, event: RealtimeAnyEvent) -> None:
        cause = self._causes.of(event)
        if event.type == "audio":
            if self._stopped_at is not None:
                self._metrics.response_latency(self._clock() - self._stopped_at)
                self._stopped_at = None
        elif event.type == "speech_stopped":
            self._stopped_at = self._clock()
        elif event.type == "speech_started":
            self._stopped_at = None
        elif event.type == "tool_end":
            self._metrics.tool_called(event.tool.name, event.duration_s, failed=event.error is not None)
        elif event.type == "raw_model_event":
            if event.data.type == "usage":
                self._metrics.tokens(self._model, event.data.usage)
        elif cause is not None:
            if cause.is_callers:
                self._metrics.barge_in()
        elif event.type == "connection_status":
            if event.status == "connected" and self._reconnecting:
                self._metrics.model_reconnected()
            self._reconnecting = event.status == "reconnecting"
