"""Checks the values of settings. Each function returns the normal form of a value, or raises `ValueError` with advice.

The messages never contain a value, because a value may be secret.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator
from datetime import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from realtime_core.ip_addresses import is_ip_address

__all__ = [
    "check_account",
    "check_api_url",
    "check_base_url",
    "check_countries",
    "check_database_url",
    "check_host",
    "check_one_word",
    "check_public_url",
    "is_loopback",
    "misspelt",
    "quiet_hours",
    "with_home",
]

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")
_DATABASES = ("sqlite", "postgresql", "postgresql+psycopg", "postgres")
_DATABASE_URL = "write sqlite:///file.db or postgresql://user:password@host/name"
_EXAMPLE_URL = "write the address that Twilio calls, like https://phone.example.com"
_OTHER_VARIABLES = frozenset({"TELEPHONY_SIMULATE"})
"""Variables of this package that are not settings."""


def is_loopback(host: str) -> bool:
    """Returns whether this host name or address is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_one_word(text: str) -> str:
    """Returns a key, a secret or a URL without a change. Raises `ValueError` if the text is not one word of ASCII
    characters, or is in quotes.
    """
    if any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError("it contains a blank or a line break: remove it")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        raise ValueError("it is in quotes, which are a part of the value here: remove them")
    if not text.isascii():
        raise ValueError("it contains a character that is not ASCII, such as a curly quote: remove it")
    return text


def check_account(sid: str) -> str:
    if not sid.startswith("AC"):
        raise ValueError("the SID of an account starts with AC; the Twilio Console shows it")
    return sid


def check_api_url(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("write the server's address, like http://127.0.0.1:9000")
    return url


def check_base_url(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https", "ws", "wss"):
        raise ValueError("write the server's address, like https://host/v1 or ws://127.0.0.1:8080/v1")
    return url


def check_public_url(url: str) -> str:
    """Returns the URL that Twilio calls (PUBLIC_URL) without a slash at its end. Raises `ValueError` if the URL is not
    valid, or if Twilio would refuse the URL. For example, Twilio refuses host names with an underscore:
    https://www.twilio.com/docs/voice/api/call-resource
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(_EXAMPLE_URL) from None
    if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment:
        raise ValueError(_EXAMPLE_URL)
    if "@" in parts.netloc:
        raise ValueError("remove the user and the password: Twilio's requests are signed")
    if "_" in host:
        raise ValueError("Twilio calls no host whose name has an underscore: use another name")
    if not _HOST_NAME.fullmatch(host) and not is_ip_address(host):
        raise ValueError(f"its host is not a host name: {_EXAMPLE_URL}")
    path = parts.path.rstrip("/")
    for own in ("/incoming-call", "/media-stream"):
        if path.lower().endswith(own):
            raise ValueError(f"leave {own} out: it is added to this address")
    if {"", ".", ".."} & set(path.split("/")[1:]):
        raise ValueError("its path contains // or a segment of dots, which proxies change: write the path without them")
    if parts.netloc.endswith(":"):
        raise ValueError(f"the port after the colon is missing: {_EXAMPLE_URL}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("Twilio opens media streams over TLS only: write https://...")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def check_host(host: str) -> str:
    """Returns the address on which a server listens, such as `127.0.0.1`, without the brackets of an IPv6 address.
    Raises `ValueError` if the text has a scheme, a path or a port.
    """
    if "/" in host or (":" in host and not is_ip_address(host.strip("[]"))):
        raise ValueError("write an address of this machine without a scheme and a port, like 127.0.0.1 or 0.0.0.0")
    return host.strip("[]")


def check_database_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in _DATABASES or not rest.strip("/"):
        raise ValueError(_DATABASE_URL)
    if scheme == "sqlite":
        if not rest.startswith("/"):
            raise ValueError("write sqlite:/// and a file; with a fourth slash its path is absolute")
        if "?" in rest:
            raise ValueError("options after the file are not supported: leave out the ? and what follows")
        return url
    from sqlalchemy.engine import make_url  # only servers with a database need this module
    from sqlalchemy.exc import ArgumentError

    try:
        host = make_url(url).host or ""
    except (ArgumentError, ValueError):
        raise ValueError(_DATABASE_URL) from None
    if "@" in host or any(map(str.isspace, host)):  # the end of the password, which errors would show
        raise ValueError("encode the characters of the password: @ is %40, / is %2F and a blank is %20")
    return url


def check_countries(text: str) -> str:
    """Returns a list of countries (ISO 3166, two letters) with commas between them."""
    from phonenumbers import SUPPORTED_REGIONS

    codes = [code for code in re.split(r"[,;\s]+", text.upper()) if code]
    for code in codes:
        if code not in SUPPORTED_REGIONS:
            cure = "GB" if code == "UK" else "two letters of ISO 3166"
            raise ValueError(f"{code[:20]!r} is not a country: write {cure}, in a list like US,CA")
    return ",".join(codes)


def quiet_hours(text: str) -> tuple[time, time]:
    """Returns the start and the end of the quiet hours in `text`, such as `21:00-08:00`. The start and the end are
    equal if there are no quiet hours (`off`).
    """
    if text.lower() == "off":
        return time(0), time(0)
    begin, _, end = text.partition("-")
    try:
        hours = time.fromisoformat(begin.strip()), time.fromisoformat(end.strip())
    except ValueError:
        raise ValueError("write the start and the end, like 21:00-08:00, or off") from None
    if any(each.tzinfo is not None for each in hours):
        raise ValueError("leave the time zone out, because the hours are those of the called number: 21:00-08:00")
    return hours


def with_home(path: Path) -> Path:
    """Returns the path with the home directory in place of `~`, as a shell does it."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("the home directory is unknown: write the path without ~") from None


def misspelt(names: Iterable[str], settings: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yields each of the variables `names` that begins with `TELEPHONY_` and is not a setting, with advice such as the
    right name. `settings` has the names of all settings.
    """
    known = {name.upper() for name in settings}
    for name in sorted(names):
        if name.upper().startswith("TELEPHONY_") and name.upper() not in known | _OTHER_VARIABLES:
            close = difflib.get_close_matches(name.upper(), known, 1, cutoff=0.75)
            yield name, f"Did you mean {close[0]}?" if close else "See deploy/.env.example."
