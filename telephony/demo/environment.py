"""The environment variables of the demo's processes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["child_environment"]

_PREFIXES = ("OPENAI_", "TWILIO_", "TELEPHONY_", "UVICORN_", "OTEL_")
_NAMES = frozenset({"PUBLIC_URL", "DATABASE_URL", "HOST", "PORT", "LOG_LEVEL", "LOG_FORMAT", "WEB_CONCURRENCY"})
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY"})


def child_environment(
    environment: Mapping[str, str], own: Mapping[str, str] | None = None, *, keep: Collection[str] = ()
) -> dict[str, str]:
    """A copy of the environment without proxies and without variables that configure a real telephone or a real model.
    No file `.env` is read.

    The variables in `keep` stay, and those in `own` are added. So the configuration of production has no effect on a
    demonstration.
    """
    cleaned = {name: value for name, value in environment.items() if name in keep or not _configures(name)}
    fixed = {"NO_PROXY": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1", "TELEPHONY_ENV_FILE": "off"}
    return {**cleaned, **fixed, **(own or {})}


def _configures(name: str) -> bool:
    upper = name.upper()
    return upper.startswith(_PREFIXES) or upper in _NAMES or upper in _PROXIES
