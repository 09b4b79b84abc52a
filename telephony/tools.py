"""Ready-made tools for agents in phone calls.

```python
agent = RealtimeAgent(name="Desk", tools=[hang_up(), transfer(kitchen="+14155550123", manager="+14155550199")])
```

Each function raises `UserError` for an invalid declaration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from realtime_core import FunctionTool, SilentResult
from realtime_core.errors import UserError
from realtime_core.run_context import ToolContext

from .call.call import Call
from .call.call_tools import CallTool, declare_targets
from .call.recording.digit_masking import typed
from .errors import CallError
from .twilio.numbers import dialled

__all__ = ["call_tool", "collect_digits", "hang_up", "refuse_recording", "send_digits", "transfer"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")

_Do = Callable[[Call, Mapping[str, Any]], Awaitable[Any]]


def hang_up(*, goodbye: str | None = None) -> FunctionTool:
    """Returns the tool `hang_up`, which ends the call when the caller has heard the goodbye. `goodbye` has instructions
    with which the model says goodbye when the tool is called. With None, the description of the tool asks the model to
    say goodbye before it calls the tool. If the caller speaks during the goodbye, the call continues.
    """

    async def do(call: Call, arguments: Mapping[str, Any]) -> Any:
        if await call.hang_up(goodbye=goodbye):
            return SilentResult("The call is over.")
        return "The caller began to speak, so the call goes on. Answer, and hang up later."

    said = "" if goodbye else " Say goodbye first, in the same turn."
    return call_tool("hang_up", f"End the phone call, when the caller has nothing more to ask.{said}", {}, do)


def transfer(*, warm: bool = False, name: str = "transfer", **targets: str) -> FunctionTool:
    """Returns the tool `transfer`, which transfers the caller to one of `targets` (name -> E.164 number or `sip:`
    address). The model selects a name and never sees a number. With `warm`, the called person first hears a summary,
    and presses 1 to accept. Without `warm`, the caller is connected immediately.
    """
    targets = {target: _target(target, number) for target, number in targets.items()}
    if not targets:
        raise UserError("transfer() needs targets: transfer(kitchen='+14155550123').")

    async def do(call: Call, arguments: Mapping[str, Any]) -> Any:
        declare_targets(call, [tool])
        target = str(arguments.get("target"))
        if target not in targets:
            return f"There is no {target!r}. There are: {', '.join(targets)}."
        return await call.transfer(target, summary=str(arguments.get("summary") or "") if warm else None)

    properties: dict[str, Any] = {"target": {"type": "string", "enum": list(targets), "description": "Who takes over."}}
    if warm:
        properties["summary"] = {
            "type": "string",
            "description": "What they are told before they take the call: who is calling, and what about.",
        }
    description = "Hand the caller over to somebody else. Say so first, in the same turn."
    tool = call_tool(name, description, properties, do)
    tool.targets, tool.warm = targets, warm
    return tool


def _target(name: str, number: object) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(f"transfer({name}=...): a name has letters, digits, _ and -, 40 at most.")
    try:
        return dialled(number)
    except ValueError as error:
        raise UserError(f"transfer({name}={number!r}): {error}.") from None


def send_digits() -> FunctionTool:
    """Returns the tool `send_digits`, which sends keys to the other party, for example for a menu that says "press
    1".
    """

    async def do(call: Call, arguments: Mapping[str, Any]) -> Any:
        await call.send_digits(str(arguments.get("digits") or ""))
        return "The keys were pressed. Listen to what comes."

    description = "Press keys on the phone, as a recorded menu asks for. The line is away for a moment."
    keys = {"type": "string", "description": "0-9, *, #; w is a pause of half a second."}
    return call_tool("send_digits", description, {"digits": keys}, do)


def collect_digits(
    *, max_digits: int = 32, terminator: str = "#", store: str | None = None, name: str = "collect_digits"
) -> FunctionTool:
    """Returns a tool that asks the caller to type at most `max_digits` digits. The key `terminator` ends the input. The
    tool returns the digits to the model. With `store`, the model gets only the number of digits, and `call.data[store]`
    has the digits. `store` is for card numbers and PINs. `name` is the name of the tool for the model.
    """

    async def do(call: Call, arguments: Mapping[str, Any]) -> Any:
        ask = f"Ask the caller to type on the keypad: {arguments.get('what') or 'the number'}."
        digits = await call.collect_digits(ask, max_digits=max_digits, terminator=terminator)
        if not digits.value:
            return "The caller typed nothing."
        if store is not None:
            call.data[store] = digits.value
            return f"The caller typed {len(digits.value)} keys; they are stored."
        return typed(digits.value)

    what = {"type": "string", "description": "What to ask for, like: your order number, then the hash key."}
    return call_tool(
        name, "Have the caller type digits on the keypad. You ask for them by this tool.", {"what": what}, do
    )


def refuse_recording() -> FunctionTool:
    """Returns the tool `refuse_recording`, which the model calls if the caller does not want to be recorded. The
    consent policy decides what happens next.
    """

    async def do(call: Call, arguments: Mapping[str, Any]) -> Any:
        call.refuse_recording()
        return "From now on nothing is recorded. Tell the caller so, and go on."

    return call_tool("refuse_recording", "Stop the recording, because the caller does not want it.", {}, do)


def call_tool(name: str, description: str, properties: dict[str, Any], do: _Do) -> CallTool:
    """Returns a tool that works in phone calls. The model sees `name`, `description` and the arguments. `properties`
    has a JSON schema for each argument by its name, and every argument is required. `do` is called with the call and
    the arguments, and returns the output. A `CallError` or `ValueError` of `do` becomes the output as text.
    """

    async def invoke(context: ToolContext[Any], arguments: str) -> Any:
        call = context.context
        if not isinstance(call, Call):
            return f"{name} works on phone calls only."
        try:
            given = json.loads(arguments or "{}")
            return await do(call, given if isinstance(given, dict) else {})
        except (CallError, ValueError) as error:
            return str(error)

    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return CallTool(name=name, description=description, params_json_schema=schema, on_invoke_tool=invoke)
