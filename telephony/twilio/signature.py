"""Was this request signed by Twilio? Pure; wraps the official validator.

Twilio signs the URL *that it was told to call* and the form (https://www.twilio.com/docs/usage/webhooks/webhooks-security),
so the URL is computed from the configured public address and never from a Host header. The upgrade of a media stream is
signed like a GET of its `wss://` address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from twilio.request_validator import RequestValidator

__all__ = ["is_signed", "public_address", "websocket_address"]


def public_address(public_url: str, path: str, query: str = "") -> str:
    """The address of `path` as Twilio was told it, under `public_url` (`https://host[/prefix]`)."""
    return public_url.rstrip("/") + path + (f"?{query}" if query else "")


def websocket_address(public_url: str, path: str) -> str:
    """The same for a media stream: `wss` for `https`, `ws` for `http`."""
    parts = urlsplit(public_address(public_url, path))
    return urlunsplit(parts._replace(scheme={"https": "wss", "http": "ws"}.get(parts.scheme, parts.scheme)))


def is_signed(auth_token: str, url: str, form: Mapping[str, Any], signature: str | None) -> bool:
    """Does `signature` (the header `X-Twilio-Signature`) fit? Whatever the validator stumbles over is a no."""
    if not signature:
        return False
    try:
        return bool(RequestValidator(auth_token).validate(url, form, signature))
    except (TypeError, ValueError, AttributeError, UnicodeError):
        return False
