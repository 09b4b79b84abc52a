"""Tools that are available to verified callers only, and ready-made tools that verify a caller.

```python
@requires("verified")
@function_tool
async def balance(ctx: RunContextWrapper[Call]) -> str: ...

agent = RealtimeAgent(name="Bank", tools=[verify_pin(is_pin), balance])
```

The model does not see a tool with `requires` before the caller is verified. If the model calls the tool nevertheless,
the call is refused. Only the code of a verifying tool can verify a caller. Words of the caller or of the model cannot.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from realtime_core import FunctionTool, user_code
from realtime_core import tools as core_tools
from realtime_core.errors import UserError
from realtime_core.run_context import RunContextWrapper

from .call.call import Call
from .errors import CallError
from .spoken_values import birth_date
from .tools import call_tool

__all__ = ["requires", "verify_birth_date", "verify_by_call_back", "verify_pin", "verify_with"]

VERIFIED = "verified"
_MAX_ATTEMPTS = 3
_CODE_DIGITS = 4

Check = Callable[[Call, str], "bool | Awaitable[bool]"]


def requires(level: str = VERIFIED) -> Callable[[FunctionTool], FunctionTool]:
    """Returns a decorator for tools. The model sees the tool only while the caller is verified at this level
    (`Call.verified`).
    """

    def decorate(tool: FunctionTool) -> FunctionTool:
        if not isinstance(tool, FunctionTool):
            raise UserError(f"requires({level!r}) stands above @function_tool, on a tool.")

        async def is_enabled(context: RunContextWrapper[Any], agent: Any) -> bool:
            call = context.context
            return (
                isinstance(call, Call) and level in call.verified and await core_tools.is_enabled(tool, context, agent)
            )

        return replace(tool, is_enabled=is_enabled)

    return decorate


def verify_pin(
    check: Check, *, max_digits: int = 4, attempts: int = _MAX_ATTEMPTS, level: str = VERIFIED, name: str = "verify_pin"
) -> FunctionTool:
    """Returns a tool with which the caller proves their identity by a PIN. The caller types the PIN of at most
    `max_digits` digits, and `check(call, pin)` returns whether the PIN is right. Neither the model nor a record gets
    the PIN.

    After `attempts` failed attempts, the tool refuses for the rest of the call. A verified caller has the level `level`
    in `Call.verified`. `name` is the name of the tool for the model.
    """

    async def do(call: Call, arguments: Mapping[str, Any]) -> Any:
        async def ask() -> bool:
            async with call.secret():
                typed = await call.collect_digits(
                    "Ask the caller to type the PIN on the keypad.", max_digits=max_digits
                )
                return bool(typed.value) and bool(await user_code.call(check, call, typed.value))

        return await _attempt(call, name, ask, attempts, level)

    return call_tool(name, "Verify the caller by a PIN, which the caller types. You ask for it by this tool.", {}, do)


def verify_birth_date(
    of: Callable[[Call], date | Awaitable[date | None] | None],
    *,
    attempts: int = _MAX_ATTEMPTS,
    level: str = VERIFIED,
    name: str = "verify_birth_date",
    today: Callable[[], date] = date.today,
) -> FunctionTool:
    """Returns a tool that compares the date that the caller says with the date of birth `of(call)`. If `of` returns
    None, the caller is not verified. The model does not learn which part of a wrong date is wrong.

    After `attempts` failed attempts, the tool refuses for the rest of the call. A verified caller has the level `level`
    in `Call.verified`. `name` is the name of the tool for the model.
    """

    async def do(call: Call, arguments: Mapping[str, Any]) -> Any:
        said = str(arguments.get("said") or "")
        try:
            given = birth_date(said, today=today())
        except ValueError as error:
            return str(error)

        async def ask() -> bool:
            known = await user_code.call(of, call)
            return isinstance(known, date) and hmac.compare_digest(known.isoformat(), given.isoformat())

        return await _attempt(call, name, ask, attempts, level)

    said = {"type": "string", "description": "The date of birth, exactly as the caller said it."}
    return call_tool(name, "Verify the caller by the date of birth. Ask for it first.", {"said": said}, do)


def verify_by_call_back(
    number: Callable[[Call], str | Awaitable[str | None] | None],
    *,
    attempts: int = _MAX_ATTEMPTS,
    level: str = VERIFIED,
    name: str = "verify_by_call_back",
) -> FunctionTool:
    """Returns a tool that verifies the caller by a second call. The tool calls the number on file, `number(call)`, and
    says a code of four digits there. The caller types the code in the current call. A caller with a forged caller id
    does not hear the code.

    After `attempts` failed attempts, the tool refuses for the rest of the call. A verified caller has the level `level`
    in `Call.verified`. `name` is the name of the tool for the model.
    """

    async def do(call: Call, arguments: Mapping[str, Any]) -> Any:
        on_file = await user_code.call(number, call)
        if not on_file:
            return "There is no number on file, so the caller cannot be verified in this way."

        async def ask() -> bool:
            async with call.secret():
                code = await call.ring_with_code(on_file, n_digits=_CODE_DIGITS)
                prompt = "Say that the phone on file rings now and says a code, and ask the caller to type the code."
                typed = await call.collect_digits(prompt, max_digits=_CODE_DIGITS, first_s=60.0)
                return hmac.compare_digest(typed.value, code)

        return await _attempt(call, name, ask, attempts, level)

    return call_tool(name, "Verify the caller by a code that the phone on file says.", {}, do)


def verify_with(
    check: Check, what: str, *, attempts: int = _MAX_ATTEMPTS, level: str = VERIFIED, name: str = "verify_caller"
) -> FunctionTool:
    """Returns a tool with which the model verifies the identity of the caller. The application supplies the check: the
    function `check(call, said)` returns whether the words `said` of the caller are right. `what` tells the model what
    to ask for, such as `the postal code`.

    After `attempts` failed attempts, the tool refuses for the rest of the call. A verified caller has the level `level`
    in `Call.verified`. `name` is the name of the tool for the model.
    """

    async def do(call: Call, arguments: Mapping[str, Any]) -> Any:
        said = str(arguments.get("said") or "")

        async def ask() -> bool:
            return bool(await user_code.call(check, call, said))

        return await _attempt(call, name, ask, attempts, level)

    said = {"type": "string", "description": f"{what}, exactly as the caller said it."}
    return call_tool(name, f"Verify the caller by {what}. Ask for it first.", {"said": said}, do)


async def _attempt(call: Call, name: str, ask: Callable[[], Awaitable[bool]], attempts: int, level: str) -> str:
    """Makes a verification attempt and counts the attempt. Returns the text for the model: whether the caller is
    verified, and the number of attempts that are left.
    """
    tried: dict[str, int] = call.data.setdefault("verification_attempts", {})
    if level in call.verified:
        return "The caller is verified already."
    if tried.get(name, 0) >= attempts:
        return "The caller cannot be verified in this call. Offer to hand over to somebody else."
    tried[name] = tried.get(name, 0) + 1
    try:
        passed = await ask()
    except CallError as error:
        return str(error)
    if not passed:
        left = attempts - tried[name]
        return "The caller is NOT verified. " + (f"{left} attempts are left." if left else "No attempt is left.")
    await call.mark_verified(level)
    await asyncio.sleep(0)
    return "The caller is verified."
