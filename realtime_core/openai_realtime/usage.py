"""Creates the usage event from the `usage` object of `response.done`.

Source: https://platform.openai.com/docs/api-reference/realtime-server-events/response/done
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model_events import (
    RealtimeModelCachedTokensDetails,
    RealtimeModelInputTokensDetails,
    RealtimeModelOutputTokensDetails,
    RealtimeModelUsageEvent,
)
from ..usage import Usage

__all__ = ["usage_event"]


def usage_event(response_id: str, usage: Mapping[str, Any]) -> RealtimeModelUsageEvent:
    """Creates the usage event of one response from `usage`, the object in `response.done`. A field with a wrong type
    counts as missing.
    """
    return RealtimeModelUsageEvent(
        Usage.of_response(usage, response_id),
        _input_details(usage.get("input_token_details")),
        _output_details(usage.get("output_token_details")),
        response_id=response_id,
    )


def _input_details(details: Any) -> RealtimeModelInputTokensDetails | None:
    if not isinstance(details, Mapping):
        return None
    cached = details.get("cached_tokens_details")
    return RealtimeModelInputTokensDetails(
        text_tokens=_number(details, "text_tokens"),
        audio_tokens=_number(details, "audio_tokens"),
        image_tokens=_number(details, "image_tokens"),
        cached_tokens=_number(details, "cached_tokens"),
        cached_tokens_details=RealtimeModelCachedTokensDetails(
            text_tokens=_number(cached, "text_tokens"),
            audio_tokens=_number(cached, "audio_tokens"),
            image_tokens=_number(cached, "image_tokens"),
        )
        if isinstance(cached, Mapping)
        else None,
    )


def _output_details(details: Any) -> RealtimeModelOutputTokensDetails | None:
    if not isinstance(details, Mapping):
        return None
    return RealtimeModelOutputTokensDetails(
        text_tokens=_number(details, "text_tokens"), audio_tokens=_number(details, "audio_tokens")
    )


def _number(details: Mapping[str, Any], key: str) -> int | None:
    value = details.get(key)
    return value if isinstance(value, int) else None
