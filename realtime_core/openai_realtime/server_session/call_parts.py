"""Collects the parts of the model's tool calls from all events that report them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .known_facts import RecentEntries

__all__ = ["CallParts"]


@dataclass(slots=True)
class _Call:
    """The known data of one tool call. `pieces` are the pieces of its arguments that have arrived."""

    response_id: str
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    pieces: list[str] = field(default_factory=list)
    is_cut: bool = False
    """Whether the server has reported that the call is incomplete."""

    @property
    def known_arguments(self) -> str:
        return self.arguments or _complete_json("".join(self.pieces))

    @property
    def is_known(self) -> bool:
        return bool(self.name and self.call_id and self.known_arguments and not self.is_cut)


class CallParts:
    """Collects the parts of each tool call of the model: its name, its id and its arguments.

    A server reports a call in up to seven events: `response.output_item.added` and `.done`,
    `response.function_call_arguments.delta` and `.done`, `conversation.item.added` and `.done`, and `response.done`.
    Some compatible servers leave some of them out or send them in another order. A call is complete only when its
    response is complete, because `response.function_call_arguments.done` is also sent for a response that was
    cancelled.
    """

    def __init__(self) -> None:
        self._calls = RecentEntries(256)
        """Item id -> `_Call`."""
        self._complete = RecentEntries(64)
        """Responses that were completed."""
        self._last_id = ""
        """The last response that has ended, if it was completed."""

    def item_seen(self, response_id: str, item: Mapping[str, Any]) -> None:
        """Stores what an item of type `function_call` contains of a tool call: its name, its id and its arguments. An
        empty `response_id` means that the response of the item is unknown. The tool call then belongs to the last
        response that was completed.
        """
        call = self._call(response_id or self._last_id, str(item.get("id") or item.get("call_id") or ""))
        call.name, call.call_id, call.arguments = (
            str(item.get(key) or known)
            for key, known in (("name", call.name), ("call_id", call.call_id), ("arguments", call.arguments))
        )
        call.is_cut = call.is_cut or item.get("status") == "incomplete"

    def arguments_seen(self, data: Mapping[str, Any], *, is_piece: bool) -> None:
        """Stores what an event about the arguments of a tool call contains: the arguments, and the name and the id if
        the event has them. `data` is the JSON object of the event. If `is_piece` is True, the event has one piece of
        the arguments, otherwise all arguments.
        """
        item_id, arguments = data.get("item_id") or data.get("call_id"), data.get("delta" if is_piece else "arguments")
        if not isinstance(item_id, str):
            return
        call = self._call(str(data.get("response_id") or ""), item_id)
        call.name, call.call_id = str(data.get("name") or call.name), str(data.get("call_id") or call.call_id)
        if is_piece and isinstance(arguments, str):
            call.pieces.append(arguments)
        elif isinstance(arguments, str):
            call.arguments = call.arguments or arguments

    def whole(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a copy of `item`, an item of type `function_call`, in which the missing values are filled in. The
        name, the `call_id` and the arguments come from the events that were stored with `item_seen` and
        `arguments_seen`.
        """
        call = self._calls.get(str(item.get("id") or item.get("call_id") or ""))
        if call is None:
            return dict(item)
        known = {"name": call.name, "call_id": call.call_id, "arguments": call.known_arguments}
        return {**item, **{key: item.get(key) or value for key, value in known.items()}}

    def has_call(self, response_id: str) -> bool:
        """Returns whether the response has called a tool."""
        return any(call.response_id == response_id for call in self._calls.values())

    def response_over(self, response_id: str, *, is_complete: bool) -> None:
        """Ends the response for its tool calls. `is_complete` is False if the response was cancelled or failed. Only
        tool calls of complete responses are returned by `due`, and are run.
        """
        self._last_id = response_id if is_complete else ""
        if is_complete:
            self._complete[response_id] = True

    def due(self) -> list[tuple[str, dict[str, Any]]]:
        """Returns the tool calls that can run: their response is complete, and their name, id and arguments are known.
        Each tool call is a pair of the id of its response and the `function_call` item in the protocol's form.
        """
        return [
            (call.response_id, {"id": item_id, "type": "function_call", **_fields(call)})
            for item_id, call in self._calls.items()
            if call.response_id in self._complete and call.is_known
        ]

    def _call(self, response_id: str, item_id: str) -> _Call:
        call: _Call | None = self._calls.get(item_id)
        if call is None:
            call = self._calls[item_id] = _Call(response_id)
        call.response_id = call.response_id or response_id
        return call


def _fields(call: _Call) -> dict[str, str]:
    return {"name": call.name, "call_id": call.call_id, "arguments": call.known_arguments}


def _complete_json(text: str) -> str:
    """Returns `text` if it is a whole JSON object, otherwise an empty string."""
    try:
        return text if isinstance(json.loads(text), dict) else ""
    except (ValueError, RecursionError):
        return ""
