"""The address of a server with the OpenAI Realtime API, and the headers of the connection with the API key.

Sources: https://platform.openai.com/docs/guides/realtime-websocket,
https://platform.openai.com/docs/guides/realtime-sip (`call_id`), and for Azure
https://learn.microsoft.com/azure/ai-foundry/openai/how-to/realtime-audio (`/openai/v1/realtime`, header `api-key`).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

from .. import user_code
from ..errors import ConnectFailed, UserError
from ..model import RealtimeModelConfig

__all__ = ["Endpoint", "get_api_key", "realtime_url", "resolve_endpoint", "resolve_transcription_endpoint"]

_KEY_VARIABLE = "OPENAI_API_KEY"
_OPENAI = "https://api.openai.com/v1"
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_MAX_IDENTIFIER = 512
_OF_CONVERSATIONS = frozenset({"model", "call_id", "intent"})
"""The parameters of an address that select a conversation, and are not allowed for a transcription session."""
_AZURE_HOSTS = (".azure.com", ".azure.us", ".azure.cn", ".azure-api.net")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL and the headers for the connection. The headers contain the key, so they are never printed."""

    url: str
    headers: Mapping[str, str] = field(repr=False)


def realtime_url(base_url: str, query: str) -> str:
    """Returns the WebSocket URL for the base URL of an API and the `query` string. `https://host/v1` becomes
    `wss://host/v1/realtime?<query>`.

    Raises `UserError` for a scheme other than http, https, ws and wss.
    """
    scheme, host, path, old_query, _ = urlsplit(base_url.strip())
    if scheme not in _SCHEMES or not host:
        raise UserError(f"The base URL is {base_url!r}: it must be an address such as {_OPENAI}.")
    path = path.rstrip("/")
    if not path.endswith("/realtime"):
        path += "/realtime"
    return urlunsplit((_SCHEMES[scheme], host, path, "&".join(filter(None, (old_query, query))), ""))


async def resolve_endpoint(
    options: RealtimeModelConfig, model_name: str | None, default_model: str, environ: Mapping[str, str]
) -> Endpoint:
    """Returns the URL and the headers for a connection with these options. `environ` is the environment, such as
    `os.environ`. `model_name` is the model that the user has set, or None for `default_model`. Raises `UserError` if
    options contradict each other or a key is missing.

    `url` is used unchanged. Otherwise the base is `base_url`, `OPENAI_BASE_URL` or OpenAI's URL. If the options have
    `headers`, no key is added. If the user gives a `transport`, the key is optional, and a key from the environment is
    not used, because the transport may connect to another server. Raises `ConnectFailed` if the function that should
    return the key failed.
    """
    url, call_id = options.get("url"), options.get("call_id")
    if call_id and model_name:
        raise UserError("Give either call_id or model_name, because a SIP call already has its model.")
    if not url:
        query = (
            f"call_id={quote(call_id, safe='')}" if call_id else f"model={quote(model_name or default_model, safe='')}"
        )
        url = realtime_url(_base_url(options, environ), query)
    return await _with_key(url, options, environ)


async def resolve_transcription_endpoint(options: RealtimeModelConfig, environ: Mapping[str, str]) -> Endpoint:
    """Returns the endpoint of a transcription session for the options of a model. The address is that of
    `resolve_endpoint` with `intent=transcription`, and without `model` and `call_id`: the server refuses a model in the
    address (`invalid_model`). Raises the errors of `resolve_endpoint`.

    Source: https://developers.openai.com/api/docs/guides/realtime-transcription
    """
    scheme, host, path, query, _ = urlsplit(options.get("url") or realtime_url(_base_url(options, environ), ""))
    kept = [each for each in query.split("&") if each and each.partition("=")[0] not in _OF_CONVERSATIONS]
    url = urlunsplit((scheme, host, path, "&".join([*kept, "intent=transcription"]), ""))
    return await _with_key(url, options, environ)


def _base_url(options: RealtimeModelConfig, environ: Mapping[str, str]) -> str:
    return options.get("base_url") or environ.get("OPENAI_BASE_URL") or _OPENAI


async def _with_key(url: str, options: RealtimeModelConfig, environ: Mapping[str, str]) -> Endpoint:
    extra = _safety_identifier(options)
    headers = options.get("headers")
    if headers is not None:
        return Endpoint(url, {**headers, **extra})
    own_transport = options.get("transport") is not None
    key = (await _key(options)).strip() or ("" if own_transport else environ.get(_KEY_VARIABLE, "")).strip()
    if not key and not own_transport:
        raise UserError("No API key: set OPENAI_API_KEY, or give api_key or headers in the model's configuration.")
    return Endpoint(url, {**(_authorization(url, key) if key else {}), **extra})


def _safety_identifier(options: RealtimeModelConfig) -> dict[str, str]:
    identifier = options.get("safety_identifier")
    if identifier is None:
        return {}
    if not (0 < len(identifier) <= _MAX_IDENTIFIER and identifier.isascii() and identifier.isprintable()):
        raise UserError(
            f"safety_identifier must have 1 to {_MAX_IDENTIFIER} printable ASCII characters, for example a hash of the "
            "user's id."
        )
    return {"OpenAI-Safety-Identifier": identifier}


async def get_api_key(key: str | Callable[[], str | Awaitable[str]] | None) -> str | None:
    """Returns the API key: `key`, the result of the function `key`, or the environment variable `OPENAI_API_KEY`.
    Returns None if there is no key. Raises the exceptions of the function.
    """
    if not callable(key):
        return key or os.environ.get(_KEY_VARIABLE)
    value = await user_code.call(key)
    if value is not None and not isinstance(value, str):
        raise UserError(f"The function api_key must return text, not {type(value)}.")
    return value


async def _key(options: RealtimeModelConfig) -> str:
    key = options.get("api_key")
    if not callable(key):
        return key or ""
    try:
        return await get_api_key(key) or ""
    except Exception as error:  # the function is the user's
        raise ConnectFailed(
            f"The function api_key failed: {user_code.error_text(error) or type(error).__name__}"
        ) from error


def _authorization(url: str, key: str) -> dict[str, str]:
    """Returns the header with the key. Raises `UserError`, without the key, for a key that no header can hold."""
    if not (key.isascii() and key.isprintable()):
        raise UserError("The API key has characters that no key has, such as a line break or a typographic quote.")
    host = urlsplit(url).hostname or ""
    return {"api-key": key} if host.endswith(_AZURE_HOSTS) else {"Authorization": f"Bearer {key}"}
