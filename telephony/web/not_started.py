"""The answer of an application that was not started: an apology for the caller, and the cure in the log."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from ..errors import SettingsError
from ..logs import Repeats
from ..settings import Settings, read_settings
from ..twilio import twiml

__all__ = ["NotStartedAnswer"]


class NotStartedAnswer:
    """A handler of `NotStarted`. `settings`: those of the application; None: the environment's."""

    def __init__(self, settings: Settings | None) -> None:
        self._settings = settings
        self._repeats = Repeats(logging.getLogger(__name__))

    async def __call__(self, connection: Request | WebSocket, error: Exception) -> Any:
        self._repeats.error("not started", str(error))
        if isinstance(connection, WebSocket):
            await connection.close(1013)  # before `accept` this is HTTP 403
            return None
        if getattr(connection.state, "wants_twiml", False):
            return Response(twiml.say_and_hang_up(self._apology), media_type="text/xml")
        return JSONResponse({"status": "not started", "error": str(error)}, status_code=503)

    @cached_property
    def _apology(self) -> str:
        try:
            return (self._settings or read_settings()).telephony_apology
        except SettingsError:
            return str(Settings.model_fields["telephony_apology"].default)
