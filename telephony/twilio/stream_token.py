"""A stream token: a signed text that binds a media stream to the call of an earlier signed webhook. Pure.

The signature of the upgrade shows that some call of the account opens a stream, but does not show which call. The token
in a `<Parameter>` shows the call. The token contains all data for its check, so any process with the key can check the
token. A token is valid only for a short time and only once. The process that admits a stream stores `StreamToken.nonce`
until the token expires.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass

__all__ = ["StreamToken", "TokenRefused", "mint", "verify"]

_VERSION = "v1"


class TokenRefused(ValueError):
    """Raised for an invalid token. The message contains the reason and no secret."""


@dataclass(frozen=True, slots=True)
class StreamToken:
    """The content of a stream token: the CallSid, the time of expiry (Unix time in seconds), and a random text that
    identifies the token (nonce).
    """

    call_sid: str
    expires_at: int
    nonce: str


def mint(key: bytes, token: StreamToken) -> str:
    """Creates the text of a stream token, signed with `key`. For Twilio's SIDs the text has less than 200
    characters.
    """
    body = f"{_VERSION}.{token.call_sid}.{token.expires_at}.{token.nonce}"
    return f"{body}.{_sign(key, body)}"


def verify(key: bytes, text: str, *, call_sid: str, now: float) -> StreamToken:
    """Checks the stream token `text` for the call with this CallSid, and returns its content. `now` is Unix time in
    seconds.

    Raises:
        TokenRefused: the token has no valid signature, belongs to another call, or has expired.
    """
    body, _, signature = text.rpartition(".")
    if not hmac.compare_digest(_sign(key, body).encode(), signature.encode("utf-8", "replace")):
        raise TokenRefused("the stream token is missing or was not made by this application")
    _, token_sid, expires_at, nonce = body.split(".")
    if token_sid != call_sid:
        raise TokenRefused("the stream token belongs to another call")
    if now >= int(expires_at):
        raise TokenRefused("the stream token has expired")
    return StreamToken(token_sid, int(expires_at), nonce)


def _sign(key: bytes, body: str) -> str:
    digest = hmac.digest(key, body.encode("utf-8", "replace"), "sha256")
    return urlsafe_b64encode(digest).decode().rstrip("=")
