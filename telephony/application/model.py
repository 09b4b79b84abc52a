"""Selects the speech model of an application from its arguments and its settings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import cast

from realtime_core import RealtimeModel, RealtimeModelConfig, RealtimeRunConfig, RealtimeSessionModelSettings

from ..outcomes.text_model import TextModel
from ..settings import Settings

__all__ = ["find_model_config", "find_run_config", "find_text_model", "is_openai"]

log = logging.getLogger(__name__)


async def find_model_config(
    settings: Settings,
    model: RealtimeModel | Callable[[], RealtimeModel] | None,
    given: RealtimeModelConfig | None,
    stack: AsyncExitStack,
) -> RealtimeModelConfig:
    config = RealtimeModelConfig(**given) if given is not None else RealtimeModelConfig()
    if model is not None or "url" in config or "transport" in config:
        return config
    if not settings.wants_script:
        if settings.openai_api_key is not None:
            config.setdefault("api_key", settings.openai_api_key.get_secret_value())
        if settings.openai_base_url is not None:
            config.setdefault("base_url", settings.openai_base_url)
            config.setdefault("api_key", "none")
        log.info("The model is at %s.", settings.openai_base_url or "OpenAI")
        return config
    from realtime_core.local import LocalRealtimeServer

    server = await stack.enter_async_context(LocalRealtimeServer(settings.telephony_script))
    log.info("The embedded model answers the calls. It is no AI. Set OPENAI_API_KEY for a real model.")
    return RealtimeModelConfig(**{**config, **server.model_config})


def find_run_config(settings: Settings, given: RealtimeRunConfig | None) -> RealtimeRunConfig:
    config = RealtimeRunConfig(**given) if given is not None else RealtimeRunConfig()
    chosen = settings.model_settings
    if chosen:
        config["model_settings"] = cast("RealtimeSessionModelSettings", {**chosen, **config.get("model_settings", {})})
    return config


def is_openai(
    settings: Settings, model: RealtimeModel | Callable[[], RealtimeModel] | None, given: RealtimeModelConfig | None
) -> bool:
    """Returns whether the calls of an application use OpenAI's Realtime API. Returns False if the application gives its
    own model, a URL or a transport, or if the settings select the embedded model. `model` and `given` (the
    configuration of the model) are arguments of the application.
    """
    return model is None and not settings.wants_script and not (given and {"url", "transport"} & given.keys())


def find_text_model(settings: Settings) -> TextModel | None:
    if settings.telephony_text_model_url is None:
        return None
    key = settings.telephony_text_model_key
    return TextModel(
        settings.telephony_text_model_url,
        settings.telephony_text_model_name,
        None if key is None else key.get_secret_value(),
        summarises=settings.telephony_summaries,
    )
