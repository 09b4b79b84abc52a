"""Metrics of one call's conversation."""

from __future__ import annotations

import asyncio

from realtime_core.events import RealtimeAnyEvent

from ..call.recording.cut_causes import CutCauses
from ..metrics import Metrics

__all__ = ["CallMetrics"]


class CallMetrics:
    """Counts the events of one session. `on_event` gets each event."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
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
        elif cause is not None:
            if cause.is_callers:
                self._metrics.barge_in()
        elif event.type == "connection_status":
            if event.status == "connected" and self._reconnecting:
                self._metrics.model_reconnected()
            self._reconnecting = event.status == "reconnecting"
