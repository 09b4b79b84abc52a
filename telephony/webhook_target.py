"""Checks the URL and the secret of webhooks. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from urllib.parse import urlsplit

__all__ = ["check_secrets", "check_url"]

_BYTES = range(24, 65)
"""The valid lengths of a secret in bytes. Source:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#symmetric
"""


def check_url(url: str) -> str:
    """Checks a URL to which this application sends signed webhook requests, and returns the URL. Raises `ValueError`
    unless the URL is `https:`, or `http:` to this machine or into a private network.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.fragment:
        raise ValueError("write the address of the receiver, like https://crm.example.com/calls")
    if "@" in parts.netloc:
        raise ValueError("remove the user and the password: webhooks are signed")
    if parts.scheme == "http" and not _is_private(parts.hostname):
        raise ValueError("webhooks contain the results of calls: write https://...")
    return url


def check_secrets(secrets: str) -> str:
    """Checks one or more secrets that are separated by blanks, and returns the secrets. Raises `ValueError` for a
    secret that is invalid or too short.
    """
    if not secrets.split():
        raise ValueError("it is empty")
    for secret in secrets.split():
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = b""
        if len(key) not in _BYTES:
            raise ValueError("write whsec_ and 24 to 64 bytes in base64: echo whsec_$(openssl rand -base64 32)")
    return secrets


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or "." not in host  # a name within one network, such as that of a container
    return address.is_private or address.is_loopback
