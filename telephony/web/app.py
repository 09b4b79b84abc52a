"""The ASGI application: webhooks, media streams, health."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from realtime_core import RealtimeModel, RealtimeModelConfig, RealtimeRunConfig
from realtime_core.sources import SYSTEM, Sources

from ..call.bridge import AgentSource
from ..call.registry import Registry
from ..settings import Settings, load_settings
from . import health, media_streams, webhooks
from .admission import Admission
from .guard import Guard

__all__ = ["Phone", "create_app"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Phone:
    """What the endpoints share: `app.state.phone`."""

    agent: AgentSource
    settings: Settings
    guard: Guard
    admission: Admission
    greeting: str | None
    model: RealtimeModel | Callable[[], RealtimeModel] | None
    model_config: RealtimeModelConfig
    run_config: RealtimeRunConfig
    registry: Registry
    sources: Sources
    data: Mapping[str, Any] = field(default_factory=dict)
    ready: bool = False


def create_app(
    agent: AgentSource,
    *,
    greeting: str | None = None,
    settings: Settings | None = None,
    model: RealtimeModel | Callable[[], RealtimeModel] | None = None,
    model_config: RealtimeModelConfig | None = None,
    run_config: RealtimeRunConfig | None = None,
    data: Mapping[str, Any] | None = None,
    sources: Sources = SYSTEM,
) -> Starlette:
    """A Starlette application that answers the phone with `agent`.

    Args:
        agent: A `RealtimeAgent`, or a function `(CallInfo) -> RealtimeAgent` (or coroutine function) that picks one.
        greeting: Instructions for the first words, like "Greet the caller". None: the caller speaks first.
        settings: Read from the environment when the application starts, unless given.
        model: A model or a function that makes one; by default OpenAI's, or the embedded server where no account is
            configured and nobody but this machine can call.
        model_config: How to reach the model.
        run_config: The session's configuration.
        data: The first content of each call's `data`.

    Raises:
        SettingsError: when the application starts, if the settings do not fit.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            loaded = settings if settings is not None else load_settings()
            registry = Registry(loaded.telephony_max_calls)
            phone = Phone(
                agent=agent,
                settings=loaded,
                guard=Guard(loaded),
                admission=Admission(loaded, registry, sources),
                greeting=greeting,
                model=model,
                model_config=await _model_config(loaded, model, model_config, stack),
                run_config=run_config or RealtimeRunConfig(),
                registry=registry,
                sources=sources,
                data=data or {},
            )
            app.state.phone = phone
            phone.ready = True
            yield
            phone.registry.draining = True

    return Starlette(
        routes=[
            Route("/incoming-call", webhooks.incoming_call, methods=["GET", "POST"]),
            WebSocketRoute("/media-stream", media_streams.media_stream),
            Route("/healthz", health.healthz),
            Route("/readyz", health.readyz),
        ],
        lifespan=lifespan,
    )


async def _model_config(
    settings: Settings,
    model: RealtimeModel | Callable[[], RealtimeModel] | None,
    given: RealtimeModelConfig | None,
    stack: AsyncExitStack,
) -> RealtimeModelConfig:
    config = RealtimeModelConfig(**given) if given is not None else RealtimeModelConfig()
    if model is not None or "url" in config or "transport" in config:
        return config
    if not _wants_script(settings):
        if settings.openai_api_key is not None:
            config.setdefault("api_key", settings.openai_api_key.get_secret_value())
        if settings.openai_base_url is not None:
            config.setdefault("base_url", settings.openai_base_url)
            config.setdefault("api_key", "none")
        log.info("The model is at %s.", settings.openai_base_url or "OpenAI")
        return config
    from realtime_core.local import LocalRealtimeServer

    server = await stack.enter_async_context(LocalRealtimeServer(settings.telephony_script))
    log.info("The embedded script answers the calls; it is no AI. Set OPENAI_API_KEY for a real model.")
    return RealtimeModelConfig(**{**config, **server.model_config})


def _wants_script(settings: Settings) -> bool:
    if settings.telephony_model == "auto":
        return not settings.can_be_rung and settings.openai_api_key is None and settings.openai_base_url is None
    return settings.telephony_model == "scripted"
