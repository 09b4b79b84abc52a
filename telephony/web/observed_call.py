"""Collects the events of one call of this process, for the call record, the outcome and the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from realtime_core.events import RealtimeAnyEvent
from realtime_core.usage import Usage

from ..call.call import Call
from ..call.line.latency import Latency, LatencyKind
from ..outcomes.result_form import ResultForm
from .call_details import CallDetails
from .call_outcomes import TranscriptionUsage

__all__ = ["Display", "ObservedCall"]

_MAX_LATENCIES = 1000


class Display(Protocol):
    """Shows one live call to operators, for example in the console. `now` is a time of the event loop in seconds."""

    def start(self, call: Call, now: float) -> None:
        """Begins to show the call."""

    def on_event(self, event: RealtimeAnyEvent, now: float) -> None:
        """Shows an event of the model session of the call."""

    def on_record(self, kind: str, fields: Mapping[str, Any], now: float) -> None:
        """Shows a journal record of the kind `kind`, such as a request of users' code, a timer or a request to Twilio.
        `fields` are the fields of the record.
        """

    def on_key(self, now: float) -> None:
        """Shows that the caller pressed a key."""

    def on_latency(self, seconds: float) -> None:
        """Shows a response latency: the time in seconds from the end of the caller's speech until the caller heard the
        answer.
        """

    def end(self, call: Call) -> None:
        """Stops showing the call, because it has ended."""


class ObservedCall:
    """Collects data of one call from its events, such as the turns, the tokens and the latencies, and passes the events
    to `display`, which shows the call. `form` is the result form that the agent fills in. `on_start` and `on_end` are
    called with the call at its start and end. `on_progress` is called from time to time if the data have changed.
    """

    def __init__(
        self,
        form: ResultForm | None,
        *,
        agent: str = "",
        display: Display,
        on_start: Callable[[Call, ObservedCall], None],
        on_progress: Callable[[Call, ObservedCall], None],
        on_end: Callable[[Call, ObservedCall], None],
    ) -> None:
        self.form = form
        self.agent = agent
        """The name of the agent, or an empty text if the name is not known before the call."""
        self.details = CallDetails()
        self._display = display
        self.usage = Usage()
        """The tokens that the speech model has used."""
        self.transcribed = TranscriptionUsage()
        self.responses_s: list[float] = []
        """The response latencies: the times in seconds from the end of the caller's speech until the caller heard the
        answer.
        """
        self._on_start, self._on_progress, self._on_end = on_start, on_progress, on_end
        self._clock = asyncio.get_running_loop().time
        self._call: Call | None = None

    def start(self, call: Call) -> None:
        self._call = call
        now = self._clock()
        self.details.begin(now)
        self._display.start(call, now)
        self._on_start(call, self)

    def on_event(self, event: RealtimeAnyEvent) -> None:
        now = self._clock()
        self.details.on_event(event, now)
        self._display.on_event(event, now)
        if event.type == "raw_model_event":
            if event.data.type == "usage":
                self.usage.add(event.data.usage)
            elif event.data.type == "input_audio_transcription_completed":
                self.transcribed.add(event.data.usage)
        if self.details.is_due(now) and self._call is not None:
            self._on_progress(self._call, self)

    @property
    def speaking(self) -> str:
        """The name of the agent that speaks. The name is empty until the agent is known."""
        return self.details.agents[-1] if self.details.agents else self.agent

    def on_record(self, kind: str, at_s: float, fields: Mapping[str, Any]) -> None:
        self._display.on_record(kind, fields, self._clock())
        if kind == "supervisor.words":
            self.transcribed.add(fields.get("usage"))

    def on_digit(self) -> None:
        self._display.on_key(self._clock())

    def on_latency(self, latency: Latency) -> None:
        if latency.kind is not LatencyKind.RESPONSE:
            return
        self._display.on_latency(latency.seconds)
        self.details.on_response(latency.seconds)
        if len(self.responses_s) < _MAX_LATENCIES:
            self.responses_s.append(latency.seconds)

    def end(self, call: Call) -> None:
        self._display.end(call)
        self._on_end(call, self)
