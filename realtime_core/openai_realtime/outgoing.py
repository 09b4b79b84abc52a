"""What is done with each thing that the user sends: one function per input, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import model_inputs as sent
from ..errors import ServerRejected, UserError
from ..items import RealtimeToolCallItem
from ..model_events import RealtimeModelErrorEvent, RealtimeModelItemUpdatedEvent
from .dialogue import Dialogue
from .recovery import tool_note

__all__ = ["send"]


def send(dialogue: Dialogue, event: sent.RealtimeModelSendEvent) -> None:
    """Send it now. Raises `UserError` for what is no input of a model."""
    handler = _HANDLERS.get(type(event))
    if handler is None:
        raise UserError(f"{type(event).__name__} cannot be sent to a model.")
    handler(dialogue, event)


def _audio(dialogue: Dialogue, event: sent.RealtimeModelSendAudio) -> None:
    if event.audio:
        dialogue.append(event.audio)
    if event.commit:
        dialogue.commits_by_hand.append(dialogue.command("input_audio_buffer.commit"))


def _user_input(dialogue: Dialogue, event: sent.RealtimeModelSendUserInput) -> None:
    item_id = dialogue.create_item({"type": "message", **_message(event.user_input)})
    if event.respond:
        dialogue.perform(dialogue.responses.want(dialogue.setup.now(), item_id))


def _message(given: Any) -> dict[str, Any]:
    """Text, or a message whose content is parts (or text, as elsewhere); what is no part is left out."""
    message = {"content": given} if isinstance(given, str) else given
    if not isinstance(message, Mapping):
        raise UserError(f"A message is text or a dict with role and content, not {given!r}.")
    content = message.get("content") or ()
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    return {"role": message.get("role", "user"), "content": [dict(part) for part in parts if _is_sendable(part)]}


def _is_sendable(part: Any) -> bool:
    if not isinstance(part, Mapping):
        return False
    return isinstance(part.get("text") if part.get("type") == "input_text" else part.get("image_url"), str)


def _tool_output(dialogue: Dialogue, event: sent.RealtimeModelSendToolOutput) -> None:
    call = event.tool_call
    if call.call_id in dialogue.foreign_calls:
        item_id = dialogue.create_note(tool_note(call.name, call.arguments, event.output))
    else:
        output = {"type": "function_call_output", "call_id": call.call_id, "output": event.output}
        item_id = dialogue.create_item(output)
    dialogue.emit(
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
        dialogue.perform(dialogue.responses.want(dialogue.setup.now(), item_id))
    dialogue.call_answered(call.call_id)


def _mcp_approval(dialogue: Dialogue, event: sent.RealtimeModelSendMcpApproval) -> None:
    if event.request_id not in dialogue.approvals_asked:
        message = "The session that asked for this approval is lost: the model has to call the tool again."
        dialogue.emit(RealtimeModelErrorEvent(ServerRejected(message, code="approval_request_lost")))
        return
    item = {"type": "mcp_approval_response", "approval_request_id": event.request_id, "approve": event.approve}
    item_id = dialogue.create_item(item if event.reason is None else {**item, "reason": event.reason})
    if not event.approve:
        dialogue.perform(dialogue.responses.want(dialogue.setup.now(), item_id))


def _interrupt(dialogue: Dialogue, event: sent.RealtimeModelSendInterrupt) -> None:
    dialogue.announce()
    if event.response_id is not None and event.response_id not in _heard_or_made(dialogue):
        return
    if event.cancel_response_only:
        _cancel(dialogue, event.response_id)
        return
    interrupted = dialogue.silence()
    if not event.playback_only:
        dialogue.perform(dialogue.responses.cancel(mute=True))
    if interrupted:
        dialogue.emit(interrupted)


def _heard_or_made(dialogue: Dialogue) -> set[str | None]:
    playing = {dialogue.speaking_of.get(each.item_id) for each in dialogue.player.heard() if not each.finished}
    return {dialogue.responses.active_id, *playing}


def _cancel(dialogue: Dialogue, response_id: str | None) -> None:
    dialogue.perform(dialogue.responses.cancel(response_id))


def _session_update(dialogue: Dialogue, event: sent.RealtimeModelSendSessionUpdate) -> None:
    dialogue.config.change(event.session_settings, event.previous, event.answered)
    dialogue.update_session()


def _response_create(dialogue: Dialogue, event: sent.RealtimeModelSendResponseCreate) -> None:
    dialogue.perform(dialogue.responses.request(dialogue.setup.now(), event.options))


def _response_cancel(dialogue: Dialogue, event: sent.RealtimeModelSendResponseCancel) -> None:
    _cancel(dialogue, event.response_id)


def _raw(dialogue: Dialogue, event: sent.RealtimeModelSendRawMessage) -> None:
    """As it is, but for what the lifecycle and the configuration have to know of."""
    kind, fields = event.message["type"], dict(event.message.get("other_data") or {})
    event_id = str(fields.pop("event_id", None) or dialogue.setup.ids())
    if kind == "response.create":
        dialogue.perform(dialogue.responses.request(dialogue.setup.now(), fields.get("response") or {}))
    elif kind == "response.cancel":
        _cancel(dialogue, fields.get("response_id"))
    else:
        if kind == "session.update" and isinstance(session := fields.get("session"), Mapping):
            dialogue.config.sent_by_hand(event_id, session, dialogue.setup.now())
        elif kind == "input_audio_buffer.commit":
            dialogue.commits_by_hand.append(event_id)
        if kind in ("conversation.item.create", "conversation.item.delete"):
            dialogue.edit(event_id, kind, fields)
        else:
            dialogue.command(kind, fields, event_id=event_id)
        item = fields.get("item")
        if kind == "conversation.item.create" and isinstance(item, Mapping) and "output" in item:
            dialogue.call_answered(str(item.get("call_id")))


_HANDLERS: Mapping[type, Callable[[Dialogue, Any], None]] = {
    sent.RealtimeModelSendAudio: _audio,
    sent.RealtimeModelSendUserInput: _user_input,
    sent.RealtimeModelSendToolOutput: _tool_output,
    sent.RealtimeModelSendMcpApproval: _mcp_approval,
    sent.RealtimeModelSendInterrupt: _interrupt,
    sent.RealtimeModelSendSessionUpdate: _session_update,
    sent.RealtimeModelSendResponseCreate: _response_create,
    sent.RealtimeModelSendResponseCancel: _response_cancel,
    sent.RealtimeModelSendRawMessage: _raw,
}
