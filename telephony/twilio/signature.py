"""Checks and creates Twilio's signatures of requests, with the official validator. Pure.

Twilio signs the form and the URL *that Twilio uses for the webhook*
(https://www.twilio.com/docs/usage/webhooks/webhooks-security). Therefore the URL is computed from the configured public
URL, and never from a Host header. The upgrade of a media stream is signed like a GET request for its `wss://` URL.

There are two signature schemes. By default the secret is the account's auth token, and the digest is HMAC-SHA1. If the
header `X-Twilio-Webhooks-Signature-Settings` contains `algorithm=HMAC_SHA256`, the secret is that of a SharedKey
(twilio 9.13).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from twilio.request_validator import HMAC_SHA1, HMAC_SHA256, RequestValidator, get_signature_algorithm

__all__ = [
    "Fault",
    "SigningKeys",
    "check",
    "check_header",
    "explain",
    "is_signed",
    "other_slash",
    "sign",
    "signed_for",
]

Fault = Literal["unsigned", "no key", "unknown algorithm", "mismatch"]


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The secrets with which Twilio may sign requests of one account."""

    auth_token: str | None = None
    shared_key_secret: str | None = None

    def __repr__(self) -> str:
        return "SigningKeys(...)"


def is_signed(
    secret: str, url: str, form: Mapping[str, Any], signature: str | None, algorithm: str = HMAC_SHA1
) -> bool:
    """Returns whether `signature` (the header `X-Twilio-Signature`) belongs to a request to `url` with the fields
    `form`. `secret` is the auth token or another secret of the sender, and `algorithm` is the hash algorithm of the
    signature. Returns False if the validator raises an exception.
    """
    if not signature:
        return False
    try:
        return bool(RequestValidator(secret).validate(url, form, signature, algorithm))
    except (TypeError, ValueError, AttributeError, UnicodeError):
        return False


def sign(keys: SigningKeys, url: str, form: Mapping[str, Any]) -> dict[str, str]:
    """Returns the headers with Twilio's signature of this request. Returns no headers if there is no secret."""
    if keys.auth_token is not None:
        return {"X-Twilio-Signature": RequestValidator(keys.auth_token).compute_signature(url, form)}
    if keys.shared_key_secret is not None:
        signature = RequestValidator(keys.shared_key_secret).compute_signature(url, form, HMAC_SHA256)
        return {
            "X-Twilio-Signature": signature,
            "X-Twilio-Webhooks-Signature-Settings": f"algorithm={HMAC_SHA256}",
        }
    return {}


def check_header(keys: SigningKeys, signature: str | None, settings: str | None = None) -> Fault | None:
    """Checks the headers of a request from Twilio, before its form is read. `signature` is the header
    `X-Twilio-Signature`, and `settings` is the header `X-Twilio-Webhooks-Signature-Settings`. Returns the fault if
    there is no signature, its algorithm is unknown, or the secret for the algorithm is not configured. Otherwise
    returns None. The signature itself must then be checked with `check`.
    """
    if not signature:
        return "unsigned"
    algorithm = get_signature_algorithm(settings).upper()
    if algorithm not in (HMAC_SHA1, HMAC_SHA256):
        return "unknown algorithm"
    return "no key" if _secret(keys, algorithm) is None else None


def check(
    keys: SigningKeys, url: str, form: Mapping[str, Any], signature: str | None, settings: str | None = None
) -> Fault | None:
    """Checks the signature of a request to `url` with the fields `form`. Returns the fault, or None if the signature is
    valid. `settings` is the header `X-Twilio-Webhooks-Signature-Settings`.
    """
    if (fault := check_header(keys, signature, settings)) is not None:
        return fault
    algorithm = get_signature_algorithm(settings).upper()
    secret = _secret(keys, algorithm)
    return None if secret is not None and is_signed(secret, url, form, signature, algorithm) else "mismatch"


def _secret(keys: SigningKeys, algorithm: str) -> str | None:
    """Returns the secret for this algorithm, or None. An empty secret counts as None, because anyone can sign with an
    empty secret.
    """
    return (keys.auth_token if algorithm == HMAC_SHA1 else keys.shared_key_secret) or None


def explain(fault: Fault, url: str, settings: str | None = None, other: str | None = None) -> str:
    """Returns a line for the log about an invalid signature: the failed check and the remedy. The line never contains a
    secret, a signature, or the values of a query, such as the number of the caller.

    `other` is the URL to which the signature belongs, if such a URL was found (see `signed_for`).
    """
    url, other = _without_values(url), None if other is None else _without_values(other)
    match fault:
        case "unsigned":
            return f"it has no X-Twilio-Signature. URL: {url!r}."
        case "unknown algorithm":
            return (
                f"its algorithm is not known: {settings!r:.80}. A newer version of the twilio package may support it."
            )
        case "no key" if get_signature_algorithm(settings).upper() == HMAC_SHA256:
            return "it is signed with a SharedKey: set TWILIO_SHARED_KEY_SECRET."
        case "no key":
            return "it is signed with the account's auth token: set TWILIO_AUTH_TOKEN."
    if other is not None:
        return f"it is signed for {other!r}, and PUBLIC_URL makes it {url!r}: correct one of the two."
    return (
        f"its signature does not fit {url!r}. Is PUBLIC_URL exactly the address that Twilio has, and is "
        "TWILIO_AUTH_TOKEN that of the account (or subaccount) which owns the number?"
    )


def _without_values(url: str) -> str:
    """Returns the URL with the names of its query, and without the values."""
    parts = urlsplit(url)
    names = (name for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit(parts._replace(query="&".join(f"{name}=..." for name in names)))


def signed_for(
    keys: SigningKeys,
    url: str,
    form: Mapping[str, Any],
    signature: str | None,
    settings: str | None = None,
    *,
    requested: str = "",
) -> str | None:
    """Finds out whether a wrong PUBLIC_URL is the reason of an invalid signature. Checks the signature with up to four
    similar URLs (for example with another slash at the end). Returns the URL for which the signature is valid, or None.
    The URL is only for a hint in the log: the request must be refused in any case.

    `url` is the expected URL, and `requested` is the URL that the request itself names (from its Host header).
    """
    return next((it for it in _other_forms(url, requested) if check(keys, it, form, signature, settings) is None), None)


def other_slash(url: str) -> str:
    """Returns the URL with a slash at the end of its path added or removed. Twilio may have signed a URL that differs
    in this slash.
    """
    parts = urlsplit(url)
    path = parts.path[:-1] if parts.path.endswith("/") else parts.path + "/"
    return urlunsplit(parts._replace(path=path))


def _other_forms(url: str, requested: str) -> list[str]:
    """Returns other URLs that Twilio may have used."""
    forms = [other_slash(url), requested, _other_scheme(requested), _other_scheme(url)]
    return [form for form in forms if form and form != url]


def _other_scheme(url: str) -> str:
    """Returns the URL with the other scheme. A proxy that terminates TLS changes `https` to `http`."""
    schemes = {"https": "http", "http": "https", "wss": "https", "ws": "http"}
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=schemes.get(parts.scheme, parts.scheme)))
