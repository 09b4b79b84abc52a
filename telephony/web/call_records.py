"""Writes changes of calls to the database, for calls of this process and for status callbacks of Twilio."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from realtime_core.sources import Sources

from ..call.call import Call, CallInfo
from ..call.call_info import OUTBOUND
from ..call.call_parts import TransferAttempt
from ..call.consent import ConsentEvidence
from ..call.ending import Ending, EndReason
from ..call.leg.next_twiml import StreamEnd
from ..errors import RecordRefused, RecordsUnavailable
from ..masking import Masker, mask_number
from ..records.budget import SharedLimits
from ..records.call_record import INTERRUPTED, OPEN, REFUSED, CallRecord, CallUpdate, updated
from ..records.client import RecordsClient
from ..records.subjects import SubjectKey
from ..settings import Settings
from ..twilio.callbacks import ENDED, CallStatus
from .call_details import CallDetails, usage_json

if TYPE_CHECKING:
    from ..outbound.placed_call import PlacedCall
    from ..twilio.resources import CallResource

__all__ = ["REFUSED_CALLS", "CallRecords"]

_MAX_PLACED = 10_000
_SETUP_S = 60.0
"""The maximum time in seconds from the webhook of a call to its media stream."""
REFUSED_CALLS: Mapping[str, str] = {
    "number": "no agent answers this number",
    "draining": "the process stops",
    "journal": "journals cannot be written",
    "full": "no room for another call",
    "caller": "this caller has called too often",
    "blocked": "this number is blocked",
    "withheld": "the caller has no number",
    "attestation": "the carriers do not attest the caller's number",
    "budget": "the budget of the day is used up",
}
_LADDER_ENDS: Mapping[str, str] = {
    "dial": "a person took the call",
    "voicemail": "the caller left a message",
    "say": "the caller was told that nobody can help",
}
_MESSAGE_S = 300.0
"""The maximum time in seconds for which the webhook about a call waits for the message that the caller left."""
_ELSEWHERE_S = 60.0
"""The time in seconds for which the webhook about a call waits if only Twilio has reported the end of the call to this
process. The process of the call has more details, and usually writes them earlier.
"""


class LadderCall(Protocol):
    """A call whose caller is led through the steps of its number (the ladder), as in `live_numbers.RoutedCall`."""

    taken: list[dict[str, Any]]
    began: datetime

    @property
    def language(self) -> str: ...


class CallRecords:
    """Writes and reads the call records of one application. Methods that write return immediately. Methods that read
    are coroutines.
    """

    def __init__(
        self,
        client: RecordsClient,
        settings: Settings,
        instance: str,
        sources: Sources,
        *,
        subjects: SubjectKey,
        journal_of: Callable[[str], str] = lambda call_sid: "",
    ) -> None:
        self.client = client
        self.subjects = subjects
        self._journal_of = journal_of
        self._instance = instance
        self._sources = sources
        self._mask = Masker.of(settings)
        self._keeps_numbers = settings.telephony_record_numbers
        self._placed: OrderedDict[str, str] = OrderedDict()
        self._written: dict[str, dict[str, Any]] = {}
        self._live: dict[str, dict[str, Any]] = {}
        """The first values of the live calls."""
        self._on_ladder: dict[str, tuple[str, LadderCall]] = {}
        """The calls that are at a step of a number's ladder (the list of steps), by CallSid, each with its caller."""
        self._expected: dict[str, asyncio.TimerHandle] = {}
        """The timers that write the end of a call if nothing more is reported about the call, by CallSid."""
        client.on_lease_lost = self._note_again

    # --- calls of this process -------------------------------------------------------------------------------------

    def announced(self, info: CallInfo) -> None:
        """Writes the record of an inbound call when its webhook arrives, before its media stream starts. If no process
        gets the stream, the record later shows that the caller hung up before the conversation.
        """
        if info.sid in self._live or info.sid in self._expected:
            return
        self.client.note(info.sid, **self._ringing(info))
        self._expected[info.sid] = asyncio.get_running_loop().call_later(_SETUP_S, self._abandoned, info.sid)

    async def within_limits(self, info: CallInfo, key: str, limits: SharedLimits) -> bool:
        """Returns whether the limits of the number or pattern `key` allow this call. The calls of all processes are
        counted. If the call is allowed, it is counted from now on. If the database cannot be used, the call is allowed.
        """
        call = CallUpdate(info.sid, self._now(), changes={**self._ringing(info), "number_key": key})
        try:
            return await self.client.admit(call, limits)
        except (RecordsUnavailable, RecordRefused):
            return True

    def _ringing(self, info: CallInfo) -> dict[str, Any]:
        return {**self._inbound(info), "status": "ringing"}

    def _abandoned(self, sid: str) -> None:
        del self._expected[sid]
        how: dict[str, Any] = {"status": INTERRUPTED, "ended_at": self._now(), **_ending(Ending(EndReason.NO_STREAM))}
        self.client.note(sid, begins=False, held_by=self.client.process, announce_s=_ELSEWHERE_S, **how)

    def on_ladder(self, sid: str, caller: str, call: LadderCall, *, within_s: float) -> None:
        """Writes to the call record that the caller is now at a step of the number's ladder (the list of steps) that is
        not an agent. The call counts as ended after `within_s` seconds at the latest.
        """
        self._arrived(sid)
        now: dict[str, Any] = {
            "status": "in-progress",
            "answered_at": self._now(),
            "steps": list(call.taken),
            "language": call.language,
        }
        self.client.note(sid, begins=False, **now)
        late = asyncio.get_running_loop().call_later(within_s, self.ladder_ended, sid, caller, call, "hung_up")
        self._expected[sid] = late
        self._on_ladder[sid] = caller, call

    def ladder_ended(self, sid: str, caller: str, call: LadderCall, ending: str) -> None:
        """Writes to the call record that a step of the number's ladder (the list of steps) has ended the call. `ending`
        is the code of the ending in the record, such as `hung_up`.
        """
        self._arrived(sid)
        self._on_ladder.pop(sid, None)
        how: dict[str, Any] = {"status": "completed", "ended_at": self._now(), "ending": ending}
        how |= {"reason": _LADDER_ENDS.get(ending.rpartition("-")[2], "hung up"), "caller": self._kept(caller)}
        how |= {"steps": list(call.taken), "language": call.language}
        how["duration_s"] = round((self._now() - call.began).total_seconds())
        # A message or the end of a step may be reported after the end of the call.
        waits_s = {"voicemail": _MESSAGE_S, "hung_up": _ELSEWHERE_S}.get(ending.rpartition("-")[2], 0.0)
        self.client.note(sid, begins=False, announce_s=waits_s, **how)

    def task(self, sid: str, task: dict[str, Any], *, hold_s: float) -> None:
        """Writes a task into the record of the call (`CallRecord.task`). The task must be done after the call, for
        example to call back a caller who left a message. The webhook to the application about the call is delayed by
        `hold_s` seconds, because the task may still change.
        """
        self.client.note(sid, begins=False, announce_s=hold_s, task=task)

    def refused_call(self, call_sid: str, caller: str, called: str, *, why: str, is_busy: bool) -> None:
        """Writes a call record for a call that the voice webhook refused. `why` is a key of `REFUSED_CALLS`. `is_busy`
        is True if the caller heard the busy signal.
        """
        how: dict[str, Any] = {"status": "busy" if is_busy else "completed", "ended_at": self._now(), "duration_s": 0}
        how |= {"ending": f"refused-{why}", "reason": f"refused: {REFUSED_CALLS[why]}"}
        how |= {"caller": self._kept(caller), "called": called, "subject": self.subjects.of(caller)}
        self.client.note(call_sid, sid=call_sid, direction="inbound", announce_s=0.0, **self._here(), **how)

    def missed(self, call: CallResource) -> None:
        """Writes a call record for an inbound call that no process of this server has answered."""
        started = call.created or self._now()
        begun: dict[str, Any] = {
            "sid": call.sid,
            "direction": "inbound",
            "caller": self._kept(call.from_),
            "called": call.to,
        }
        begun |= {"subject": self.subjects.of(call.from_), "status": call.status, "started_at": started}
        begun |= {"ended_at": started + timedelta(seconds=call.duration_s), "duration_s": call.duration_s}
        begun |= {"ending": "missed", "reason": "no process of this server answered; Twilio's fallback took the call"}
        self.client.note(call.sid, announce_s=0.0, **begun)

    def started(self, call: Call) -> None:
        info = call.info
        self._arrived(info.sid)
        if info.direction == OUTBOUND:
            return  # `placed` writes it
        begun = self._live[info.sid] = {**self._inbound(info), "status": "in-progress"}
        self.client.note(info.sid, **begun)

    def _inbound(self, info: CallInfo) -> dict[str, Any]:
        return {
            "sid": info.sid,
            "direction": info.direction,
            "caller": info.caller,
            "called": info.called,
            "subject": self.subjects.of(info.caller),
            **self._here(),
            "started_at": self._now(),
        }

    def _arrived(self, sid: str) -> None:
        if (timer := self._expected.pop(sid, None)) is not None:
            timer.cancel()

    def stream(self, call: Call, end: StreamEnd | None) -> None:
        """Writes a change of the call's media stream to the record. With `end` None, the call got a media stream and
        now belongs to this process. If `end` is not None, it describes why the stream ended.
        """
        now: dict[str, Any] = {"stream": OPEN, "document": "", "offered": 0, "sid": call.sid, **self._here()}
        now |= {"status": "in-progress", "reason": "", "ending": "", "answered_at": self._now()}
        if journal := self._journal_of(call.sid):
            now["journal"] = journal
        if end is not None:
            now = {"stream": end.why, "document": end.twiml or "", "reattached": end.reattached}
        is_ours = call.info.direction == OUTBOUND
        held_by = "" if end is None else self.client.process
        self.client.note(self._key(call.info), begins=not is_ours, held_by=held_by, **now)

    def refused(self, call_sid: str, reason: str) -> None:
        """Writes to the call record that a media stream of this call was refused. Has no effect if the call has or had
        another stream.
        """
        how: dict[str, Any] = {"status": "completed", "ended_at": self._now(), "reason": self._mask(reason)}
        how["ending"] = REFUSED
        self._arrived(call_sid)
        self.client.note(call_sid, announce_s=_ELSEWHERE_S, sid=call_sid, stream=REFUSED, **self._here(), **how)

    async def offered(self, call_sid: str, end: StreamEnd) -> None:
        """Writes to the call record that Twilio will get TwiML for a new media stream of this call. `end` describes the
        end of the last stream.

        If another process has the call, this method returns only when the database has the record. That process also
        writes to the record when the new stream starts, and its write must come later.
        """
        self.client.note(call_sid, begins=False, offered=end.offered + 1)
        if end.instance:
            await self.client.written()

    def progress(self, call: Call, details: CallDetails) -> None:
        """Writes the details of a running call to its call record: the agents, the turns, the interruptions, the tools
        and the language. These details are not lost if the process is killed later.
        """
        changes = {"agent": _agent(call), **details.changes(), **_language(call)}
        self.client.note(self._key(call.info), begins=False, held_by=self.client.process, **changes)

    def ended(
        self,
        call: Call,
        duration_s: float,
        details: CallDetails,
        outcome: Mapping[str, Any],
        *,
        hold_s: float = 0.0,
        goes_on: bool = False,
    ) -> None:
        """Writes the end of a call to its call record. The parameter `outcome` has further fields of the record. The
        webhook about the call is sent after `hold_s` seconds, or as soon as the method `outcome` has added the final
        result. If `goes_on` is True, only the conversation with the agent has ended: the call continues without the
        agent, for example with a voicemail, as the number is configured.
        """
        info, here = call.info, self.client.process
        how: dict[str, Any] = {"agent": _agent(call), "reason": self._mask(call.ended) or "ended", **details.changes()}
        how |= {**outcome, **_language(call)}
        how |= {"transfers": [_attempt(each) for each in call.transfers], "usage": _usage(call)}
        if (ending := Ending.parse(call.ended)) is not None:
            how["ending"] = ending.reason.name.lower()
        if info.direction == OUTBOUND:
            self.client.note(self._key(info), begins=False, held_by=here, **how)
            return
        self._live.pop(info.sid, None)
        if goes_on:
            self.client.note(info.sid, begins=False, held_by=here, **how)
            return
        self.client.note(
            info.sid,
            held_by=here,  # otherwise another process has its stream
            announce_s=hold_s if call.had_stream else None,
            status="completed" if call.had_stream else INTERRUPTED,  # without a stream, Twilio reports the status
            ended_at=self._now(),
            duration_s=round(duration_s),
            caller=self._kept(info.caller),
            **how,
        )

    def consent(self, call: Call, evidence: ConsentEvidence) -> None:
        """Writes the evidence about the caller's consent to a recording to the call record."""
        self.client.note(self._key(call.info), begins=False, consent=evidence.to_json())

    def outcome(self, call_id: str, **changes: Any) -> None:
        """Adds the outcome of an ended call, such as the result and the summary, to the record of the call."""
        self.client.note(call_id, begins=False, announce_s=0.0, **changes)

    def placing(self, call_id: str, to: str, from_: str) -> CallUpdate:
        """Returns the first values of the record of an outgoing call, which are written before Twilio is asked to make
        the call.
        """
        begun: dict[str, Any] = {"direction": OUTBOUND, "caller": from_, "called": to, **self._here(), "stream": ""}
        begun["subject"] = self.subjects.of(to)
        return CallUpdate(call_id, self._now(), True, {**begun, "status": "queued", "started_at": self._now()})

    def placed(self, call: PlacedCall) -> None:
        """Writes the current values of an outgoing call to its record, if they have changed."""
        news, before = self._news(call), self._written.get(call.token)
        if news == before:
            return
        self._written[call.token] = news
        if call.sid is not None:
            self._placed[call.sid] = call.token
            if len(self._placed) > _MAX_PLACED:
                self._placed.popitem(last=False)
        changes = dict(news)
        if call.is_over:
            del self._written[call.token]
            changes |= {"ended_at": self._now(), "called": self._kept(call.to)}
            changes |= {"result": call.output_json, "summary": call.recorded_summary}
        elif before is None:
            begun = self.placing(call.token, call.to, call.from_).changes
            changes = {**begun, **changes, "started_at": call.requested_at}
        self.client.note(call.token, announce_s=0.0 if call.is_over else None, **changes)

    def _news(self, call: PlacedCall) -> dict[str, Any]:
        news: dict[str, Any] = {"sid": call.sid, "status": call.status, "error": self._mask(call.state.error)}
        if (result := call.result) is not None:
            news |= {
                "status": result.status,
                "answered_by": result.answered_by,
                "message_left": result.message_left,
                "duration_s": result.duration_s,
                "cost": result.cost,
                "currency": result.currency,
                "error": self._mask(result.error),
            }
        return news

    def _here(self) -> dict[str, Any]:
        return {"instance": self._instance, "process": self.client.process}

    def _key(self, info: CallInfo) -> str:
        return self._placed.get(info.sid, info.sid)

    def _note_again(self) -> None:
        """Writes all live calls again, because another process may have set their status to `interrupted`."""
        for sid, begun in self._live.items():
            self.client.note(sid, **begun)
        for token, news in self._written.items():
            self.client.note(token, **self._here(), **news)

    # --- calls of any process ----------------------------------------------------------------------------------------

    def status(self, key: str, status: CallStatus) -> None:
        """Writes the status that Twilio reported for a call. `key` is the CallSid or the id of the call. Calls without
        a record are ignored.
        """
        changes: dict[str, Any] = {"status": status.status}
        if status.ended:
            self._arrived(key)
            changes["ended_at"] = self._now()
            if status.duration_s is not None:
                changes["duration_s"] = status.duration_s
        self.client.note(key, begins=False, announce_s=_ELSEWHERE_S, **changes)
        if status.ended and (found := self._on_ladder.get(key)) is not None:
            self.ladder_ended(key, *found, "hung_up")

    def priced(self, key: str, cost: float, currency: str) -> None:
        """Writes the price that Twilio reports for a call that has ended. `key` is the CallSid or the id of the call.
        `cost` is the amount in `currency`.
        """
        self.client.note(key, begins=False, cost=cost, currency=currency)

    def found(self, row: CallRecord, record: CallResource) -> CallRecord:
        """Writes the status that Twilio reports (`record`) for a call whose process has ended. `row` is the record of
        the call. Returns the new record.
        """
        changes: dict[str, Any] = {"status": record.status}
        if record.status in ENDED:
            changes |= {"ended_at": self._now(), "duration_s": record.duration_s, "cost": record.cost}
            changes |= {"currency": record.currency, "caller": self._kept(row.caller)}
        self.client.note(row.id, begins=False, announce_s=0.0, **changes)
        return updated(row, CallUpdate(row.id, self._now(), False, changes)) or row

    def _kept(self, number: str) -> str:
        return number if self._keeps_numbers else mask_number(number)

    def _now(self) -> datetime:
        return self._sources.now()


def _ending(ending: Ending) -> dict[str, str]:
    return {"ending": ending.reason.name.lower(), "reason": str(ending)}


def _attempt(attempt: TransferAttempt) -> dict[str, Any]:
    return {
        "target": attempt.target,
        "warm": attempt.warm,
        "succeeded": attempt.succeeded,
        "result": attempt.result,
    }


def _usage(call: Call) -> dict[str, Any] | None:
    try:
        return usage_json(call.session.usage)
    except AttributeError:  # the call ended before its session existed
        return None


def _language(call: Call) -> dict[str, str]:
    """Returns the language of a call to a configured number, as a field of the call record. Other calls have no
    language.
    """
    return {"language": call.language} if call.info.route else {}


def _agent(call: Call) -> str:
    try:
        return call.session.current_agent.name
    except AttributeError:  # the call ended before its session existed
        return ""
