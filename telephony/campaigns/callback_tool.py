"""The tool `call_back`: the agent of a campaign stores when the callee wants to be called again. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from realtime_core import FunctionTool
from realtime_core.run_context import ToolContext

__all__ = ["CallbackTool"]

_LATEST = timedelta(days=60)


class CallbackTool:
    """Creates the tool `call_back` for one call. The agent calls the tool when the callee asks to be called again at
    another time. `at` is then this time in UTC. Otherwise `at` is None. `now` is the start of the call, and `zone` is
    the time zone of the callee.
    """

    def __init__(self, now: datetime, zone: str) -> None:
        self.at: datetime | None = None
        self._now = now
        self._zone = ZoneInfo(zone)

    def tool(self) -> FunctionTool:
        here = self._now.astimezone(self._zone)
        description = (
            "The callee asks for a call at another time. Use it only when they name a time, and confirm the time. "
            f"It is now {here:%A, %Y-%m-%d %H:%M} where they are."
        )
        at = {"type": "string", "description": "Their local date and time: YYYY-MM-DDTHH:MM."}
        schema = {"type": "object", "properties": {"at": at}, "required": ["at"], "additionalProperties": False}
        return FunctionTool("call_back", description, schema, self._invoke)

    async def _invoke(self, context: ToolContext[object], arguments: str) -> str:
        try:
            at = datetime.fromisoformat(str(json.loads(arguments)["at"]))
            local = at.astimezone(self._zone) if at.tzinfo is not None else at.replace(tzinfo=self._zone)
        except (ValueError, OverflowError, KeyError, TypeError):
            return "The time is not understood: write it as YYYY-MM-DDTHH:MM, in their local time."
        if not self._now < local <= self._now + _LATEST:
            return f"{local:%A, %Y-%m-%d %H:%M} is in the past, or later than in 60 days. Ask again."
        self.at = local.astimezone(UTC)
        return f"They will be called again on {local:%A, %Y-%m-%d at %H:%M}. Confirm it, and say goodbye."
