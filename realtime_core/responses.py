"""The lifecycle of the model's responses: when a response is requested, and which response answers which request.

Pure. The server makes at most one response at a time in its default conversation. The server starts some responses
itself, at the end of a turn of the caller, and others after a `response.create` of the client. During a response, the
server refuses `response.create`. `Responses` decides when to send `response.create`. The user of this class executes
the returned effects in order, and calls `on_time` at `deadline`.

A request of the client and a response that the server started itself can collide. The rule is: a response answers every
item that the server acknowledged before it created the response. Therefore the server's own response also answers the
request, unless an item of the request was acknowledged later. In that case the request is sent again after the
response.

The metadata of a response (`client_event_id`) shows whether the client requested it. Some servers never return
metadata. With such a server, a response after a request counts as the requested response if it ends without an error
for the request. An exception is a cancelled response, because the server may have started it itself: it counts as the
requested response only if the server sends nothing else about the request within `cancelled_limit_s` seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .answer_gate import AnswerGate
from .response_effects import CancelResponse, CreateResponse, Effect, Options, ResponseFailed, ResponseStalled
from .response_outcome import Outcome, RetryPolicy
from .response_state import ResponseState, StateEvent, next_state

__all__ = ["COLLISION", "Responses", "echo_of"]

COLLISION = "conversation_already_has_active_response"
_METADATA_KEY = "client_event_id"
_END_LIMIT_S = 5.0
"""The time in seconds without an event after which a response with only complete items counts as ended."""


@dataclass(slots=True, eq=False)
class _Request:
    """A request for a response. Without `options`, any response that answers `items` fulfils the request."""

    options: Options | None = None
    items: set[str] = field(default_factory=set)
    attempt: int = 0
    not_before: float = 0.0
    event_id: str = ""
    sent_at: float = 0.0
    collides_since: float | None = None
    """The time since which the server refuses the request because of a response that the server did not announce, or
    None.
    """
    satisfied: bool = False
    revoked: bool = False
    maybe_cancelled: bool = False
    """Whether a response without metadata was cancelled after this request was sent. That response may have been the
    answer.
    """


@dataclass(slots=True)
class _Active:
    """The response in progress. `request` is None for a response that the server started itself."""

    response_id: str
    request: _Request | None
    progress_at: float
    watch_at: float
    """The time at which to check whether the response has stalled."""
    spoke: bool = False
    is_complete: bool = False
    """Whether each item that the response began is complete."""


class Responses:
    """Decides when a response is requested or cancelled in one server session, and keeps the state of the responses.
    Some methods return effects: the actions that the calling code must execute now, in order. Times such as `now` are
    in seconds on any steady clock.

    `ids` returns event ids. `audio` is True if responses should be spoken. `server_responds` is True if the server
    answers turns itself. A request waits until `answer_gate` permits a response. Times are in seconds:

    - `request_limit_s`: if the server does not react to a `response.create` in this time, it is sent again.
    - `cancelled_limit_s`: if a response was cancelled after a `response.create`, and the server does not react in this
      time, the cancelled response counts as the answer.
    - `collision_delay_s`: if the server refuses a `response.create` because of a response that it has not announced,
      the `response.create` is sent again after this time. After `request_limit_s` of such refusals that response is
      cancelled.
    """

    def __init__(
        self,
        ids: Callable[[], str],
        *,
        audio: bool = True,
        server_responds: bool = True,
        answer_gate: AnswerGate | None = None,
        retry: RetryPolicy | None = None,
        request_limit_s: float = 10.0,
        cancelled_limit_s: float = 1.0,
        collision_delay_s: float = 0.25,
    ) -> None:
        self.audio = audio
        self.server_responds = server_responds
        self.state = ResponseState.IDLE
        self._ids = ids
        self._gate = answer_gate or AnswerGate()
        self._retry_policy = retry or RetryPolicy()
        self._request_limit_s = request_limit_s
        self._cancelled_limit_s = cancelled_limit_s
        self._collision_delay_s = collision_delay_s
        self._queue: deque[_Request] = deque()
        self._sent: _Request | None = None
        self._active: _Active | None = None
        self._acknowledged: set[str] = set()
        self._echoes = False
        self._presumed: _Request | None = None
        """The request that a response without metadata seems to answer. A later error can disprove it."""
        self._cancel_id: str | None = None
        self._turn_taken_at: float | None = None
        """When the server committed a turn that it should answer itself. None once it has begun to answer."""
        self._side_requests: set[str] = set()
        self._side_responses: set[str] = set()

    @property
    def active_id(self) -> str | None:
        """The id of the response in progress in the default conversation, or None."""
        return self._active.response_id if self._active else None

    @property
    def cancelling(self) -> bool:
        return self._cancel_id is not None

    @property
    def idle(self) -> bool:
        """Whether no response is in progress, and no `response.create` was sent or waits to be sent."""
        return self.state is ResponseState.IDLE and not self._queue

    def at_rest(self, now: float) -> bool:
        """Returns whether nothing is in progress: `idle` is True, the caller does not speak, and the server is not
        expected to answer by itself.
        """
        return self.idle and now >= self._gate.free_at

    def awaits_server_answer(self, now: float) -> bool:
        """Returns whether the server should answer a turn itself and no audio of the answer has arrived."""
        active = self._active
        return self._waits_for_server(now) or (active is not None and active.request is None and not active.spoke)

    def expects_unnamed(self, now: float) -> bool:
        """Returns whether the next response may begin without the id of a client request in its metadata, because the
        server starts the response itself or because the server returns no metadata.
        """
        return self._waits_for_server(now) or (self._sent is not None and not self._echoes)

    @property
    def deadline(self) -> float | None:
        """The time at which `on_time` must be called, or None."""
        if self._sent is not None and self._active is None:
            return self._reaction_due(self._sent)
        if self._active is not None and self._retry_policy.stalled_after_s is not None:
            return self._active.watch_at
        if self._queue and self.state is ResponseState.IDLE:
            return min(self._due(request) for request in self._queue)
        return None

    def is_out_of_band(self, response_id: str) -> bool:
        """Returns whether the response is outside of the default conversation (out of band)."""
        return response_id in self._side_responses

    # Requests.

    def request_answer(self, now: float, item_id: str | None = None, *, acknowledged: bool = False) -> list[Effect]:
        """Requests a response of the model to the item `item_id`. With None, the response is to no item in particular.
        With `acknowledged`, the server has already confirmed this item. If a request without options has not been sent
        yet, it also counts for this item, so only one response is requested. Returns the actions (effects) that must be
        executed now: usually to send the request.
        """
        request = next((each for each in self._queue if each.options is None), None)
        if request is None:
            request = _Request()
            self._queue.append(request)
        if item_id is not None:
            request.items.add(item_id)
            if acknowledged:
                self._acknowledged.add(item_id)
        return self._next(now)

    def request(self, now: float, options: Options) -> list[Effect]:
        """Requests a response with `options`, which are fields of `response.create`, such as instructions. Only the
        response to this request fulfils the request. A response outside of the conversation (`conversation` is `none`)
        is requested immediately. Returns the effects that follow: usually the request.
        """
        if not options:
            return self.request_answer(now)
        if options.get("conversation") == "none":
            event_id = self._ids()
            self._side_requests.add(event_id)
            return [CreateResponse(event_id, _with_metadata(options, event_id))]
        self._queue.append(_Request(options))
        return self._next(now)

    def cancel(self, response_id: str | None = None, *, mute: bool = False) -> list[Effect]:
        """Cancels the response with the id `response_id`. With None, cancels the response in progress. If that response
        was only requested so far, it is cancelled when it is created. With `mute`, its audio must not be played. At
        most one `response.cancel` is pending. Returns the effects that follow: usually one cancellation.
        """
        if response_id is not None and response_id != self.active_id:
            return [CancelResponse(self._ids(), response_id, mute)] if response_id in self._side_responses else []
        if self._sent is not None and response_id is None:
            self._sent.revoked = True
        return self._cancel_active(mute)

    def cancelled_by_server(self) -> None:
        """Marks the response in progress as cancelled, because the server has cancelled it when the caller began to
        speak. A response that was requested and not yet created is also cancelled.
        """
        if self._sent is not None:
            self._sent.revoked = True

    def hold(self, until: float) -> None:
        """Delays each `response.create` without options until `release` is called, but at most until the time `until`.
        Requests with options, such as instructions of their own, are not delayed.
        """
        self._gate.hold(until)

    def release(self, now: float) -> list[Effect]:
        self._gate.release()
        return self._next(now)

    @property
    def paused(self) -> bool:
        """Whether the responses are paused (see `pause`). During a pause only out-of-band requests are sent."""
        return self._gate.paused

    def pause(self) -> None:
        """Sends no request until `resume` is called, except out-of-band requests. A response that begins during the
        pause is cancelled.
        """
        self._gate.paused = True

    def resume(self, now: float) -> list[Effect]:
        self._gate.paused = False
        return self._next(now)

    def unanswered(self, now: float) -> list[Options]:
        """Returns the requests for a response that have no answer when the connection is lost, so the next session can
        send them again. Each request is given by its options, which are empty for a request without options. A response
        in progress counts as unanswered if none of its audio has arrived. At most one request without options is
        returned.
        """
        requests = [self._sent] if self._sent and not self._sent.satisfied and not self._sent.revoked else []
        if self._active and not self._active.spoke and not self.cancelling:
            requests.append(self._active.request or _Request())
        if self._waits_for_server(now):
            requests.append(_Request())
        options = [each.options or {} for each in (*requests, *self._queue)]
        plain = [each for each in options if not each]
        return [*(each for each in options if each), *plain[:1]]

    # Events of the server.

    def acknowledged(self, item_id: str) -> None:
        """Marks the item as a part of the conversation on the server. If an answer to this item is requested, the next
        response that the server creates counts as this answer.
        """
        if any(item_id in request.items for request in self._requests()):
            self._acknowledged.add(item_id)

    def answer_not_needed(self, item_id: str) -> bool:
        """Drops the request for an answer to the item, because the server refused the item or the item is already
        answered. A response that was requested only for this item is cancelled when it is created. Returns whether an
        answer was requested.
        """
        wanted = [request for request in self._requests() if item_id in request.items]
        for request in wanted:
            request.items.discard(item_id)
            request.satisfied = not request.items
        self._drop_satisfied()
        return bool(wanted)

    def created(self, now: float, response_id: str, response: Mapping[str, Any]) -> list[Effect]:
        """Handles the server's event `response.created`. If the response is not needed any longer, because its request
        was cancelled or is already answered, returns the effect that cancels the response. Otherwise returns an empty
        list.
        """
        echoed = echo_of(response)
        if self._is_side(response, echoed):
            self._side_requests.discard(echoed or next(iter(self._side_requests)))
            self._side_responses.add(response_id)
            return []
        self._echoes = self._echoes or echoed is not None
        request = self._sent if self._sent and self._sent.event_id == echoed else None
        watch_at = now + (self._retry_policy.stalled_after_s or 0.0)
        self._active, self._cancel_id = _Active(response_id, request, now, watch_at), None
        self._step(StateEvent.CREATED_ON_REQUEST if request else StateEvent.CREATED_BY_SERVER)
        presumed = self._presumed
        unwanted = presumed is not None and presumed.event_id == echoed and presumed.satisfied
        if request is not None:
            unwanted = request.revoked or request.satisfied
            request.items.clear()
            self._sent = None
        elif self._sent is not None and not self._echoes:
            unwanted = self._sent.revoked
        self._turn_taken_at = None
        self._gate.answered()
        if request is None or "input" not in (request.options or {}):
            self._satisfy()
        return self._cancel_active(mute=True) if unwanted or self.paused else []

    def progress(self, now: float, response_id: str | None = None) -> None:
        """Restarts the time after which the response counts as stalled, because an event of the response has arrived.
        With `response_id` None, the event belongs to the response in progress.
        """
        if self._active and response_id in (None, self._active.response_id):
            self._active.progress_at = now

    def began_item(self, response_id: str) -> None:
        """Marks the response as incomplete, because it has begun a further output item. An incomplete response gets
        more time than a complete one before it counts as stalled.
        """
        if self._active and self._active.response_id == response_id:
            self._active.is_complete = False

    def completed_item(self, now: float, response_id: str) -> None:
        """Marks the response as complete, because its output item is complete. If the server then sends no end of the
        response and no further item for some seconds, the response counts as ended.
        """
        if self._active and self._active.response_id == response_id:
            self._active.is_complete = True
            self._active.watch_at = min(self._active.watch_at, now + _END_LIMIT_S)

    def spoke(self, response_id: str) -> None:
        """Marks the response as one with audio, because audio of it has arrived. If the connection is lost, such a
        response is not requested again.
        """
        if self._active and self._active.response_id == response_id:
            self._active.spoke = True

    def done(self, now: float, response_id: str, outcome: Outcome) -> list[Effect]:
        """Handles the server's event `response.done`. `outcome` says how the response ended. Returns the effects that
        follow: for example a report that the response failed, or the next request.
        """
        if response_id in self._side_responses:
            self._side_responses.discard(response_id)
            return []
        active = self._active
        if active is None or active.response_id != response_id:
            return []
        unwanted = self.cancelling
        self._active, self._cancel_id = None, None
        self._step(StateEvent.DONE)
        if self._sent is not None:
            self._sent.sent_at = now  # the server does not react during another response
        if self._sent is not None and not self._echoes:
            # A cancelled response may have begun and ended before the server received the request.
            if outcome.interrupted:
                self._sent.maybe_cancelled = True
            else:
                active.request = self._count_as_answer()
        failure = [] if unwanted else self._judge(now, active, outcome)
        return [*failure, *self._next(now)]

    def refused(self, now: float, event_id: str, code: str, error: Any = None) -> list[Effect]:
        """Handles an error event of the server. `event_id` is the id of the client event that the server refused,
        `code` is the error code, and `error` is the error to report. Returns the effects that follow: for example a
        report of the failure, or the next request. Has no effect if the error does not concern a command of the client.
        """
        if event_id and event_id == self._cancel_id:
            self._cancel_id = None
        self._side_requests.discard(event_id)
        request = self._sent
        if self._presumed is not None and event_id == self._presumed.event_id:
            request, self._presumed = self._presumed, None
        elif request is None or (event_id != request.event_id and (event_id or code != COLLISION)):
            return []
        else:
            self._sent = None
            self._step(StateEvent.REFUSED)
        effects: list[Effect] = []
        if code != COLLISION:
            effects = self._fail(now, request, code, error, again=code in self._retry_policy.transient)
        elif not request.satisfied and not request.revoked:
            effects = self._collided(now, request)
        return [*effects, *self._next(now)]

    def speech_started(self, now: float) -> None:
        self._gate.speech_started(now)

    def speech_stopped(self, now: float) -> list[Effect]:
        self._gate.speech_stopped(now)
        return self._next(now)

    def committed(self, now: float, *, by_client: bool = False) -> list[Effect]:
        """Registers that the server has added a turn of the caller to the conversation. Returns the actions (effects)
        that must be executed now, for example the request of a response that waited for the end of the turn. If the
        client requested the commit (`by_client`), the server does not answer the turn by itself.
        """
        server_answers = self.server_responds and not by_client
        self._turn_taken_at = now if server_answers else None
        self._gate.committed(now, server_answers=server_answers)
        return self._next(now)

    def on_time(self, now: float) -> list[Effect]:
        request, effects = self._sent, self._watch(now)
        if request and not self._active and now >= self._reaction_due(request):
            if request.maybe_cancelled:
                self._count_as_answer()
            else:
                self._sent = None
                self._step(StateEvent.REFUSED)
                effects = self._fail(now, request, "no_reaction", None, again=True)
        return [*effects, *self._next(now)]

    def _watch(self, now: float) -> list[Effect]:
        """Gives up the active response if it has had no event for too long."""
        active, limit_s = self._active, self._retry_policy.stalled_after_s
        if active is None or limit_s is None or now < active.watch_at:
            return []
        active.watch_at = active.progress_at + (min(limit_s, _END_LIMIT_S) if active.is_complete else limit_s)
        if now < active.watch_at:
            return []
        if active.is_complete:
            complete = Outcome("completed", called=True)
            return [ResponseStalled(active.response_id, True), *self.done(now, active.response_id, complete)]
        error = {"code": "stalled", "type": "timeout"}
        stalled = Outcome("failed", error=error)
        # Not `_cancel_active`: a response that the client cancelled is not requested again, but a stalled response is.
        cancel = [] if self.cancelling else [CancelResponse(self._ids(), active.response_id, mute=True)]
        return [*cancel, ResponseStalled(active.response_id), *self.done(now, active.response_id, stalled)]

    def _collided(self, now: float, request: _Request) -> list[Effect]:
        """Sends the request again: after the active response, or after a delay if no active response is known."""
        self._queue.appendleft(request)
        if self._active is not None:
            request.not_before, request.collides_since = 0.0, None
            return []
        request.not_before = now + self._collision_delay_s
        request.collides_since = now if request.collides_since is None else request.collides_since
        if now < request.collides_since + self._request_limit_s:
            return []
        request.collides_since = None
        return [CancelResponse(self._ids(), "")]

    def _cancel_active(self, mute: bool) -> list[Effect]:
        if self._active is None or self.cancelling:
            return []
        self._cancel_id = self._ids()
        return [CancelResponse(self._cancel_id, self._active.response_id, mute)]

    def _reaction_due(self, request: _Request) -> float:
        """Returns the time at which the reaction to a `response.create` is overdue."""
        return request.sent_at + (self._cancelled_limit_s if request.maybe_cancelled else self._request_limit_s)

    def _count_as_answer(self) -> _Request:
        """Counts the response that has just ended as the answer to the sent request."""
        assert self._sent is not None
        request = self._presumed = self._sent
        self._sent = None
        self._step(StateEvent.REFUSED)
        return request

    def _step(self, event: StateEvent) -> None:
        self.state = next_state(self.state, event)

    def _waits_for_server(self, now: float) -> bool:
        # After that time the server has decided not to answer.
        return self._turn_taken_at is not None and now < self._turn_taken_at + self._request_limit_s

    def _requests(self) -> Iterable[_Request]:
        return (*(each for each in (self._presumed, self._sent) if each), *self._queue)

    def _is_side(self, response: Mapping[str, Any], echoed: str | None) -> bool:
        if echoed is not None:
            return echoed in self._side_requests
        return bool(self._side_requests) and "conversation_id" in response and response["conversation_id"] is None

    def _satisfy(self) -> None:
        """Registers that a response was created. The response answers all acknowledged items."""
        for request in self._requests():
            if request.options is None:
                request.items -= self._acknowledged
                request.satisfied = not request.items
        self._drop_satisfied()

    def _drop_satisfied(self) -> None:
        self._queue = deque(each for each in self._queue if not each.satisfied)
        self._acknowledged.intersection_update({item_id for each in self._requests() for item_id in each.items})

    def _next(self, now: float) -> list[Effect]:
        """Sends the next request if it is due."""
        request = next((each for each in self._queue if self._due(each) <= now), None)
        if self.state is not ResponseState.IDLE or request is None:
            return []
        self._queue.remove(request)
        request.event_id, request.sent_at, request.maybe_cancelled = self._ids(), now, False
        self._sent = request
        self._step(StateEvent.SENT)
        return [CreateResponse(request.event_id, _with_metadata(request.options or {}, request.event_id))]

    def _due(self, request: _Request) -> float:
        return max(self._gate.answers_at if request.options is None else self._gate.free_at, request.not_before)

    def _judge(self, now: float, active: _Active, outcome: Outcome) -> list[Effect]:
        request = active.request or _Request()
        policy = self._retry_policy
        silent = outcome.status == "completed" and not (outcome.spoke or active.spoke or outcome.called)
        if silent and self.audio and (request.options or {}).get("output_modalities") != ["text"]:
            reason, delay_s = "text_only" if outcome.wrote else "empty", 0.0
            retrying = request.attempt < policy.empty
        elif outcome.status in ("failed", "incomplete") and not outcome.interrupted:
            reason, delay_s = (*outcome.names(), outcome.reason or outcome.status)[0], policy.delay_s
            transient = outcome.status == "failed" and not policy.transient.isdisjoint(outcome.names())
            retrying = transient and request.attempt < policy.failed
        else:
            return []
        if retrying:
            self._again(now, request, delay_s)
        return [ResponseFailed(active.response_id, outcome.status, reason, outcome.error, retrying)]

    def _fail(self, now: float, request: _Request, reason: str, error: Any, *, again: bool) -> list[Effect]:
        """Handles a request that failed before a response was created."""
        if request.satisfied or request.revoked:
            return []
        retrying = again and request.attempt < self._retry_policy.failed
        if retrying:
            self._again(now, request, self._retry_policy.delay_s)
        return [ResponseFailed("", "failed", reason, error, retrying)]

    def _again(self, now: float, request: _Request, delay_s: float) -> None:
        retry = _Request(request.options, set(request.items), request.attempt + 1, not_before=now + delay_s)
        self._queue.appendleft(retry)


def _with_metadata(options: Options, event_id: str) -> Options:
    return {**options, "metadata": {**(options.get("metadata") or {}), _METADATA_KEY: event_id}}


def echo_of(response: Mapping[str, Any]) -> str | None:
    """Returns the event id of the client's request, which a server repeats in the metadata of the response. Returns
    None if the metadata has no event id.
    """
    metadata = response.get("metadata")
    value = metadata.get(_METADATA_KEY) if isinstance(metadata, Mapping) else None
    return value if isinstance(value, str) else None
