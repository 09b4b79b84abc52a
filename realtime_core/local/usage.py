"""Estimates the token counts that the embedded server reports: one token per four letters of text, ten tokens per
second of input audio, and twenty tokens per second of output audio.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .items import Item

__all__ = ["audio_limit_s", "input_audio_tokens", "usage"]

_OUTPUT_TOKENS_PER_S = 20
_INPUT_TOKENS_PER_S = 10


def input_audio_tokens(ms: float) -> int:
    return round(ms / 1000 * _INPUT_TOKENS_PER_S)


def audio_limit_s(max_output_tokens: int | str) -> float:
    """Returns the maximum length in seconds of the audio of a response with at most `max_output_tokens` tokens."""
    return math.inf if isinstance(max_output_tokens, str) else max_output_tokens / _OUTPUT_TOKENS_PER_S


def usage(options: Mapping[str, Any], conversation: Iterable[Item], output: Sequence[Item]) -> dict[str, Any]:
    """Returns the estimated token counts of a response, as the `usage` of a `response.done`. `options` are the options
    of the response, `conversation` has the items that the model got as input, and `output` has the items of the
    response.
    """
    made = {item.id for item in output}
    before = [item for item in conversation if item.id not in made]
    text_in = _text(options["instructions"]) + _text(json.dumps(options["tools"])) + sum(map(_item_text, before))
    audio_in = sum(item.audio_tokens + _model_audio(item) for item in before)
    text_out, audio_out = sum(map(_item_text, output)), sum(map(_model_audio, output))
    return {
        "total_tokens": text_in + audio_in + text_out + audio_out,
        "input_tokens": text_in + audio_in,
        "output_tokens": text_out + audio_out,
        "input_token_details": {
            "text_tokens": text_in,
            "audio_tokens": audio_in,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    }


def _text(text: str) -> int:
    return -(-len(text) // 4)


def _item_text(item: Item) -> int:
    wire = item.wire
    texts = [wire.get("arguments", ""), wire.get("output") or ""]
    texts += [part.get("text") or part.get("transcript") or "" for part in wire.get("content", ())]
    return sum(map(_text, texts))


def _model_audio(item: Item) -> int:
    return round(item.audio_ms / 1000 * _OUTPUT_TOKENS_PER_S)
