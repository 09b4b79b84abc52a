"""The options of a call in the header of its journal. With these options the call can be run again. The header contains
no secrets. Pure.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from .encoding import MAX_DEPTH

__all__ = ["configuration", "digest_of", "model_of"]

_MODEL_KEYS = ("initial_model_settings",)
"""The keys of a model's configuration that are written to the header. Other keys may contain URLs, keys and headers."""


def configuration(
    *, greeting: str | bytes | None, ambience: bytes | None, model_config: Mapping[str, Any],
    run_config: Mapping[str, Any], **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """Returns the options of a call as JSON values for the header of its journal. Other values (hooks, guardrails,
    functions) are replaced by the names of their types.
    """
    return {
        "greeting": _clip(greeting) if isinstance(greeting, bytes) else greeting,
        "model_config": _plain({key: model_config[key] for key in _MODEL_KEYS if key in model_config}),
        "run_config": _plain(run_config),
        "ambience": None if ambience is None else _clip(ambience),
        **_plain(options),
    }


def model_of(model: Any) -> dict[str, Any]:
    """Returns the class and the turn policy of the model as JSON values for the header of a journal."""
    policy = getattr(model, "turn_policy", None)
    turns = {} if policy is None else {"turn_policy": {"type": type(policy).__name__, **_public(policy)}}
    return {"type": f"{type(model).__module__}.{type(model).__qualname__}", **turns}


def _public(value: Any) -> dict[str, Any]:
    return {k: v for k, v in vars(value).items() if not k.startswith("_") and isinstance(v, int | float | str)}


def _clip(ulaw: bytes) -> dict[str, Any]:
    return {"bytes": len(ulaw), "clip": digest_of(ulaw)}


def digest_of(ulaw: bytes) -> str:
    """Returns the name of a clip in journals: a digest of its samples."""
    return hashlib.sha256(ulaw).hexdigest()[:16]


def _plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case _ if depth < 0:
            return "..."
        case Mapping():
            return {str(key): _plain(each, depth - 1) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each, depth - 1) for each in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {each.name: _plain(getattr(value, each.name), depth - 1) for each in dataclasses.fields(value)}
        case _:
            return {"$type": f"{type(value).__module__}.{type(value).__qualname__}"}
