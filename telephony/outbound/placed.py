"""One outgoing call, live: what `Telephony.call` gives."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from realtime_core import AssistantAudio, AssistantMessageItem, FunctionTool, RealtimeModelConfig, UserMessageItem
from realtime_core.history_merge import words_within

from ..call.call import Call
from ..call.options import AgentSource, CallOptions
from ..errors import CallError, TwilioError
from ..twilio.callbacks import CallStatus
from ..twilio.rest import CallRecord
from .call_agent import agent_for_call
from .call_state import CallState
from .do_not_call import DoNotCall, opt_out
from .opening import Opening
from .plan import CallPlan, CallResult, Line, Status
from .result_form import ResultForm, fill_from_transcript

if TYPE_CHECKING:
    from .dialler import Dialler

__all__ = ["PlacedCall"]

log = logging.getLogger(__name__)

_TALK_ENDS_S = 10.0
"""For so long the conversation may tidy up after Twilio's word that the call is over."""


class PlacedCall:
    """`await answered()`, `await finished()`; once answered, `live` is the call as tools know it, with its controls."""

    def __init__(self, dialler: Dialler, token: str, to: str, plan: CallPlan, fetch_s: float) -> None:
        self.token = token
        self.to = to
        self.from_ = dialler.from_
        self.plan = plan
        self.state = CallState(fetch_s=fetch_s)
        self.record: CallRecord | None = None
        self.live: Call | None = None
        self.cancelled = False
        self.asked_at = dialler._sources.now()
        self.form = None if plan.result is None else ResultForm(plan.result)
        self._model_config: RealtimeModelConfig = {}
        self._dialler = dialler
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._talked = asyncio.Event()
        self._talked.set()
        self._finished: asyncio.Future[CallResult[Any]] = self._loop.create_future()
        self._answered: asyncio.Future[bool] = self._loop.create_future()
        self._transcript: tuple[Line, ...] = ()
        self._opening: Opening | None = None
        self._verdict = ""

    @property
    def now(self) -> float:
        return self._loop.time()

    @property
    def sid(self) -> str | None:
        """Twilio's `CallSid`, once it is known."""
        return self.state.sid

    @property
    def is_over(self) -> bool:
        return self._finished.done()

    @property
    def result(self) -> CallResult[Any] | None:
        """What `finished` gives, once it is over."""
        return self._finished.result() if self._finished.done() else None

    @property
    def status(self) -> str:
        return self.state.status or "queued"

    # --- for users ---------------------------------------------------------------------------------------------------

    async def answered(self) -> bool:
        """Wait until somebody, or something, picks up. False: the call ended without."""
        return await asyncio.shield(self._answered)

    async def finished(self) -> CallResult[Any]:
        """Wait for the end."""
        return await asyncio.shield(self._finished)

    async def hang_up(self) -> None:
        """End the call in whatever state it is."""
        self.cancelled = True
        for _ in range(50):
            if self.is_over or self.state.over:
                return
            if self.state.sid is not None:
                try:
                    await self._dialler.rest.hang_up(self.state.sid)
                    self.state.stream_ended(self.now)  # the callback may be lost: it is asked for soon
                    self._changed.set()
                    return
                except TwilioError as error:
                    log.warning("The call to %s could not be hung up: %s", self.to, error)
            await asyncio.sleep(0.2)

    def __getattr__(self, name: str) -> Any:
        """The controls of the live call: `say`, `play`, `transfer`, `send_digits`, `collect_digits`..."""
        if name.startswith("_"):
            raise AttributeError(name)
        if self.live is None:
            raise CallError(f"{name}: nobody has answered yet; `await call.answered()` comes first.")
        return getattr(self.live, name)

    # --- for the dialler ---------------------------------------------------------------------------------------------

    async def news(self) -> None:
        """Wait until something is heard, or the state has something to do."""
        self._changed.clear()
        delay = self.state.deadline - self.now
        try:
            async with asyncio.timeout(None if delay == float("inf") else max(0.0, delay)):
                await self._changed.wait()
        except TimeoutError:
            pass

    def heard_of(self, sid: str) -> bool:
        known = self.state.heard_of(sid, self.now)
        self._changed.set()
        return known

    def told(self, status: CallStatus) -> None:
        self.state.callback(status, self.now)
        self._changed.set()

    def detected(self, answered_by: str) -> None:
        """Twilio's verdict, which may come before the stream and after the end."""
        self._verdict = answered_by
        if self._opening is not None:
            self._opening.verdict(answered_by)

    def prepare(self, options: CallOptions) -> None:
        """Somebody picked up: run the call so."""
        self.state.stream_started(self.now)
        self._changed.set()
        self._model_config = options.model_config
        options.data = {**options.data, **self.plan.data, **self.plan.secrets}
        options.policy = replace(options.policy, max_call_s=self.plan.max_s)
        opening = self._opening = Opening(self.plan)
        if self._verdict:
            opening.verdict(self._verdict)
        options.placed = {"tools": [tool.name for tool in self._tools()]}
        opening.attach(options)
        began, ended = options.on_start, options.on_end

        def on_start(call: Call) -> None:
            began(call)
            self.live = call
            self._talked.clear()
            if not self._answered.done():
                self._answered.set_result(True)

        def on_end(call: Call) -> None:
            self._transcript = _transcript(call)
            self._talked.set()
            self.state.stream_ended(self.now)
            self._changed.set()
            ended(call)

        options.on_start, options.on_end = on_start, on_end

    def agent(self, usual: AgentSource) -> AgentSource:
        """Who speaks, the server's own where none was given, with what they have to know and the tools for it."""
        source = self.plan.agent or usual
        return agent_for_call(source, self.plan.data, self._tools(), simulated=self._dialler.simulated)

    def _tools(self) -> list[FunctionTool]:
        do_not_call = self._dialler.rules.do_not_call
        tools = [] if self.form is None else [self.form.tool()]
        return [*tools, opt_out(do_not_call)] if isinstance(do_not_call, DoNotCall) else tools

    async def conclude(self) -> None:
        """Twilio says that it is over: gather what came of it."""
        try:
            async with asyncio.timeout(_TALK_ENDS_S):
                await self._talked.wait()
        except TimeoutError:
            log.warning("The conversation with %s goes on after the call's end.", self.to)
        if not self._answered.done():
            self._answered.set_result(False)
        await self._ask_for_the_rest()
        if self.state.sid is not None and self.state.answered:
            try:
                self.record = await self._dialler.rest.call(self.state.sid)
            except TwilioError as error:
                log.info("What the call to %s cost is not known: %s", self.to, error)
        self._finished.set_result(self._result())

    async def _ask_for_the_rest(self) -> None:
        if self.form is None or not self.form.missing or not self._transcript:
            return
        await fill_from_transcript(self.form, self._transcript, self._model_config)

    def _result(self) -> CallResult[Any]:
        state, record, opening = self.state, self.record, self._opening
        answered_by = opening.answered_by if opening is not None else ""
        spoken = answered_by in ("human", "unknown")  # what was said to a machine is no finding
        status = cast(Status, state.status)  # one of the last, as the state is over
        return CallResult(
            to=self.to,
            status="canceled" if self.cancelled and not state.answered and state.status == "failed" else status,
            answered_by=answered_by,
            output=self.form.output if self.form is not None and spoken else None,
            message_left=opening is not None and opening.message_left,
            transcript=self._transcript,
            duration_s=0 if record is None else record.duration_s,
            cost=None if record is None else record.cost,
            currency="" if record is None else record.currency,
            sid=state.sid,
            error=state.error,
        )


def _transcript(call: Call) -> tuple[Line, ...]:
    """Who said what, and what was heard of it: what was on its way when the call ended was not."""
    try:
        history = call.session.history
    except AttributeError:  # the call ended before its session was made
        return ()
    cut = {(it.item_id, it.content_index): it.heard_ms for it in call.heard() if not it.finished}
    lines = []
    for item in history:
        if isinstance(item, AssistantMessageItem):
            said = " ".join(map(_words, item.content)).strip()
            parts = enumerate(item.content)
            heard = " ".join(_heard(part, cut.get((item.item_id, index))) for index, part in parts).strip()
            if said:
                lines.append(Line("agent", said, None if heard == said else heard))
        elif isinstance(item, UserMessageItem):
            said = " ".join(map(_words, item.content)).strip()
            if said:
                lines.append(Line("callee", said))
    return tuple(lines)


def _words(part: Any) -> str:
    return getattr(part, "transcript", None) or getattr(part, "text", None) or ""


def _heard(part: Any, cut_ms: float | None) -> str:
    if not isinstance(part, AssistantAudio):
        return _words(part)
    if part.heard_ms is not None:
        return part.heard_transcript or ""
    if cut_ms is None or part.received_ms <= 0:
        return _words(part)
    return words_within(part.transcript or "", cut_ms / part.received_ms)
