"""The calls of this process: attaches media streams to live calls, passes webhooks to calls, and stores how calls
ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Self

from realtime_core.connection import Connection
from realtime_core.user_code import error_text

from ..errors import StreamRefused
from ..locales.locale import english
from ..logs import Repeats
from ..twilio.callbacks import CallStatus, DialResult, MachineDetection
from ..twilio.media_stream import Start
from ..twilio.twiml import say_and_hang_up
from .accept import Outcome, accept_stream
from .call import Call
from .call_info import CallInfo
from .ending import Ending, EndReason, Release
from .leg.next_twiml import StreamEnd
from .line.stream import MediaStream
from .options import AgentSource, CallOptions, CallOutcome
from .session import CallSession

__all__ = ["Registry"]

log = logging.getLogger(__name__)

_WARM_S = 15.0
"""The time in seconds for which a session that was connected early waits for its media stream."""
_MAX_ENDED = 1000
_ENDED_S = 600.0
"""The time in seconds for which the end of a call is stored."""


class Registry:
    """The calls of this process. The object is an async context manager. At the end of the context, live calls are
    ended.

    `serve_stream` serves each media stream. `begin_warm` begins a call whose media stream will start soon. `add` and
    `remove` count calls, including the calls of `run_call`. While `draining` is True, live calls continue and new calls
    are refused. `may_begin` returns whether a new call is allowed.
    """

    def __init__(self, max_calls: int, may_begin: Callable[[], bool] = lambda: True) -> None:
        self.max_calls = max_calls
        self._may_begin = may_begin
        self.draining = False
        self._calls: dict[Call, None] = {}
        self._sessions: dict[str, CallSession] = {}
        self._runs: dict[str, asyncio.Task[None]] = {}
        """The tasks that run these sessions."""
        self._arriving: list[str] = []
        """The calls of the streams that wait for their admission."""
        self._ended: OrderedDict[str, tuple[float, StreamEnd]] = OrderedDict()
        self._empty = asyncio.Event()
        self._empty.set()
        self.n_over = 0
        """The number of calls of this process that are over."""
        self._group: asyncio.TaskGroup | None = None
        self._refusals = Repeats(log)

    async def __aenter__(self) -> Self:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if self._group is not None:
            group, self._group = self._group, None
            await group.__aexit__(None, None, None)  # its tasks do not fail

    def stop(self) -> None:
        """Ends all calls, because the process stops."""
        self.draining = True
        for session in list(self._sessions.values()):
            session.recorder.callback("stop")
            session.lifetime.end(EndReason.PROCESS_STOPS)

    async def farewell(self) -> None:
        """Says goodbye in all live calls, and ends these calls, because the process stops. If a goodbye fails, its call
        ends with an apology, and the other calls continue.
        """
        async with asyncio.TaskGroup() as group:
            for session in list(self._sessions.values()):
                group.create_task(self._say_farewell(session))

    async def _say_farewell(self, session: CallSession) -> None:
        try:
            await session.controls.say_farewell(session.wording.instructions(session.options.policy.farewell))
        except Exception as error:  # the model may be the application's code
            log.exception("Call %s: the goodbye failed.", session.call.sid)
            await session.controls.give_up(error_text(error) or type(error).__name__)

    # --- how many ------------------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether this process may begin a new call: the process is not about to stop (does not drain), and the limit
        for calls is not reached.
        """
        return not self.draining and len(self._calls) < self.max_calls and self._may_begin()

    def add(self, call: Call) -> None:
        """Adds a call to the calls of this process, which count towards the limit."""
        self._calls[call] = None
        self._empty.clear()

    def remove(self, call: Call) -> None:
        """Removes a call that is over from the calls of this process."""
        if call in self._calls:
            del self._calls[call]
            self.n_over += 1
        if not self._calls:
            self._empty.set()

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls))

    def call(self, call_sid: str) -> Call | None:
        """Returns the live call with this CallSid, or None if this process has no such call."""
        session = self._sessions.get(call_sid)
        return None if session is None else session.call

    async def empty(self) -> None:
        """Waits until this process has no more calls."""
        await self._empty.wait()

    # --- calls and their streams ---------------------------------------------------------------------------------

    async def serve_stream(
        self,
        connection: Connection,
        agent: AgentSource,
        options: CallOptions,
        *,
        of_call: Callable[[CallInfo], tuple[AgentSource, CallOptions]] | None = None,
    ) -> CallOutcome:
        """Serves one media stream to its end. The stream belongs to a live call that waits for it, or begins a new call
        with `agent` and `options`. If the call continues after its stream, `reason` of the outcome is empty. `of_call`
        returns the agent and the options for a new call, if these depend on the call.
        """

        async def take(stream: MediaStream, start: Start, info: CallInfo) -> Outcome:
            session = self._sessions.get(info.sid)
            if session is not None and _failed_before_its_stream(session):
                # This session would hang up in silence. A new session tries again, or apologises to the caller.
                await asyncio.wait([self._runs[info.sid]])
                session = self._sessions.get(info.sid)
            if session is None:
                session = self._begin(info, *((agent, options) if of_call is None else of_call(info)))
            if session.leg.is_stale(stream):
                connection.close(1000, "another stream was offered")
            else:
                session.streams.attach(stream, start, info)
            return session.outcome

        def admit(start: Start) -> CallInfo | Awaitable[CallInfo]:
            info = options.admit(start)
            return self._arrive(start.call_sid, info) if isinstance(info, Awaitable) else info

        def refused(call_sid: str, reason: str) -> None:
            self._refused(call_sid, reason)
            options.on_refused(call_sid, reason)

        return await accept_stream(connection, admit, take, refused, self._refusals)

    async def _arrive(self, call_sid: str, admission: Awaitable[CallInfo]) -> CallInfo:
        self._arriving.append(call_sid)
        try:
            return await admission
        finally:
            self._arriving.remove(call_sid)

    def begin_warm(self, info: CallInfo, agent: AgentSource, options: CallOptions) -> bool:
        """Begins a call before its media stream starts, and connects the model, so the greeting is not late. If no
        stream starts, the call ends. Returns False if no more calls are allowed, or if the call already exists.
        """
        if not self.has_room or info.sid in self._sessions:
            return False
        self._begin(info, agent, options).reattach.expect(_WARM_S, EndReason.NO_STREAM)
        return True

    def _refused(self, call_sid: str, reason: str) -> None:
        """Handles the refusal of a media stream. A call that has or had another media stream continues."""
        session, ending = self._sessions.get(call_sid), Ending.parse(reason)
        if session is not None and ending is not None and not session.leg.had_stream:
            session.lifetime.end(ending.reason, ending.detail, release=Release.CLOSE)
        elif session is None and call_sid not in self._ended:
            self._remember(call_sid, StreamEnd("refused"))

    def _begin(self, info: CallInfo, agent: AgentSource, options: CallOptions) -> CallSession:
        if self._group is None:
            raise StreamRefused("the server is stopping")
        session = self._sessions[info.sid] = CallSession(info, agent, options)
        self.add(session.call)
        self._runs[info.sid] = self._group.create_task(self._run(session), name=f"call {info.sid}")
        return session

    async def _run(self, session: CallSession) -> None:
        sid, end = session.call.sid, StreamEnd("failed")
        try:
            await session.run()
            end = session.stream_end()
        except Exception:  # a defect of one call must not end others
            log.exception("Call %s failed; this is a defect.", sid)
            session.options.on_stream(session.call, end)
        finally:
            del self._sessions[sid], self._runs[sid]
            self.remove(session.call)
            if session.leg.had_stream or _is_refused(session):  # else another process knows how the call ended
                self._remember(sid, end)

    # --- webhooks of Twilio --------------------------------------------------------------------------------------

    def stream_end(self, call_sid: str) -> StreamEnd | None:
        """Returns why the last media stream of this call ended, or None if this process had no media stream of the
        call.
        """
        if (session := self._sessions.get(call_sid)) is not None:
            if not session.leg.had_stream and not _is_refused(session):
                if call_sid in self._arriving:  # the stream broke before it was admitted
                    session.reattach.expect(_WARM_S, EndReason.NO_STREAM)
                    return session.stream_end()
                # This process only answered the webhook.
                session.lifetime.end(EndReason.STREAM_ELSEWHERE, release=Release.CLOSE)
                return None
            if session.leg.away is not None:
                session.recorder.callback("after stream")
            return session.stream_end()
        self._forget()
        return self._ended[call_sid][1] if call_sid in self._ended else None

    def knows(self, call_sid: str) -> bool:
        """Returns whether the call is or recently was a call of this process. A call without a media stream counts,
        too.
        """
        self._forget()
        return call_sid in self._sessions or call_sid in self._ended

    def stream_offered(self, call_sid: str) -> None:
        """Counts that Twilio got TwiML that opens a new media stream for this call (an offer). After several offers
        without a stream, the caller gets an apology in place of another offer. Must be called each time when this
        process sends such TwiML.
        """
        if (session := self._sessions.get(call_sid)) is not None:
            session.leg.offer()

    def call_status(self, status: CallStatus) -> None:
        """Passes a call status that Twilio reported to the live call. If the call has ended according to Twilio, its
        session ends. A status of the second call of a transfer (the call to the target) is passed to the transfer. Late
        and repeated statuses, and statuses of unknown calls, have no effect.
        """
        if (session := self._sessions.get(status.call_sid)) is not None:
            session.recorder.callback("call status", status=status.status)
            if status.ended:
                session.lifetime.end(EndReason.HUNG_UP, release=Release.CLOSE)
            return
        if (session := self._sessions.get(status.parent_call_sid)) is not None:
            session.recorder.callback("dialled", status=status.status, leg=status.call_sid)
            session.transfers.dialled(status)
            return
        for session in list(self._sessions.values()):
            if session.transfers.leg_status(status.call_sid, status.status):
                return

    def consent_answered(self, call_sid: str, answer: str, by: str) -> None:
        """Applies an answer to the recording notice that was read from a journal, during a replay. `by` is the way in
        which the caller answered.
        """
        if (session := self._sessions.get(call_sid)) is not None:
            session.consent_procedure.answered(answer, by)

    def emergency(self, call_sid: str) -> None:
        """Makes the call react as if the caller had just said an emergency phrase. Called during a replay, because the
        recorded call had an emergency at this time.
        """
        if (session := self._sessions.get(call_sid)) is not None and session.guard is not None:
            session.guard.emergency()

    def machine_detected(self, found: MachineDetection) -> None:
        """Applies the result of Twilio's answering machine detection. If a machine answered, the call ends after
        `CallPolicy.machine_s` seconds, and its journal gets the result. A call that this process does not have is
        ignored.
        """
        if found.is_machine and (session := self._sessions.get(found.call_sid)) is not None:
            session.recorder.callback("machine", answered_by=found.answered_by)
            session.pacing.machine_found()

    def dial_ended(self, result: DialResult) -> None:
        """Passes the result of the `<Dial>` verb of a cold transfer to its call. An unknown call is ignored."""
        if (session := self._sessions.get(result.call_sid)) is not None:
            session.recorder.callback("dial", status=result.status, leg=result.dial_call_sid)
            session.transfers.dial_ended(result)

    def leg_key(self, leg_id: str, key: str) -> str:
        """Handles a key that was pressed in the second call of a warm transfer. `leg_id` is the id of the second call.
        Returns the next TwiML for the second call.
        """
        for session in list(self._sessions.values()):
            if (document := session.transfers.leg_key(leg_id, key)) is not None:
                return document
        return say_and_hang_up(english().text("caller_gone"))

    # --- calls that ended ----------------------------------------------------------------------------------------

    def _remember(self, call_sid: str, end: StreamEnd) -> None:
        self._ended[call_sid] = asyncio.get_running_loop().time(), end
        self._ended.move_to_end(call_sid)
        if len(self._ended) > _MAX_ENDED:
            self._ended.popitem(last=False)
        self._forget()

    def _forget(self) -> None:
        oldest = asyncio.get_running_loop().time() - _ENDED_S
        while self._ended and next(iter(self._ended.values()))[0] < oldest:
            self._ended.popitem(last=False)


def _failed_before_its_stream(session: CallSession) -> bool:
    """Returns whether the call has failed, for example its agent could not be chosen, before a media stream came."""
    ending = session.lifetime.ending
    return ending is not None and ending.reason is EndReason.FAILED and not session.leg.had_stream


def _is_refused(session: CallSession) -> bool:
    ending = session.lifetime.ending
    return ending is not None and ending.reason is EndReason.REFUSED
