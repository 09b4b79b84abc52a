"""What users' code asked the call to do (such as to say a text, to transfer the caller or to hang up), read from the
journal of the call. A replay does the same at the same times. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pybase64

from ..journal.format import Record

__all__ = ["STATES", "RecordedRequest", "RequestLog", "decided_tools"]

_DECISIONS = frozenset(
    {"supervisor.approve", "supervisor.reject", "session.approve_tool_call", "session.reject_tool_call"}
)
STATES = frozenset({"hold", "muted", "listening", "secret"})
"""The names of the requests that begin a state of the call, such as `hold`. The state lasts until users' code ends it.
A request with any other name lasts until the call has executed it.
"""


@dataclass(slots=True)
class RecordedRequest:
    """A request of users' code to the call (such as `say`). The request was made at the time `t`, and ended at the time
    `ended_t` with `outcome`. Both times are in seconds since the start of the call. `ended_t` is None if the request
    never ended.

    `tool` is the `call_id` of the tool call that made the request, or None if other code made the request.
    """

    action: str
    t: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    tool: str | None = None
    ended_t: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)
    order: int = 0
    end_order: int = 0
    """The position of the end of the request among all starts and ends of requests. This position orders events at the
    same time.
    """
    end_is_known: bool = True
    """Whether the journal contains the end of the request. False for the voice and the words of a supervisor (a person
    who speaks in place of the agent), and for all requests in a journal with schema 2. The next request may then follow
    at any time.
    """

    @property
    def ends_by_itself(self) -> bool:
        """Whether the request ended because the call had executed it. False if users' code ended the request: it
        cancelled the request, or it ended the state (such as `hold`) that the request had begun.
        """
        return self.action not in STATES and not self.outcome.get("cancelled")


def decided_tools(requests: Iterable[RecordedRequest]) -> frozenset[str]:
    """Returns the ids of the tool calls that these requests approve or reject."""
    return frozenset(str(each.arguments.get("call_id")) for each in requests if each.action in _DECISIONS)


class RequestLog:
    """Collects the requests that users' code (such as a tool) made during a recorded call, for example to say a text or
    to hang up. The requests are read from the records of the call's journal. `requests` is the list of these requests.

    `complete` is True if the journal shows when each request ended, and distinguishes the requests of users' code from
    those of the call itself (journal schema 3). Older journals do not.
    """

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.complete = False
        self._open: dict[Any, RecordedRequest] = {}
        self._order = itertools.count()

    def take_voice(self, record: Record) -> None:
        """Adds a piece of the voice of a supervisor (a person who speaks in place of the agent) from a `supervisor`
        record to `requests`, so that a replay plays the voice at its recorded time.
        """
        arguments = {"part": str(record.data["item_id"]), "ulaw": pybase64.b64decode(record.data["payload"])}
        order = next(self._order)
        self.requests.append(RecordedRequest("supervisor.voice", record.t, arguments, order=order, end_is_known=False))

    def take_words(self, record: Record) -> None:
        """Adds the words of a supervisor (a person who speaks in place of the agent) from a `supervisor.words` record
        to `requests`, so that a replay repeats the words at their recorded time.
        """
        arguments = {name: record.data[name] for name in ("item_id", "text", "usage") if name in record.data}
        order = next(self._order)
        self.requests.append(RecordedRequest("supervisor.words", record.t, arguments, order=order, end_is_known=False))

    def take(self, record: Record, *, inside: str | None) -> None:
        """Adds the command of users' code (such as `say`) that a `control` record describes to `requests`. For a
        `control.end` record, which reports that a command ended, adds the time and the result to the earlier command.
        `inside` is the id of the tool call that was running, for records that do not name a tool call.
        """
        data, order = record.data, next(self._order)
        if record.kind == "control.end":
            if (request := self._open.pop(data.get("id"), None)) is not None:
                request.ended_t, request.end_order = record.t, order
                request.outcome = {name: value for name, value in data.items() if name not in ("id", "action")}
            return
        self.complete = self.complete or "id" in data
        arguments = {name: value for name, value in data.items() if name not in ("id", "action", "tool")}
        tool = data.get("tool") if self.complete else inside
        if data.get("ours"):
            return  # the replayed call makes this request itself
        action = str(data.get("action"))
        request = RecordedRequest(action, record.t, arguments, tool, order=order, end_is_known="id" in data)
        self.requests.append(request)
        if request.end_is_known:
            self._open[data["id"]] = request
