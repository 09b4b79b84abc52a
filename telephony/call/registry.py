"""The switchboard of this process: its live calls, whose streams come and go, and what is known of those that ended."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..errors import StreamRefused
from ..logs import Repeats
from ..twilio.twiml import declined
from .call import Call, CallInfo
from .leg.next_twiml import StreamEnd
from .line.stream import MediaStream, Outcome, serve
from .options import AgentSource, CallOptions, CallOutcome

if TYPE_CHECKING:
    from realtime_core.connection import Connection

    from ..twilio.callbacks import CallStatus, DialResult, MachineDetection
    from ..twilio.media_stream import Start
    from .session import CallSession

__all__ = ["Registry"]

log = logging.getLogger(__name__)

_WARM_S = 15.0
"""How long a session that was connected ahead waits for its stream."""
_MAX_ENDED = 1000
_ENDED_S = 600.0
"""For so long it is known why a call ended."""


class Registry:
    """An async context manager, within which calls live: `serve_stream` for each stream, `begin_warm` for a call that
    is about to have one. It counts calls besides (`add`, `remove`), those of `run_call` too. `draining`: calls that are
    there go on, new ones are refused. Left, it ends the calls that are still there. `may_begin` is asked before a new
    call: False means that there is no room for it.
    """

    def __init__(self, max_calls: int, may_begin: Callable[[], bool] = lambda: True) -> None:
        self.max_calls = max_calls
        self._may_begin = may_begin
        self.draining = False
        self._calls: dict[Call, None] = {}
        self._lives: dict[str, CallSession] = {}
        self._ended: OrderedDict[str, tuple[float, StreamEnd]] = OrderedDict()
        self._empty = asyncio.Event()
        self._empty.set()
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
        """The process stops: the calls are over."""
        self.draining = True
        for bridge in list(self._lives.values()):
            bridge.told("stop")
            bridge.end("the process stops")

    # --- how many ------------------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        return not self.draining and len(self._calls) < self.max_calls and self._may_begin()

    def add(self, call: Call) -> None:
        self._calls[call] = None
        self._empty.clear()

    def remove(self, call: Call) -> None:
        self._calls.pop(call, None)
        if not self._calls:
            self._empty.set()

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls))

    async def empty(self) -> None:
        """Return when no call is left."""
        await self._empty.wait()

    # --- calls and their streams ---------------------------------------------------------------------------------

    async def serve_stream(self, connection: Connection, agent: AgentSource, options: CallOptions) -> CallOutcome:
        """Serve one stream until it is over: that of a call which waits for one, or that of a new call. The call itself
        may go on; `reason` is empty then."""

        async def take(stream: MediaStream, start: Start, info: CallInfo) -> Outcome:
            bridge = self._lives.get(info.sid) or self._begin(info, agent, options)
            bridge.attach(stream, start, info)
            return bridge.outcome

        def refused(call_sid: str, reason: str) -> None:
            self._refused(call_sid, reason)
            options.on_refused(call_sid, reason)

        return await serve(connection, options.admit, take, refused, self._refusals)

    def begin_warm(self, info: CallInfo, agent: AgentSource, options: CallOptions) -> bool:
        """Connect the session of a call while Twilio is still setting its stream up, so that the first word is not
        late. If no stream comes, it is dropped. False: there is no room, or the call is known already."""
        if not self.has_room or info.sid in self._lives:
            return False
        self._begin(info, agent, options).recovery.expect(_WARM_S, "no stream came")
        return True

    def _refused(self, call_sid: str, reason: str) -> None:
        """A stream of this call was not let in. A call that has, or had, another stream goes on."""
        bridge = self._lives.get(call_sid)
        if bridge is not None and not bridge.had_stream:
            bridge.end(reason, let_go="close")
        elif bridge is None and call_sid not in self._ended:
            self._remember(call_sid, StreamEnd("refused"))

    def _begin(self, info: CallInfo, agent: AgentSource, options: CallOptions) -> CallSession:
        from .session import CallSession

        if self._group is None:
            raise StreamRefused("the switchboard is closed")
        bridge = self._lives[info.sid] = CallSession(info, agent, options)
        self.add(bridge.call)
        self._group.create_task(self._live(bridge), name=f"call {info.sid}")
        return bridge

    async def _live(self, bridge: CallSession) -> None:
        sid, end = bridge.call.sid, StreamEnd("failed")
        try:
            await bridge.run()
            end = bridge.stream_end()
        except Exception:  # one call's defect is no other's
            log.exception("Call %s failed; this is a defect.", sid)
            bridge.options.on_stream(bridge.call, end)
        finally:
            del self._lives[sid]
            self.remove(bridge.call)
            if bridge.had_stream or bridge.refused:  # else how it ended is for others to say
                self._remember(sid, end)

    # --- what Twilio tells ---------------------------------------------------------------------------------------

    def stream_end(self, call_sid: str) -> StreamEnd | None:
        """Why this call's last stream ended; None: it had no stream here."""
        if (bridge := self._lives.get(call_sid)) is not None:
            if not bridge.had_stream and not bridge.refused:
                bridge.end("its stream went elsewhere", let_go="close")  # its webhook was answered here, and no more
                return None
            if bridge.leg.away is not None:
                bridge.told("after stream")
            return bridge.stream_end()
        self._forget()
        return self._ended[call_sid][1] if call_sid in self._ended else None

    def knows(self, call_sid: str) -> bool:
        """Is the call, or was it until now, one of this process, with or without a stream?"""
        self._forget()
        return call_sid in self._lives or call_sid in self._ended

    def stream_offered(self, call_sid: str) -> None:
        """Twilio is told to open a new stream for this call."""
        if (bridge := self._lives.get(call_sid)) is not None:
            bridge.leg.offered += 1

    def call_status(self, status: CallStatus) -> None:
        """A state of a call or of a second leg. Late and doubled ones change nothing."""
        if (bridge := self._lives.get(status.call_sid)) is not None:
            bridge.told("call status", status=status.status)
            if status.ended:
                bridge.end("hung up", let_go="close")
            return
        if (bridge := self._lives.get(status.parent_call_sid)) is not None:
            bridge.told("dialled", status=status.status, leg=status.call_sid)
            bridge.transfers.dialled(status)
            return
        for bridge in list(self._lives.values()):
            if bridge.transfers.leg_status(status.call_sid, status.status):
                return

    def machine_detected(self, found: MachineDetection) -> None:
        """Answering machine detection has come to a result."""
        if found.is_machine and (bridge := self._lives.get(found.call_sid)) is not None:
            bridge.told("machine", answered_by=found.answered_by)
            bridge.conduct.machine_found()

    def dial_ended(self, result: DialResult) -> None:
        """A cold transfer is over, or has failed."""
        if (bridge := self._lives.get(result.call_sid)) is not None:
            bridge.told("dial", status=result.status, leg=result.dial_call_sid)
            bridge.transfers.dial_ended(result)

    def leg_key(self, leg_id: str, key: str) -> str:
        """A key on the second leg of a warm transfer: the TwiML that this leg goes on with."""
        for bridge in list(self._lives.values()):
            if (document := bridge.transfers.leg_key(leg_id, key)) is not None:
                return document
        return declined("The caller is not there any more. Goodbye.")

    # --- the end -------------------------------------------------------------------------------------------------

    async def drain(self, within_s: float, farewell_s: float = 20.0) -> None:
        """Take no new calls; let those that are there finish; after `within_s` have them say goodbye."""
        self.draining = True
        try:
            async with asyncio.timeout(within_s):
                await self.empty()
        except TimeoutError:
            log.warning("%d calls are still live: they say goodbye.", len(self))
            try:
                async with asyncio.timeout(farewell_s):
                    await self.farewell()
            except TimeoutError:
                log.warning("%d calls are cut off.", len(self))

    async def farewell(self) -> None:
        """Have the live calls say goodbye and hang up."""
        async with asyncio.TaskGroup() as group:
            for bridge in list(self._lives.values()):
                group.create_task(bridge.say_farewell())

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
