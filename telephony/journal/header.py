"""What a journal's header says of how the call was run: enough to run it again, and no secret. Pure."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

__all__ = ["configuration"]

_MODEL_KEYS = ("initial_model_settings",)
"""Of a model's configuration; the others reach it (addresses, keys, headers)."""


def configuration(
    *, greeting: str | None, model_config: Mapping[str, Any], run_config: Mapping[str, Any], ambience: bytes | None,
    **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """JSON values alone: what is none (hooks, guardrails, functions) is named by its type."""
    return {
        "greeting": greeting,
        "model_config": _plain({key: model_config[key] for key in _MODEL_KEYS if key in model_config}),
        "run_config": _plain(run_config),
        "ambience": None if ambience is None else {"bytes": len(ambience), "crc32": zlib.crc32(ambience)},
        **_plain(options),
    }


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
        case _:
            return {"$type": f"{type(value).__module__}.{type(value).__qualname__}"}
