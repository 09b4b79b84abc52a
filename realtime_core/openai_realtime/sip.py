"""A SIP call that the server holds: the model attaches to it, the audio goes between the server and the phone network.

Source: https://platform.openai.com/docs/guides/realtime-sip
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..model import RealtimeModelConfig
from ..turns import ServerTurns
from .model import OpenAIRealtimeWebSocketModel
from .session_config import DEFAULT_MODEL, SessionConfig

__all__ = ["OpenAIRealtimeSIPModel", "accept_payload"]


class OpenAIRealtimeSIPModel(OpenAIRealtimeWebSocketModel):
    """Attach to the call with `call_id` (from the webhook `realtime.call.incoming`), once it was accepted. Only
    settings that are given are sent: the call has its formats, its voice and its model already."""

    async def connect(self, options: RealtimeModelConfig) -> None:
        """As the base class; raises `UserError` without a `call_id`, too."""
        if not options.get("call_id"):
            raise UserError("Give call_id: it comes with the webhook realtime.call.incoming.")
        await super().connect(options)


def accept_payload(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The body of `POST /v1/realtime/calls/{call_id}/accept` for these settings: the session that the call begins with.
    It names no audio format, because that is between the server and the phone network."""
    config = SessionConfig(settings, turns=ServerTurns().turn_detection)
    ((_, session),), _ = config.due(lambda: "", 0.0)
    for side in session["audio"].values():
        side.pop("format", None)
    return {**session, "model": settings.get("model_name") or DEFAULT_MODEL}
