"""Creates sessions of an agent with a model."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from . import user_code
from .agent import RealtimeAgent
from .config import RealtimeRunConfig
from .errors import UserError
from .model import RealtimeModel, RealtimeModelConfig
from .session import RealtimeSession

__all__ = ["RealtimeRunner"]


class RealtimeRunner:
    """Creates sessions of an agent. Several sessions can be open at the same time.

    `model` is a model class, or a function that returns a model for each session (default:
    `OpenAIRealtimeWebSocketModel`). `model` can also be a model object, for one session at a time.
    """

    def __init__(
        self,
        starting_agent: RealtimeAgent[Any],
        *,
        model: RealtimeModel | Callable[[], RealtimeModel] | None = None,
        config: RealtimeRunConfig | None = None,
    ) -> None:
        self._starting_agent = starting_agent
        self._config = config
        self._model = model
        self._session_of_model: weakref.ref[RealtimeSession] | None = None

    async def run(self, *, context: Any = None, model_config: RealtimeModelConfig | None = None) -> RealtimeSession:
        """Creates a session that is not yet connected: `async with await runner.run() as session`. Sends nothing.
        `context` is an object of the user, which tools, guardrails, hooks and dynamic instructions get. `model_config`
        is the configuration of the connection to the model.

        Raises `UserError` if the given model object is still in use.
        """
        session = RealtimeSession(self._make_model(), self._starting_agent, context, model_config, self._config)
        if isinstance(self._model, RealtimeModel):
            self._session_of_model = weakref.ref(session)
        return session

    def _make_model(self) -> RealtimeModel:
        if self._model is None:
            from .openai_realtime import OpenAIRealtimeWebSocketModel

            return OpenAIRealtimeWebSocketModel()
        if not isinstance(self._model, RealtimeModel):
            return self._made(user_code.call_now(self._model))
        last = None if self._session_of_model is None else self._session_of_model()
        if last is not None and last.status not in ("new", "closed"):
            raise UserError(
                "This model object serves an open session: give RealtimeRunner a class or a function instead."
            )
        return self._model

    def _made(self, model: Any) -> RealtimeModel:
        if not isinstance(model, RealtimeModel):
            raise UserError(f"RealtimeRunner: the function `model` must return a RealtimeModel, not {type(model)}.")
        return model
