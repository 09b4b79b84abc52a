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
    """Returns a copy of the environment without proxies and without variables that configure a real phone or a real
    model. Does not read an `.env` file.

    The variables in `keep` are kept, and the variables in `own` are added. Therefore the configuration of production
    has no effect on a demo.
    """
    cleaned = {name: value for name, value in environment.items() if name in keep or not _configures(name)}
    fixed = {"NO_PROXY": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1", "TELEPHONY_ENV_FILE": "off"}
    return {**cleaned, **fixed, **(own or {})}


def _configures(name: str) -> bool:
    upper = name.upper()
    return upper.startswith(_PREFIXES) or upper in _NAMES or upper in _PROXIES
