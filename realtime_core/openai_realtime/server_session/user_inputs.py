"""Sends to the server the inputs that a program gives to the model, such as messages, interruptions, tool outputs and
settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ... import model_inputs as sent
from ...errors import ServerRejected, UserError
from ...items import RealtimeToolCallItem
from ...model_events import RealtimeModelErrorEvent, RealtimeModelEvent, RealtimeModelItemUpdatedEvent
from ..recovery import tool_note
from .audio_parts import AudioParts
from .caller_turns import CallerTurns
from .client_events import ClientEvents
from .hosted_tools import HostedTools
from .items import ConversationItems
from .requests import ResponseRequests
from .response_events import ResponseEvents
from .response_pause import ResponsePause
from .steps import Steps
from .tool_gate import ToolGate
from .updates import SessionUpdates

__all__ = ["UserInputs"]


class UserInputs:
    """Executes what the program that uses the session wants from the model. There is one method for each type of input,
    such as audio of the caller, a text message, a tool output or an interruption. `cancels` is True if the server can
    cancel responses.
    """

    def __init__(
        self,
        client: ClientEvents,
        items: ConversationItems,
        requests: ResponseRequests,
        responses: ResponseEvents,
        audio: AudioParts,
        turns: CallerTurns,
        gate: ToolGate,
        hosted: HostedTools,
        updates: SessionUpdates,
        pause: ResponsePause,
        emit: Callable[[RealtimeModelEvent], None],
        steps: Steps,
        *,
        cancels: bool,
    ) -> None:
        self._client = client
        self._items = items
        self._requests = requests
        self._responses = responses
        self._audio = audio
        self._turns = turns
        self._gate = gate
        self._hosted = hosted
        self._updates = updates
        self._pause = pause
        self._emit = emit
        self._steps = steps
        self._cancels = cancels
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            sent.RealtimeModelSendAudio: self._caller_audio,
            sent.RealtimeModelSendUserInput: self._user_input,
            sent.RealtimeModelSendToolOutput: self._tool_output,
            sent.RealtimeModelSendMcpApproval: self._mcp_approval,
            sent.RealtimeModelSendInterrupt: self._interrupt,
            sent.RealtimeModelSendSessionUpdate: self._session_update,
            sent.RealtimeModelSendResponseCreate: self._response_create,
            sent.RealtimeModelSendResponseCancel: self._response_cancel,
            sent.RealtimeModelSendRawMessage: self._raw,
            sent.RealtimeModelSendPauseResponses: self._pause_responses,
        }

    def handler(self, event: sent.RealtimeModelSendEvent) -> Callable[[Any], None]:
        """Returns the method that executes inputs of the type of `event`. Raises `UserError` for an object that is not
        an input of a model.
        """
        handler = self._handlers.get(type(event))
        if handler is None:
            raise UserError(f"{type(event).__name__} cannot be sent to a model.")
        return handler

    def _caller_audio(self, event: sent.RealtimeModelSendAudio) -> None:
        """Handles the end of the caller's audio. The audio itself is passed to `ServerSession.append`."""
        if event.commit:
            self._turns.commits.append(self._client.send("input_audio_buffer.commit"))

    def _user_input(self, event: sent.RealtimeModelSendUserInput) -> None:
        item_id = self._items.create({"type": "message", **_message(event.user_input)})
        if event.respond:
            self._requests.request_answer(item_id)

    def _tool_output(self, event: sent.RealtimeModelSendToolOutput) -> None:
        call = event.tool_call
        if self._gate.is_foreign(call.call_id):
            item_id = self._items.create_note(tool_note(call.name, call.arguments, event.output))
        else:
            output = {"type": "function_call_output", "call_id": call.call_id, "output": event.output}
            item_id = self._items.create(output)
        self._emit(
            RealtimeModelItemUpdatedEvent(
                RealtimeToolCallItem(
                    item_id=call.id or call.call_id,
                    previous_item_id=call.previous_item_id,
                    call_id=call.call_id,
                    name=call.name,
                    arguments=call.arguments,
                    status="completed",
                    output=event.output,
                )
            )
        )
        if event.start_response:
            self._requests.request_answer(item_id)
        self._gate.call_over(call.call_id)

    def _mcp_approval(self, event: sent.RealtimeModelSendMcpApproval) -> None:
        if not self._hosted.waits_for_approval(event.request_id):
            message = "The session that asked for this approval is lost: the model has to call the tool again."
            self._emit(RealtimeModelErrorEvent(ServerRejected(message, code="approval_request_lost")))
            return
        item = {"type": "mcp_approval_response", "approval_request_id": event.request_id, "approve": event.approve}
        item_id = self._items.create(item if event.reason is None else {**item, "reason": event.reason})
        if not event.approve:
            self._requests.request_answer(item_id)

    def _interrupt(self, event: sent.RealtimeModelSendInterrupt) -> None:
        self._responses.announce()
        made_or_playing = {self._requests.responses.active_id, *self._audio.playing_responses()}
        if event.response_id is not None and event.response_id not in made_or_playing:
            return
        if event.cancel_response_only:
            self._requests.cancel(event.response_id)
            return
        interrupted = self._requests.interrupt()
        if self._cancels and not event.playback_only:
            self._requests.cancel(mute=True)
        if interrupted:
            self._emit(interrupted)

    def _session_update(self, event: sent.RealtimeModelSendSessionUpdate) -> None:
        self._updates.config.change(event.session_settings, event.previous, event.answered)
        self._updates.send()

    def _response_create(self, event: sent.RealtimeModelSendResponseCreate) -> None:
        self._requests.request(event.options)

    def _response_cancel(self, event: sent.RealtimeModelSendResponseCancel) -> None:
        self._requests.cancel(event.response_id)

    def _pause_responses(self, event: sent.RealtimeModelSendPauseResponses) -> None:
        self._pause.set(event.paused, event.answered)

    def _raw(self, event: sent.RealtimeModelSendRawMessage) -> None:
        """Sends a client event unchanged, and registers its effects on responses, settings, turns and items. The fields
        of the event are in `other_data` or beside `type`.
        """
        message: Any = event.message
        if not isinstance(message, Mapping) or not isinstance(message.get("type"), str):
            raise UserError(f"A raw message is a dict with the text `type`, not {message!r}.")
        type, fields = message["type"], {**message, **(message.get("other_data") or {})}
        del fields["type"]
        fields.pop("other_data", None)
        event_id = str(fields.pop("event_id", None) or self._client.ids())
        if type == "response.create":
            self._requests.request(fields.get("response") or {})
            return
        if type == "response.cancel":
            self._requests.cancel(fields.get("response_id"))
            return
        if type == "session.update" and isinstance(session := fields.get("session"), Mapping):
            self._updates.config.sent_by_user(event_id, session, self._steps.now)
        elif type == "input_audio_buffer.commit":
            self._turns.commits.append(event_id)
        if type in ("conversation.item.create", "conversation.item.delete"):
            self._edit(event_id, type, fields)
        else:
            self._client.send(type, fields, event_id=event_id)

    def _edit(self, event_id: str, type: str, fields: dict[str, Any]) -> None:
        item = fields.get("item") if type == "conversation.item.create" else None
        if isinstance(item, Mapping):
            self._hosted.forget(str(item.get("id") or ""))
        self._items.edit(event_id, type, fields)
        if isinstance(item, Mapping) and "output" in item:
            self._gate.call_over(str(item.get("call_id")))


_VALUE_OF_PART = {"input_text": "text", "output_text": "text", "input_image": "image_url", "input_audio": "audio"}


def _message(given: Any) -> dict[str, Any]:
    """Returns a message from text, or from a dict whose content is text or parts. Parts that the protocol does not have
    are left out. Raises `UserError` if no part remains, because the agent would answer an empty message.
    """
    message = {"content": given} if isinstance(given, str) else given
    if not isinstance(message, Mapping):
        raise UserError(f"A message is text or a dict with role and content, not {given!r}.")
    content = message.get("content", ())
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    sent = [dict(part) for part in parts or () if _is_sendable(part)]
    if not sent:
        raise UserError(f"A message needs a part of one of these types, with its value: {', '.join(_VALUE_OF_PART)}.")
    return {"role": message.get("role", "user"), "content": sent}


def _is_sendable(part: Any) -> bool:
    if not isinstance(part, Mapping):
        return False
    return isinstance(part.get(_VALUE_OF_PART.get(str(part.get("type")), "")), str)
