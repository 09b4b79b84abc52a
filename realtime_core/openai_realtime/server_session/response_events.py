"""Handles the server's events about the beginning and the end of responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ... import model_events as emitted
from ...response_effects import ResponseStalled
from ...response_outcome import Outcome
from ...responses import echo_of
from .. import server_events as wire
from ..usage import usage_event
from .audio_parts import AudioParts
from .hosted_tools import HostedTools
from .item_events import ItemEvents
from .known_facts import KnownFacts
from .requests import ResponseRequests
from .steps import Steps

__all__ = ["ResponseEvents"]


class ResponseEvents:
    """Handles the server's events about the beginning and the end of responses. Reports each of the two to the session
    only once, even if the server repeats an event or omits the beginning.
    """

    def __init__(
        self,
        requests: ResponseRequests,
        audio: AudioParts,
        items: ItemEvents,
        hosted: HostedTools,
        known: KnownFacts,
        emit: Callable[[emitted.RealtimeModelEvent], None],
        steps: Steps,
    ) -> None:
        self._requests = requests
        self._responses = requests.responses
        self._audio = audio
        self._items = items
        self._hosted = hosted
        self._known = known
        self._emit = emit
        self._steps = steps
        self._unannounced_id = ""
        """The last response that has sent events, but no `response.created`."""
        self.handlers: Mapping[type, Callable[[Any], None]] = {
            wire.ResponseCreated: self._created,
            wire.ResponseDone: self._done,
        }

    def progress(self, response_id: str) -> None:
        """Restarts the time after which the response counts as stalled, because the server has sent an event of the
        response.
        """
        self._responses.progress(self._steps.now, response_id)
        if not self._known.has(wire.ResponseCreated, response_id):
            self._unannounced_id = response_id

    def on_time(self) -> None:
        """Does what is due now for responses: for example sends a request for a response that has waited, or ends a
        response from which no event has come for too long. Called when the session's timer expires.
        """
        active_id, was_cancelled = self._responses.active_id, self._responses.cancelling
        effects = self._responses.on_time(self._steps.now)
        if active_id and any(isinstance(each, ResponseStalled) and each.is_complete for each in effects):
            self._items.response_over(active_id, is_complete=not (was_cancelled or self._audio.is_muted(active_id)))
        self._requests.perform(effects)

    def announce(self) -> None:
        """Corrects the state if the `response.created` event of a response was lost or is late: if other events of the
        response have arrived, the response counts as created. Must be called before each command that refers to the
        response in progress, such as a cancellation.
        """
        response_id = self._unannounced_id
        is_known = self._known.has(wire.ResponseDone, response_id) or self._known.has(wire.ResponseCreated, response_id)
        if response_id and not is_known and self._responses.active_id is None:
            self.progress(response_id)
            self._created(wire.ResponseCreated(response_id, {"id": response_id}))

    def _created(self, event: wire.ResponseCreated) -> None:
        active_id, was_cancelled = self._responses.active_id, self._responses.cancelling
        if event.response_id == active_id or self._is_repeated(event):
            return
        self._known.add(echo_of(event.response), wire.ResponseCreated, event.response_id)
        self._known.forget(wire.ResponseDone, event.response_id)
        self._audio.begin(event.response_id)
        self._audio.forget_heard()
        effects = self._responses.created(self._steps.now, event.response_id, event.response)
        if active_id is not None and active_id != self._responses.active_id:
            # The server makes one response at a time. The end of the last response was lost, or arrives late.
            is_cut = was_cancelled or self._audio.is_muted(active_id)
            self._items.response_over(active_id, is_complete=not is_cut)
            self._audio.finish(active_id)
            self._emit(
                emitted.RealtimeModelTurnEndedEvent(response_id=active_id, status="incomplete", reason="not_told")
            )
        if self._responses.is_out_of_band(event.response_id):
            self._emit(emitted.RealtimeModelOtherEvent({"type": "response.created", "response": event.response}))
        else:
            self._emit(emitted.RealtimeModelTurnStartedEvent(response_id=event.response_id))
            self._hosted.answer_began(event.response_id)
        self._requests.perform(effects)

    def _is_repeated(self, event: wire.ResponseCreated) -> bool:
        """Returns whether the event was received before. Some servers use an id again for another response that is
        due.
        """
        if not self._known.has(wire.ResponseCreated, event.response_id):
            return False
        echo = echo_of(event.response)
        if echo is not None:
            return bool(echo == self._known.value(wire.ResponseCreated, event.response_id))
        return not self._responses.expects_unnamed(self._steps.now)

    def _done(self, event: wire.ResponseDone) -> None:
        response_id = event.response_id
        if not self._known.add(True, wire.ResponseDone, response_id):
            return  # a repeated event, or the response was given up
        if not self._known.has(wire.ResponseCreated, response_id) and self._responses.active_id is None:
            self._created(wire.ResponseCreated(response_id, event.response))  # the event was lost
            self._known.add(True, wire.ResponseDone, response_id)
            if self._audio.has_spoken(response_id):
                self._responses.spoke(response_id)
        was_ended = self._audio.is_finished(response_id)
        outcome = Outcome.of(event.response)
        out_of_band = self._responses.is_out_of_band(response_id)
        if not out_of_band:
            self._items.in_response(event, outcome.status)
            outcome = replace(outcome, called=outcome.called or self._items.has_call(response_id))
        self._audio.finish(response_id)
        if isinstance(usage := event.response.get("usage"), Mapping):
            self._emit(usage_event(response_id, usage))
        if out_of_band:
            self._emit(emitted.RealtimeModelOtherEvent({"type": "response.done", "response": event.response}))
        elif not was_ended:
            self._emit(
                emitted.RealtimeModelTurnEndedEvent(
                    response_id=response_id, status=outcome.status, reason=outcome.reason, error=outcome.error
                )
            )
        self._hosted.response_done(response_id, event.response)
        self._requests.perform(self._responses.done(self._steps.now, response_id, outcome))
