"""Tools that the server runs by itself (hosted MCP).

Source: https://platform.openai.com/docs/guides/realtime-mcp
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ... import model_events as emitted
from ...errors import ServerRejected
from ...items import RealtimeToolCallItem
from ...response_outcome import items_of
from .. import server_events as wire
from .items import ConversationItems
from .known_facts import KnownFacts, RecentEntries
from .requests import ResponseRequests
from .steps import Steps
from .tool_gate import ToolGate

__all__ = ["HostedTools"]

_LOST = "The connection to the model was lost before the call's result came."
_NO_REASON = "The MCP server gave no reason."


class _Fact(Enum):
    """Facts about an item that are handled only once."""

    BEGAN = auto()
    OVER = auto()
    SPOKEN_ABOUT = auto()
    NO_TOOLS = auto()


class _Outcome(Enum):
    UNKNOWN = auto()
    COMPLETED = auto()
    FAILED = auto()


class _Reported(Enum):
    """The parts of a tool call that were reported to the session."""

    NOTHING = auto()
    BEGIN = auto()
    END = auto()


@dataclass(slots=True)
class _Call:
    """The known data of a tool call. The server reports the parts of a call in any order and several times."""

    server_label: str = ""
    name: str = ""
    arguments: str = ""
    output: str | None = None
    error: str | None = None
    outcome: _Outcome = _Outcome.UNKNOWN
    answer_id: str | None = None
    """The id of the response that began after the call was over, or None."""
    reported: _Reported = _Reported.NOTHING

    @property
    def has_result(self) -> bool:
        return self.output is not None or self.error is not None

    @property
    def has_begun(self) -> bool:
        """Whether the tool is known, and its arguments are complete or will not arrive."""
        return bool(self.name and (self.arguments or self.has_result or self.answer_id))


class HostedTools:
    """Follows the calls of hosted tools, which are tools that the model's server runs (MCP). Emits an event for the
    start and an event for the end of each call, once.
    """

    def __init__(
        self,
        items: ConversationItems,
        gate: ToolGate,
        requests: ResponseRequests,
        known: KnownFacts,
        emit: Callable[[emitted.RealtimeModelEvent], None],
        steps: Steps,
    ) -> None:
        self._items = items
        self._gate = gate
        self._requests = requests
        self._known = known
        self._emit = emit
        self._steps = steps
        self._calls = RecentEntries(256)
        """Item id -> `_Call`."""
        self._approvals = RecentEntries(64)
        """Ids of the items that ask for an approval."""
        self._notices: Mapping[str, Callable[[str], None]] = {
            "response.mcp_call.in_progress": self._began,
            "response.mcp_call.completed": self._completed,
            "response.mcp_call.failed": self._failed,
            "mcp_list_tools.failed": self._no_tools,
        }

    def knows(self, item_id: str) -> bool:
        """Returns whether the item with this id is a call of a hosted tool in this server session."""
        return item_id in self._calls

    def waits_for_approval(self, request_id: str) -> bool:
        """Returns whether the server has asked for the approval with this id in this server session."""
        return request_id in self._approvals

    def forget(self, item_id: str) -> None:
        """Removes the data about an item, because the user creates an item with the same id."""
        self._calls.pop(item_id, None)

    def notice(self, event: wire.Notice | wire.Unknown) -> None:
        """Updates the state of a call of a hosted tool (a tool that the model's server runs), from a server event about
        its arguments or its progress. Emits the start or the end of the call if the event shows it. Any other event has
        no effect.
        """
        if (handler := self._notices.get(event.type)) is not None:
            self._requests.responses.progress(self._steps.now)
            handler(str(event.data.get("item_id") or ""))
        elif event.type == "response.mcp_call_arguments.done":
            item_id, arguments = event.data.get("item_id"), event.data.get("arguments")
            if isinstance(item_id, str) and isinstance(arguments, str) and arguments:
                self._call(item_id).arguments = arguments
                self._report(item_id)

    def item_seen(self, item: Mapping[str, Any], previous_item_id: str | None) -> None:
        """Takes the arguments, the output and the error of a call from its item of type `mcp_call`, and emits the call
        as an item of the history. `previous_item_id` is the id of the item before the call in the conversation ("" if
        there is none, None if it is not known).
        """
        item_id = str(item.get("id") or "")
        call = self._call(item_id)
        call.server_label, call.name, call.arguments = (
            str(item.get(key) or known)
            for key, known in (("server_label", call.server_label), ("name", call.name), ("arguments", call.arguments))
        )
        if item.get("output") is not None:
            call.output = _text(item["output"])
        if item.get("error") is not None:
            call.error = _error_text(item["error"])
        self._report(item_id, previous_item_id)

    def item_done(self, item: Mapping[str, Any]) -> None:
        """Takes an item that the server reports as complete. If the item is a request for approval, an event reports
        the request to the session. If it is a call with its result, an event reports the end of the call, and a
        response is requested. The server reports both several times, and only the first report counts. Items that the
        client has created have no effect.
        """
        if self._items.is_edited(item.get("id")) or self._items.is_hidden(item.get("id")):
            return
        if item.get("type") == "mcp_approval_request":
            self._approval_request(item)
        elif item.get("type") == "mcp_call" and (item.get("output") is not None or item.get("error") is not None):
            self._over(str(item.get("id") or ""))

    def answer_began(self, response_id: str) -> None:
        """Registers that a response begins. The server may not report the result of a hosted tool's call that has
        ended. Therefore this response is taken as the answer to all such calls, and the calls are reported as ended
        when the response ends.
        """
        for call in self._calls.values():
            is_over = call.outcome is not _Outcome.UNKNOWN
            if is_over and call.reported is not _Reported.END and call.answer_id is None:
                call.answer_id = response_id

    def response_done(self, response_id: str, response: Mapping[str, Any]) -> None:
        """Handles the end of a response: reports the end of the hosted tool calls that the response has answered. A
        tool call that was followed by speech in the response is over, even if the server has not reported the end of
        the tool call.
        """
        for item_id in _spoken_about(response):
            self._known.add(True, _Fact.SPOKEN_ABOUT, item_id)
            self._requests.responses.answer_not_needed(item_id)
            call = self._call(item_id)
            if call.outcome is _Outcome.UNKNOWN:
                call.outcome = _Outcome.COMPLETED
            call.answer_id = response_id
            self._over(item_id)
        for item_id, call in list(self._calls.items()):
            if call.answer_id == response_id and call.reported is not _Reported.END:
                self._report(item_id)
                if call.reported is _Reported.BEGIN:
                    self._report_end(item_id, call)

    def abandon(self) -> None:
        """Reports all calls of hosted tools in progress as failed, because the connection has ended."""
        for item_id, call in list(self._calls.items()):
            if call.reported is _Reported.BEGIN:
                call.outcome, call.error = _Outcome.FAILED, _LOST
                self._report_end(item_id, call)
                self._update_history(item_id, call, None)

    def _call(self, item_id: str) -> _Call:
        if item_id not in self._calls:
            self._calls[item_id] = _Call()
        found: _Call = self._calls[item_id]
        return found

    # What is reported.

    def _report(self, item_id: str, previous_item_id: str | None = None) -> None:
        """Reports the call to the history, and reports its changes to the session."""
        call = self._call(item_id)
        if item_id and not self._items.is_deleted(item_id):
            self._update_history(item_id, call, previous_item_id)
        if self._items.is_edited(item_id) or not call.has_begun:
            return
        if call.reported is _Reported.NOTHING:
            call.reported = _Reported.BEGIN
            self._emit(emitted.RealtimeModelMcpCallEvent(item_id, call.server_label, call.name, call.arguments))
        if call.reported is _Reported.BEGIN and call.has_result:
            self._report_end(item_id, call)

    def _report_end(self, item_id: str, call: _Call) -> None:
        call.reported = _Reported.END
        has_failed = call.error is not None or call.outcome is _Outcome.FAILED
        is_answered = self._requests.responses.active_id is not None or self._known.has(_Fact.SPOKEN_ABOUT, item_id)
        self._emit(
            emitted.RealtimeModelMcpCallEvent(
                item_id,
                call.server_label,
                call.name,
                call.arguments,
                "failed" if has_failed else "completed",
                call.output,
                (call.error or _NO_REASON) if has_failed else None,
                silent=is_answered or call.answer_id is not None,
            )
        )

    def _update_history(self, item_id: str, call: _Call, previous_item_id: str | None) -> None:
        """Adds the call to the history. Until its arguments are complete, only its place is stored."""
        if not call.has_begun:
            self._emit(emitted.RealtimeModelOtherItemEvent(item_id, "mcp_call", previous_item_id=previous_item_id))
            return
        is_over = call.has_result or call.outcome is not _Outcome.UNKNOWN
        item = RealtimeToolCallItem(
            item_id=item_id,
            call_id=item_id,
            name=call.name,
            arguments=call.arguments,
            server_label=call.server_label,
            status="completed" if is_over else "in_progress",
            output=call.error if call.output is None else call.output,
        )
        self._emit(emitted.RealtimeModelItemUpdatedEvent(item, previous_item_id=previous_item_id))

    # What the server reports.

    def _approval_request(self, item: Mapping[str, Any]) -> None:
        keys = ("id", "server_label", "name", "arguments")
        item_id, server, name, arguments = (str(item.get(key) or "") for key in keys)
        if item_id not in self._approvals:
            self._approvals[item_id] = True
            self._emit(emitted.RealtimeModelMcpApprovalRequestEvent(item_id, server, name, arguments))

    def _began(self, item_id: str) -> None:
        if self._known.add(True, _Fact.BEGAN, item_id):
            self._gate.hosted_call_began(item_id)

    def _completed(self, item_id: str) -> None:
        self._call(item_id).outcome = _Outcome.COMPLETED
        self._over(item_id)

    def _failed(self, item_id: str) -> None:
        self._call(item_id).outcome = _Outcome.FAILED
        self._over(item_id)

    def _over(self, item_id: str) -> None:
        """Handles the end of a call whose result is in the conversation. The server does not answer the result by
        itself, so the client requests a response.
        """
        if not self._known.add(True, _Fact.OVER, item_id):
            return
        self._report(item_id)
        self._known.add(True, _Fact.BEGAN, item_id)
        if not self._known.has(_Fact.SPOKEN_ABOUT, item_id):
            self._requests.request_answer(item_id, acknowledged=True)
        self._gate.call_over(item_id)

    def _no_tools(self, item_id: str) -> None:
        if not self._known.add(True, _Fact.NO_TOOLS, item_id):
            return
        message = (
            f"The server could not list the tools of an MCP server (item {item_id}): the agent works without them."
        )
        self._emit(emitted.RealtimeModelErrorEvent(ServerRejected(message, code="mcp_list_tools_failed")))


def _spoken_about(response: Mapping[str, Any]) -> list[str]:
    """Returns the item ids of the hosted tool calls in the response that were followed by speech."""
    items = items_of(response)
    spoken = max((i for i, item in enumerate(items) if item.get("type") == "message"), default=-1)
    return [str(item.get("id")) for item in items[: max(spoken, 0)] if item.get("type") == "mcp_call"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _error_text(error: Any) -> str:
    """Returns the text of an error: its `message`, or the text of its `content`."""
    if isinstance(error, Mapping):
        text = error.get("message") or error.get("content")
        if isinstance(text, list):
            text = " ".join(str(part["text"]) for part in text if isinstance(part, Mapping) and part.get("text"))
        error = text or error
    return _text(error)
