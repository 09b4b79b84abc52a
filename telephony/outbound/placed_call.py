"""One placed call, as returned by `Telephony.call`."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, cast

from realtime_core import FunctionTool, RealtimeModelConfig

from ..call.call import Call
from ..call.options import AgentSource, CallOptions
from ..errors import TwilioError
from ..masking import mask_number
from ..outcomes.call_agent import agent_for_call
from ..outcomes.realtime_filling import fill_from_transcript
from ..outcomes.result_form import ResultForm
from ..outcomes.text_model import TextModel
from ..outcomes.transcript import Line, as_text, transcript_of
from ..twilio.callbacks import CallStatus
from ..twilio.resources import CallResource
from .call_state import CallState
from .do_not_call import DoNotCall, opt_out
from .live_controls import LiveControls
from .opening import Opening
from .plan import CallPlan, CallResult, Status

__all__ = ["CallControl", "PlacedCall"]

log = logging.getLogger(__name__)

_CONVERSATION_ENDS_S = 10.0
"""The maximum time in seconds for which the conversation may continue after Twilio reports the end of the call."""


class CallControl(Protocol):
    """The methods of Twilio's REST API that a placed call uses."""

    async def hang_up(self, call_sid: str) -> bool: ...

    async def call(self, call_sid: str) -> CallResource: ...


class PlacedCall(LiveControls):
    """A placed call. `await call.answered()` waits for an answer, and `await call.finished()` waits for the end of the
    call.

    After the call is answered, the object has the controls of a live call (`say`, `play`, `transfer`, ...), and `live`
    is the `telephony.Call` that tools get. Before the answer, the controls raise `CallError`.
    """

    def __init__(
        self,
        plan: CallPlan,
        control: CallControl,
        *,
        token: str,
        to: str,
        from_: str,
        requested_at: datetime,
        do_not_call: DoNotCall | None = None,
        can_opt_out: bool = False,
        fetch_s: float = 10.0,
    ) -> None:
        super().__init__()
        self.plan = plan
        self.token = token
        self.to = to
        self.from_ = from_
        self.requested_at = requested_at
        self.state = CallState(fetch_s=fetch_s)
        self.record: CallResource | None = None
        self.cancelled = False
        self.not_cleared = ""
        """The reason why the call was not requested from Twilio, such as the do-not-call list. The text is empty if
        there is no such reason.
        """
        self.may_request: Callable[[], bool] = lambda: True
        """A function that is called before each request to Twilio to make the call. If the function returns False, the
        call is not requested, for example because another process has taken over the call.
        """
        self.withheld = False
        """Whether the call was not requested from Twilio, because `may_request` returned False."""
        self.form = None if plan.result is None else ResultForm(plan.result)
        self._control = control
        self._tools: list[FunctionTool] = [*([] if self.form is None else [self.form.tool()]), *plan.tools]
        if can_opt_out or do_not_call is not None:
            self._tools.append(opt_out(do_not_call))
        self._model_config: RealtimeModelConfig = {}
        self.text_model: TextModel | None = None
        """The text model that reads the transcript after the call. If None, the realtime model reads the transcript if
        required fields of the result are missing.
        """
        self.completes_result = True
        """Whether the realtime model may fill in missing fields of the result from the transcript."""
        self.summary = ""
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._conversation_over = asyncio.Event()
        self._conversation_over.set()
        self._finished: asyncio.Future[CallResult[Any]] = self._loop.create_future()
        self._answered: asyncio.Future[bool] = self._loop.create_future()
        self._transcript: tuple[Line, ...] = ()
        self._opening: Opening | None = None
        self._answered_by = ""

    @property
    def masked_to(self) -> str:
        """The called number for logs: its first and last digits."""
        return mask_number(self.to)

    @property
    def now(self) -> float:
        return self._loop.time()

    @property
    def sid(self) -> str | None:
        """Twilio's `CallSid`, or None until the SID is known."""
        return self.state.sid

    @property
    def is_over(self) -> bool:
        return self._finished.done()

    @property
    def result(self) -> CallResult[Any] | None:
        """The result that `finished` returns, or None until the call is over."""
        return self._finished.result() if self._finished.done() else None

    @property
    def status(self) -> str:
        return self.state.status or "queued"

    # --- for users ---------------------------------------------------------------------------------------------------

    async def answered(self) -> bool:
        """Waits until a person or a machine answers. Returns False if the call ended without an answer."""
        return await asyncio.shield(self._answered)

    async def finished(self) -> CallResult[Any]:
        """Waits until the call is over, and returns the result of the call."""
        return await asyncio.shield(self._finished)

    async def hang_up(self) -> None:
        """Ends the call. A call that is still ringing is ended, too."""
        self.cancelled = True
        for _ in range(50):
            if self.is_over or self.state.over:
                return
            if self.state.sid is not None:
                try:
                    await self._control.hang_up(self.state.sid)
                    self.state.stream_ended(self.now)  # the callback may be lost, so the call is fetched soon
                    self._changed.set()
                    return
                except TwilioError as error:
                    log.warning("The call to %s could not be hung up: %s", self.masked_to, error)
            await asyncio.sleep(0.2)

    # --- for the dialer and the webhooks ----------------------------------------------------------------------------

    async def wait_for_news(self) -> None:
        """Waits until something about the call changes, or until the time at which the dialer must act
        (`CallState.deadline`).
        """
        self._changed.clear()
        delay = self.state.deadline - self.now
        try:
            async with asyncio.timeout(None if delay == math.inf else max(0.0, delay)):
                await self._changed.wait()
        except TimeoutError:
            pass

    def identified(self, sid: str) -> bool:
        """Stores `sid`, the `CallSid` in a webhook whose URL has the token of this call, as the `CallSid` of this call.
        Returns False and stores nothing if another `CallSid` is already known, or if this call was already reported as
        failed. Must be called for each such webhook.
        """
        is_new = self.state.identified(sid, self.now)
        self._changed.set()
        return is_new

    def on_status(self, status: CallStatus) -> None:
        self.state.callback(status, self.now)
        self._changed.set()

    def on_machine_detection(self, answered_by: str) -> None:
        """Passes `answered_by`, the result of Twilio's answering machine detection, to the detection of who answered.
        The result may arrive before the media stream and after the end of the call.
        """
        self._answered_by = answered_by
        if self._opening is not None:
            self._opening.verdict(answered_by)

    def prepare(self, options: CallOptions) -> None:
        """Adds to the options of the call session what this placed call needs, such as the detection of who answered.
        Called when the call was answered.
        """
        self.state.stream_started(self.now)
        self._changed.set()
        self._model_config = options.model_config
        options.data = {**options.data, **self.plan.data, **self.plan.secrets}
        options.policy = replace(options.policy, max_call_s=self.plan.max_s)
        opening = self._opening = Opening(self.plan)
        if self._answered_by:
            opening.verdict(self._answered_by)
        options.placed = {"tools": [tool.name for tool in self._tools]}
        opening.attach(options)
        on_start, on_end = options.on_start, options.on_end

        def start(call: Call) -> None:
            on_start(call)
            self.live = call
            self._conversation_over.clear()
            if not self._answered.done():
                self._answered.set_result(True)

        def end(call: Call) -> None:
            self._transcript = transcript_of(call, other="callee")
            opening.ended()
            self._conversation_over.set()
            self.state.stream_ended(self.now)
            self._changed.set()
            on_end(call)

        options.on_start, options.on_end = start, end

    def agent(self, source: AgentSource) -> AgentSource:
        """Returns a copy of `source`, an agent or a function that selects the agent. In the copy, the instructions
        contain the data of this call (such as the name of the callee), and the tools of the call are added.
        """
        return agent_for_call(source, self.plan.data, self._tools)

    async def finish(self) -> None:
        """Creates the result of the call. Called when Twilio reports the end of the call."""
        try:
            async with asyncio.timeout(_CONVERSATION_ENDS_S):
                await self._conversation_over.wait()
        except TimeoutError:
            log.warning("The call to %s is over at Twilio, but its conversation still runs.", self.masked_to)
        if not self._answered.done():
            self._answered.set_result(False)
        missing = [] if self.form is None else self.form.validate()
        if self.text_model is not None and self._is_conversation:
            self.summary = await self.text_model.read(self.form, self._transcript)
        elif self.form is not None and missing and self._transcript and self.completes_result:
            await fill_from_transcript(self.form, self._transcript, self._model_config)
        if self.state.sid is not None and self.state.answered:
            try:
                self.record = await self._control.call(self.state.sid)
            except TwilioError as error:
                log.info("The cost of the call to %s is not known: %s", self.masked_to, error)
        self._finished.set_result(self._result())

    def fail(self, error: str) -> None:
        """Ends this object with the status `failed`, unless the call is already over. `error` is the reason. The call
        at Twilio is not changed.
        """
        self.state.failed(error)
        if not self._answered.done():
            self._answered.set_result(False)
        if not self._finished.done():
            sid, said = self.state.sid, self._transcript
            self._finished.set_result(CallResult(self.to, "failed", transcript=said, sid=sid, error=error))

    @property
    def _is_conversation(self) -> bool:
        """Whether a person answered. A call with a machine has no structured result."""
        return self._opening is not None and self._opening.answered_by in ("human", "unknown")

    @property
    def output_json(self) -> Any:
        """The structured result as JSON values, masked as in the database, or None if there is no result."""
        output = None if self.result is None else self.result.output
        return None if self.form is None else self._for_records(self.form.type.plain(output))

    @property
    def recorded_summary(self) -> str:
        """The summary of the call, in the masked form that is stored in the database."""
        return str(self._for_records(self.summary))

    @property
    def recorded_transcript(self) -> str:
        """The masked transcript of the call for the database. Words of the agent that the callee did not hear are left
        out. Each line of the conversation is one line of text.
        """
        return str(self._for_records(as_text(self._transcript)))

    def _for_records(self, value: Any) -> Any:
        return value if self.live is None else self.live.masked(value)

    def _result(self) -> CallResult[Any]:
        state, record, opening = self.state, self.record, self._opening
        answered_by = opening.answered_by if opening is not None else ""
        status = cast(Status, state.status)  # a final status, because the state is over
        return CallResult(
            to=self.to,
            status="canceled" if self.cancelled and not state.answered and state.status == "failed" else status,
            answered_by=answered_by,
            output=self.form.output if self.form is not None and self._is_conversation else None,
            message_left=opening is not None and opening.message_left,
            transcript=self._transcript,
            duration_s=0 if record is None else record.duration_s,
            cost=None if record is None else record.cost,
            currency="" if record is None else record.currency,
            sid=state.sid,
            error=state.error,
            summary=self.summary,
            silence_s=None if opening is None else opening.silence_s,
        )
