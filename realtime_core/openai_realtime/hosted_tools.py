"""Tools that the server runs by itself (hosted MCP).

Source: https://platform.openai.com/docs/guides/realtime-mcp
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import model_events as emitted
from ..errors import ServerRejected
from ..outcomes import items_of
from . import server_events as wire

if TYPE_CHECKING:
    from .dialogue import Dialogue

__all__ = ["item_done", "notice", "spoken_about"]


def notice(dialogue: Dialogue, event: wire.Notice | wire.Unknown) -> None:
    """How a call of a hosted tool goes on; nothing for any other event."""
    if (handler := _NOTICES.get(event.type)) is not None:
        dialogue.responses.progress(dialogue.setup.now())
        handler(dialogue, str(event.data.get("item_id") or ""))


def item_done(dialogue: Dialogue, item: Mapping[str, Any]) -> None:
    """An item is complete: a request for approval, or a call with its result. Both are told several times."""
    if item.get("type") == "mcp_approval_request":
        _approval_request(dialogue, item)
    elif item.get("type") == "mcp_call" and (item.get("output") is not None or item.get("error") is not None):
        _call_over(dialogue, str(item.get("id") or ""))


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


def _call_over(dialogue: Dialogue, item_id: str) -> None:
    """The result is in the conversation. The server does not go on by itself: a response has to be asked for."""
    if not dialogue.told.news(True, _call_over, item_id):
        return
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
    "response.mcp_call.completed": _call_over,
    "response.mcp_call.failed": _call_over,
    "mcp_list_tools.failed": _no_tools,
}
