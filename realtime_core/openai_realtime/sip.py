"""Attaches the model to a SIP call. The audio goes directly between the server and the phone network.

Source: https://platform.openai.com/docs/guides/realtime-sip
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..agent_settings import activate
from ..config import RealtimeRunConfig, RealtimeSessionModelSettings
from ..errors import UserError
from ..model import RealtimeModelConfig
from ..run_context import RunContextWrapper
from ..turn_policy import ServerTurns
from .defaults import DEFAULT_MODEL
from .model import OpenAIRealtimeWebSocketModel
from .session_config import SessionConfig

if TYPE_CHECKING:
    from ..agent import RealtimeAgent

__all__ = ["OpenAIRealtimeSIPModel", "SessionPayload", "accept_payload"]


class OpenAIRealtimeSIPModel(OpenAIRealtimeWebSocketModel):
    """A model that attaches to the accepted SIP call with `call_id` (from the webhook `realtime.call.incoming`). The
    model sends only settings that the user gives, because the call already has formats, a voice and a model.
    """

    async def connect(self, options: RealtimeModelConfig) -> None:
        """Opens the connection to the SIP call. Returns when the server has acknowledged the configuration. Raises
        `UserError` without a `call_id`, and the errors of the base class, such as `ConnectFailed`.
        """
        if not options.get("call_id"):
            raise UserError("Give call_id: it comes with the webhook realtime.call.incoming.")
        await super().connect(options)

    @staticmethod
    async def build_initial_session_payload(
        agent: RealtimeAgent[Any],
        *,
        context: Any = None,
        model_config: RealtimeModelConfig | None = None,
        run_config: RealtimeRunConfig | None = None,
        overrides: RealtimeSessionModelSettings | None = None,
    ) -> SessionPayload:
        """Returns the body of `POST /v1/realtime/calls/{call_id}/accept`: the session that a `RealtimeSession` with
        this agent, `model_config` and `run_config` requests. `context` is passed to dynamic instructions. `overrides`
        replace settings of the result.

        Raises the exceptions of dynamic instructions, and `UserError` for tools and handoffs that a session refuses.
        """
        config = run_config or {}
        initial = (model_config or {}).get("initial_model_settings") or {}
        wrapped = context if isinstance(context, RunContextWrapper) else RunContextWrapper(context)
        base = (config.get("model_settings") or {}) | initial
        active = await activate(agent, wrapped, config, base, overrides=initial | (overrides or {}))
        return SessionPayload(accept_payload(active.settings))


class SessionPayload(dict[str, Any]):
    """A session object of the protocol as a plain dict. Its values can also be read like those of the `openai` package:
    `payload.audio.output.voice`, `payload.model_dump(exclude_none=True)`.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"The session payload has no {name!r}.")
        return _readable(self[name])

    def model_dump(self, *, exclude_none: bool = False, **_options: Any) -> dict[str, Any]:
        """Returns a deep copy as plain dicts and lists. With `exclude_none`, values that are None are left out. Other
        options of pydantic's `model_dump` are ignored.
        """
        return {key: copy.deepcopy(value) for key, value in self.items() if not (exclude_none and value is None)}


def _readable(value: Any) -> Any:
    if isinstance(value, list):
        return [_readable(each) for each in value]
    return SessionPayload(value) if isinstance(value, dict) else value


def accept_payload(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the body of `POST /v1/realtime/calls/{call_id}/accept` for these settings: the first session of the call.
    It has no audio format, because the server and the phone network choose it.
    """
    config = SessionConfig(settings, turns=ServerTurns().turn_detection)
    ((_, session),), _ = config.due(lambda: "", 0.0)
    for side in session["audio"].values():
        side.pop("format", None)
    return {**session, "model": settings.get("model_name") or DEFAULT_MODEL}
