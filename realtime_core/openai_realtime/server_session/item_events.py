"""Handles the server's events about items of the conversation: reports items for the history, and tool calls to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ... import model_events as emitted
from ...errors import UserError
from ...items import RealtimeItem, RealtimeToolCallItem, item_from_dict
from ...response_outcome import items_of
from .. import server_events as wire
from .agent_speech import AgentSpeech
from .call_parts import CallParts
from .caller_turns import CallerTurns
from .hosted_tools import HostedTools
from .items import ConversationItems
from .known_facts import RecentEntries
from .ports import Log
from .requests import ResponseRequests
from .steps import Steps
from .tool_gate import ToolGate

__all__ = ["ItemEvents"]


class ItemEvents:
    """Handles the server's events about conversation items. Emits model events with the items, for the session's
    history, and with the tool calls that the session must run.
    """

    def __init__(
        self,
        items: ConversationItems,
        requests: ResponseRequests,
        turns: CallerTurns,
        speech: AgentSpeech,
        gate: ToolGate,
        hosted: HostedTools,
        emit: Callable[[emitted.RealtimeModelEvent], None],
        steps: Steps,
        log: Log,
    ) -> None:
        self._items = items
        self._responses = requests.responses
        self._turns = turns
        self._speech = speech
        self._gate = gate
        self._hosted = hosted
        self._emit = emit
        self._steps = steps
        self._log = log
        self._calls = RecentEntries(256)
        """Ids of the tool calls that were reported."""
        self._parts = CallParts()
        self._completes_items = False
        """The server sends `conversation.item.done` (GA), not only `response.output_item.done` (beta)."""
        self.handlers: Mapping[type, Callable[[Any], None]] = {
            wire.ItemAdded: self._added,
            wire.ItemDone: self._done,
            wire.ItemRetrieved: self._retrieved,
            wire.OutputItemAdded: self._output_added,
            wire.OutputItemDone: self._output_done,
            wire.ItemDeleted: self._deleted,
            wire.ItemTruncated: self._truncated,
        }

    def in_response(self, event: wire.ResponseDone, status: str) -> None:
        """Reads the items in the server's event `response.done`: emits the final texts and the tool calls that no
        earlier event has reported. Some compatible servers report these only in this event. `status` is the status of
        the response, such as `completed`.
        """
        self._turns.response_over()
        for item in items_of(event.response):
            if item.get("type") != "function_call":
                self._speech.final(event.response_id, item)
                self._updated(item, None)
                self._hosted.item_done(item)
                continue
            self._parts.item_seen(event.response_id, item)
            if str(item.get("call_id")) not in self._calls:
                self._tool_call(event.response_id, item)
        self.response_over(event.response_id, is_complete=status == "completed")

    def response_over(self, response_id: str, *, is_complete: bool) -> None:
        """Emits the tool calls of a response that has ended, so the tools run. If `is_complete` is False, the response
        was cancelled or failed, and its tool calls are not emitted.
        """
        self._parts.response_over(response_id, is_complete=is_complete)
        self._report_calls()

    def has_call(self, response_id: str) -> bool:
        """Returns whether the response has called a tool, as far as the server has reported."""
        return self._parts.has_call(response_id)

    def notice(self, event: wire.Notice | wire.Unknown) -> None:
        """Uses the data of three server events that have no class of their own: the end of a content part
        (`response.content_part.done`), and a piece or the whole of the arguments of a tool call
        (`response.function_call_arguments.delta` and `.done`). Emits the texts and tool calls that are complete
        afterwards. Any other event has no effect.
        """
        if event.type == "response.content_part.done":
            self._speech.final_part(event.data)
        is_piece = event.type == "response.function_call_arguments.delta"
        response_id = str(event.data.get("response_id") or "")
        if not is_piece and event.type != "response.function_call_arguments.done":
            return
        if self._responses.is_out_of_band(response_id):
            return
        self._parts.arguments_seen(event.data, is_piece=is_piece)
        if not is_piece:
            self._responses.completed_item(self._steps.now, response_id)
        self._report_calls()

    def _call_seen(self, response_id: str, item: Mapping[str, Any]) -> None:
        """Stores what an item reports about a tool call of the model."""
        if item.get("type") == "function_call" and not self._items.is_clients(item):
            self._parts.item_seen(response_id, item)
            if item.get("status") == "completed":
                self._responses.completed_item(self._steps.now, response_id)
            self._report_calls()

    def _text_seen(self, item: Mapping[str, Any]) -> None:
        """Emits the final text of a message of the conversation, unless another event has already reported the text."""
        if item.get("type") != "message" or self._items.is_clients(item):
            return
        self._turns.item_transcribed(item)
        if item.get("status") == "completed" and (active_id := self._responses.active_id) is not None:
            self._speech.final(active_id, item)

    def _report_calls(self) -> None:
        """Reports the complete tool calls that no other event has reported."""
        for response_id, item in self._parts.due():
            if item["call_id"] not in self._calls:
                self._tool_call(response_id, item)

    def _added(self, event: wire.ItemAdded) -> None:
        previous = self._previous(event)
        self._turns.item_added(event.item, previous)
        self._items.confirmed(event.item.get("id"))
        self._updated(event.item, previous)
        self._call_seen(self._responses.active_id or "", event.item)
        self._text_seen(event.item)

    def _previous(self, event: wire.ItemAdded | wire.ItemDone) -> str | None:
        return self._items.places.previous(type(event), str(event.item.get("id") or ""), event.previous_item_id)

    def _done(self, event: wire.ItemDone) -> None:
        self._completes_items = True
        self._items.confirmed(event.item.get("id"))
        self._updated(event.item, self._previous(event))
        self._hosted.item_done(event.item)
        self._call_seen(self._responses.active_id or "", event.item)
        self._text_seen(event.item)

    def _retrieved(self, event: wire.ItemRetrieved) -> None:
        item_id = str(event.item.get("id") or "")
        if event.item.get("type") == "mcp_call" and not self._hosted.knows(item_id):
            self._items.ran_before(item_id)
        self._updated(event.item, None)

    def _output_added(self, event: wire.OutputItemAdded) -> None:
        self._responses.began_item(event.response_id)
        if self._responses.is_out_of_band(event.response_id):
            return
        is_complete = event.item.get("status") == "completed"
        if event.item.get("type") == "mcp_call" or (event.item.get("type") == "message" and is_complete):
            self._updated(event.item, None)
        if is_complete:
            self._speech.final(event.response_id, event.item)
        self._call_seen(event.response_id, event.item)

    def _output_done(self, event: wire.OutputItemDone) -> None:
        if self._responses.is_out_of_band(event.response_id):
            return
        self._responses.completed_item(self._steps.now, event.response_id)
        self._speech.final(event.response_id, event.item)
        if event.item.get("type") == "function_call":
            self._parts.item_seen(event.response_id, event.item)
            self._tool_call(event.response_id, event.item)
            return
        if not self._completes_items or event.item.get("type") == "mcp_call":
            self._updated(event.item, None)
        self._hosted.item_done(event.item)

    def _updated(self, item: Mapping[str, Any], previous_item_id: str | None) -> None:
        """Reports an item to the history. The history lists messages and complete tool calls. Every other item only
        keeps its place. The output of a tool belongs to its call.
        """
        item_id, kind = str(item.get("id") or ""), str(item.get("type") or "")
        if self._items.is_deleted(item_id):
            return
        is_hidden = self._items.is_hidden(item_id)
        if kind == "mcp_call" and not is_hidden:
            self._hosted.item_seen(item, previous_item_id)
        elif not is_hidden and (listed := self._listed(item, kind)) is not None:
            self._emit(emitted.RealtimeModelItemUpdatedEvent(listed, previous_item_id=previous_item_id))
        elif item_id:
            is_output = kind == "function_call_output"
            call_id, output = (item.get(key) if is_output else None for key in ("call_id", "output"))
            self._emit(
                emitted.RealtimeModelOtherItemEvent(
                    item_id,
                    kind,
                    previous_item_id=previous_item_id,
                    call_id=call_id if isinstance(call_id, str) else None,
                    output=output if isinstance(output, str) else None,
                )
            )

    def _listed(self, item: Mapping[str, Any], kind: str) -> RealtimeItem | None:
        """Returns the item in the form of the history, or None if the history does not list the item."""
        if kind == "function_call":
            is_complete = item.get("status", "completed" if item.get("arguments") else "in_progress") == "completed"
            # For the server, a call is complete with its arguments. For the history, a call is complete with its
            # output.
            return item_from_dict({**item, "status": "in_progress"}) if is_complete else None
        if kind != "message":
            return None
        try:
            return item_from_dict(item)
        except UserError as error:
            self._log.info("The history leaves out an item of the conversation: %s", error)
            return None

    def _tool_call(self, response_id: str, item: Mapping[str, Any]) -> None:
        if item.get("status", "completed") != "completed":
            return  # the response ended before the arguments were complete
        item = self._parts.whole(item)
        name, call_id, arguments = (str(item.get(key) or "") for key in ("name", "call_id", "arguments"))
        item_id = str(item.get("id") or call_id)
        if call_id not in self._calls:
            self._calls[call_id] = True
            self._gate.call_began(call_id)
            self._emit(
                emitted.RealtimeModelItemUpdatedEvent(
                    RealtimeToolCallItem(item_id=item_id, call_id=call_id, name=name, arguments=arguments)
                )
            )
        self._emit(
            emitted.RealtimeModelToolCallEvent(name, call_id, arguments, id=item_id, response_id=response_id or None)
        )

    def _deleted(self, event: wire.ItemDeleted) -> None:
        self._items.deleted(event.item_id)

    def _truncated(self, event: wire.ItemTruncated) -> None:
        self._emit(emitted.RealtimeModelItemTruncatedEvent(event.item_id, event.content_index, event.audio_end_ms))
