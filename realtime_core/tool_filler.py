"""Requests a short response, such as "One moment", while a slow tool runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import user_code
from .config import RealtimeToolExecutionConfig
from .errors import UserError
from .model_inputs import RealtimeModelSendResponseCreate
from .run_context import ToolContext
from .session_core import SessionCore
from .user_code import UserCode

__all__ = ["Filler"]


class Filler:
    """Requests one short response, such as "One moment", if a tool runs longer than `filler_after_seconds`."""

    def __init__(self, core: SessionCore, config: RealtimeToolExecutionConfig) -> None:
        self._core = core
        self._policy = config.get("filler")
        self._after_s = config.get("filler_after_seconds", 3.0)

    @contextmanager
    def while_running(self, context: ToolContext[Any]) -> Iterator[None]:
        if self._policy is None:
            yield
            return
        running = True

        async def fill() -> None:
            try:
                instructions = await user_code.call(self._policy, context) if callable(self._policy) else self._policy
                if instructions is not None and not isinstance(instructions, str):
                    raise UserError(f"A filler must be text or None; the function returned {type(instructions)}.")
            except Exception as error:  # noqa: BLE001  a user's code
                self._core.failed(UserCode.FILLER, context.tool_name, error)
                return
            if instructions and running:
                # The response has no tools, so the filler cannot call the slow tool again.
                options = {"instructions": instructions, "tool_choice": "none"}
                self._core.send(RealtimeModelSendResponseCreate(options))

        timer = asyncio.get_running_loop().call_later(self._after_s, lambda: self._core.start(fill(), "tool filler"))
        try:
            yield
        finally:
            running = False
            timer.cancel()
