"""Sends requests for responses and cancellations of responses, as the state machine `Responses` decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...model_events import RealtimeModelEvent, RealtimeModelResponseFailedEvent, RealtimeModelTurnEndedEvent
from ...response_effects import CancelResponse, CreateResponse, Effect, ResponseFailed, ResponseStalled
from ...response_state import ResponseState
from ...responses import Responses
from ..encoding import encode
from ..server_events import ResponseDone
from .audio_parts import AudioParts
from .client_events import ClientEvents
from .known_facts import KnownFacts
from .steps import Steps

__all__ = ["ResponseRequests"]


class ResponseRequests:
    """Sends requests for responses, and cancellations of responses, to the server. `responses` is the state machine
    that decides at which time each request may be sent.
    """

    def __init__(
        self,
        responses: Responses,
        client: ClientEvents,
        audio: AudioParts,
        known: KnownFacts,
        emit: Callable[[RealtimeModelEvent], None],
        steps: Steps,
    ) -> None:
        self.responses = responses
        self._client = client
        self._audio = audio
        self._known = known
        self._emit = emit
        self._steps = steps

    @property
    def agent_active(self) -> bool:
        """Whether a response is in progress or the caller hears a response."""
        return self.responses.state is not ResponseState.IDLE or self._audio.is_playing

    @property
    def may_be_refused(self) -> bool:
        """Whether the server has not answered a request for a response or a cancellation yet, so the server may still
        refuse it.
        """
        is_requested = self.responses.state in (ResponseState.REQUESTED, ResponseState.COLLIDING)
        return is_requested or self.responses.cancelling

    def request_answer(self, item_id: str | None, *, acknowledged: bool = False) -> None:
        """Requests a response. If `item_id` is not None, the response must take the item with this id into account.
        `acknowledged` is True if the server has already confirmed the item.
        """
        self.perform(self.responses.request_answer(self._steps.now, item_id, acknowledged=acknowledged))

    def request(self, options: Mapping[str, Any]) -> None:
        """Requests a response. `options` are the fields of the protocol's `response` object. Raises `TypeError`
        immediately for options that JSON cannot represent, because the request may be sent later.
        """
        encode("", "response.create", {"response": options})
        self.perform(self.responses.request(self._steps.now, options))

    def cancel(self, response_id: str | None = None, *, mute: bool = False) -> None:
        """Cancels the response with the id `response_id`. With None, cancels the response in progress. If `mute` is
        True, also drops its audio.
        """
        self.perform(self.responses.cancel(response_id, mute=mute))

    def interrupt(self) -> RealtimeModelEvent | None:
        """Stops the agent's audio, and truncates it on the server at the heard position. Returns the event to emit if
        audio was cut, or None.
        """
        return self._audio.interrupt(self.responses.active_id)

    def perform(self, effects: Sequence[Effect]) -> None:
        """Executes the actions that the state machine `Responses` has returned, in order."""
        for effect in effects:
            match effect:
                case CreateResponse(event_id, options):
                    self._client.send("response.create", {"response": options}, event_id=event_id)
                case CancelResponse(event_id, response_id, mute):
                    if mute:
                        self._audio.mute(response_id)
                    which = {"response_id": response_id} if response_id else {}
                    self._client.send("response.cancel", which, event_id=event_id)
                case ResponseStalled(response_id, is_complete):
                    self._stalled(response_id, is_complete)
                case ResponseFailed(response_id, status, reason, error, retrying):
                    self._emit(RealtimeModelResponseFailedEvent(response_id, status, reason, error, retrying))

    def _stalled(self, response_id: str, is_complete: bool) -> None:
        self._known.add(True, ResponseDone, response_id)
        self._audio.finish(response_id)
        if is_complete:
            self._emit(RealtimeModelTurnEndedEvent(response_id=response_id))
            return
        self._audio.mute(response_id)
        self._emit(RealtimeModelTurnEndedEvent(response_id=response_id, status="failed", reason="stalled"))
