"""Tools that the server runs by itself (hosted MCP).

Source: https://platform.openai.com/docs/guides/realtime-mcp
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .. import model_events as emitted
from ..errors import ServerRejected
from ..items import RealtimeToolCallItem
from ..outcomes import items_of
from . import server_events as wire

if TYPE_CHECKING:
    from .dialogue import Dialogue

__all__ = [
    "HostedCall",
    "abandon",
    "answer_began",
    "answer_over",
    "item_done",
    "item_seen",
    "notice",
    "spoken_about",
    "was_spoken_about",
]

_LOST = "The connection to the model was lost before the call's result came."
_NO_REASON = "The MCP server gave no reason."


@dataclass(slots=True)
class HostedCall:
    """A call of a hosted tool, as far as the server has told of it. Its parts come in any order and several times."""

    server_label: str = ""
    name: str = ""
    arguments: str = ""
    output: str | None = None
    error: str | None = None
    outcome: Literal["", "completed", "failed"] = ""
    answer_id: str | None = None
    """The response that began after the call was over."""
    told: Literal["", "begun", "over"] = ""
    """What the session knows of it."""

    @property
    def has_result(self) -> bool:
        return self.output is not None or self.error is not None

    @property
    def has_begun(self) -> bool:
        """The tool is known, and its arguments are complete (or will not come any more)."""
        return bool(self.name and (self.arguments or self.has_result or self.answer_id))


def notice(dialogue: Dialogue, event: wire.Notice | wire.Unknown) -> None:
    """How a call of a hosted tool goes on; nothing for any other event."""
    if (handler := _NOTICES.get(event.type)) is not None:
        dialogue.responses.progress(dialogue.setup.now())
        handler(dialogue, str(event.data.get("item_id") or ""))
    elif event.type == "response.mcp_call_arguments.done":
        item_id, arguments = event.data.get("item_id"), event.data.get("arguments")
        if isinstance(item_id, str) and isinstance(arguments, str) and arguments:
            _call(dialogue, item_id).arguments = arguments
            _tell(dialogue, item_id)


def item_seen(dialogue: Dialogue, item: Mapping[str, Any], previous_item_id: str | None) -> None:
    """An item of a hosted tool call shows in the conversation, or in a response."""
    item_id = str(item.get("id") or "")
    call = _call(dialogue, item_id)
    call.server_label, call.name, call.arguments = (
        str(item.get(key) or known)
        for key, known in (("server_label", call.server_label), ("name", call.name), ("arguments", call.arguments))
    )
    if item.get("output") is not None:
        call.output = _text(item["output"])
    if item.get("error") is not None:
        call.error = _error_text(item["error"])
    _tell(dialogue, item_id, previous_item_id)


def item_done(dialogue: Dialogue, item: Mapping[str, Any]) -> None:
    """An item is complete: a request for approval, or a call with its result. Both are told several times. What the
    client itself put into the conversation asks for nothing."""
    if item.get("id") in dialogue.restored or item.get("id") in dialogue.hidden_items:
        return
    if item.get("type") == "mcp_approval_request":
        _approval_request(dialogue, item)
    elif item.get("type") == "mcp_call" and (item.get("output") is not None or item.get("error") is not None):
        _call_over(dialogue, str(item.get("id") or ""))


def answer_began(dialogue: Dialogue, response_id: str) -> None:
    """A response begins: what is over by now has been told in full when the response is over, too."""
    for call in dialogue.hosted.values():
        if call.outcome and call.told != "over" and call.answer_id is None:
            call.answer_id = response_id


def was_spoken_about(dialogue: Dialogue, item_id: str, response_id: str) -> None:
    """The response went on to speak after the call: the call is over, even if its end was not told."""
    call = _call(dialogue, item_id)
    call.outcome, call.answer_id = call.outcome or "completed", response_id
    _call_over(dialogue, item_id)


def answer_over(dialogue: Dialogue, response_id: str) -> None:
    """The result of a call did not come, and the model has spoken about it."""
    for item_id, call in list(dialogue.hosted.items()):
        if call.answer_id == response_id and call.told != "over":
            _tell(dialogue, item_id)
            if call.told == "begun":
                _tell_over(dialogue, item_id, call)


def abandon(dialogue: Dialogue) -> None:
    """The connection is gone: calls that are not over never end."""
    for item_id, call in list(dialogue.hosted.items()):
        if call.told == "begun":
            call.outcome, call.error = "failed", _LOST
            _tell_over(dialogue, item_id, call)
            _update_history(dialogue, item_id, call, None)


def _call(dialogue: Dialogue, item_id: str) -> HostedCall:
    if item_id not in dialogue.hosted:
        dialogue.hosted[item_id] = HostedCall()
    found: HostedCall = dialogue.hosted[item_id]
    return found


def _tell(dialogue: Dialogue, item_id: str, previous_item_id: str | None = None) -> None:
    """Tell the history of the call, and the session what is new."""
    call = _call(dialogue, item_id)
    if item_id and not dialogue.is_deleted(item_id):
        _update_history(dialogue, item_id, call, previous_item_id)
    if item_id in dialogue.restored or not call.has_begun:
        return
    if not call.told:
        call.told = "begun"
        dialogue.emit(emitted.RealtimeModelMcpCallEvent(item_id, call.server_label, call.name, call.arguments))
    if call.told == "begun" and call.has_result:
        _tell_over(dialogue, item_id, call)


def _tell_over(dialogue: Dialogue, item_id: str, call: HostedCall) -> None:
    call.told = "over"
    has_failed = call.error is not None or call.outcome == "failed"
    is_answered = dialogue.responses.active_id is not None or dialogue.told.knows(spoken_about, item_id)
    dialogue.emit(
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


def _update_history(dialogue: Dialogue, item_id: str, call: HostedCall, previous_item_id: str | None) -> None:
    """List the call, or keep its place until its arguments are complete."""
    if not call.has_begun:
        dialogue.emit(emitted.RealtimeModelOtherItemEvent(item_id, "mcp_call", previous_item_id=previous_item_id))
        return
    item = RealtimeToolCallItem(
        item_id=item_id,
        call_id=item_id,
        name=call.name,
        arguments=call.arguments,
        server_label=call.server_label,
        status="completed" if call.has_result or call.outcome else "in_progress",
        output=call.error if call.output is None else call.output,
    )
    dialogue.emit(emitted.RealtimeModelItemUpdatedEvent(item, previous_item_id=previous_item_id))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _error_text(error: Any) -> str:
    """What an error says: its `message`, or the text of its `content`."""
    if isinstance(error, Mapping):
        told = error.get("message") or error.get("content")
        if isinstance(told, list):
            told = " ".join(str(part["text"]) for part in told if isinstance(part, Mapping) and part.get("text"))
        error = told or error
    return _text(error)


def _approval_request(dialogue: Dialogue, item: Mapping[str, Any]) -> None:
    item_id, server, name, arguments = (str(item.get(key) or "") for key in ("id", "server_label", "name", "arguments"))
    if item_id not in dialogue.approvals_asked:
        dialogue.approvals_asked[item_id] = True
        dialogue.emit(emitted.RealtimeModelMcpApprovalRequestEvent(item_id, server, name, arguments))


def spoken_about(response: Mapping[str, Any]) -> list[str]:
    """Hosted tool calls within the response after which it went on to speak."""
    items = items_of(response)
    spoken = max((i for i, item in enumerate(items) if item.get("type") == "message"), default=-1)
    return [str(item.get("id")) for item in items[: max(spoken, 0)] if item.get("type") == "mcp_call"]


def _call_began(dialogue: Dialogue, item_id: str) -> None:
    if not dialogue.told.news(True, _call_began, item_id):
        return
    dialogue.hosted_calls.add(item_id)
    if dialogue.caller_speaks:
        dialogue.hold_answers()


def _call_completed(dialogue: Dialogue, item_id: str) -> None:
    _call(dialogue, item_id).outcome = "completed"
    _call_over(dialogue, item_id)


def _call_failed(dialogue: Dialogue, item_id: str) -> None:
    _call(dialogue, item_id).outcome = "failed"
    _call_over(dialogue, item_id)


def _call_over(dialogue: Dialogue, item_id: str) -> None:
    """The result is in the conversation. The server does not go on by itself: a response has to be asked for."""
    if not dialogue.told.news(True, _call_over, item_id):
        return
    _tell(dialogue, item_id)
    dialogue.told.news(True, _call_began, item_id)
    if not dialogue.told.knows(spoken_about, item_id):
        dialogue.perform(dialogue.responses.want(dialogue.setup.now(), item_id, acknowledged=True))
    dialogue.call_answered(item_id)


def _no_tools(dialogue: Dialogue, item_id: str) -> None:
    if not dialogue.told.news(True, _no_tools, item_id):
        return
    message = f"The server could not list the tools of an MCP server (item {item_id}): the agent goes without them."
    dialogue.emit(emitted.RealtimeModelErrorEvent(ServerRejected(message, code="mcp_list_tools_failed")))


_NOTICES: Mapping[str, Callable[[Dialogue, str], None]] = {
    "response.mcp_call.in_progress": _call_began,
    "response.mcp_call.completed": _call_completed,
    "response.mcp_call.failed": _call_failed,
    "mcp_list_tools.failed": _no_tools,
}
