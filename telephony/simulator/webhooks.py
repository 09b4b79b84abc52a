"""The requests that Twilio makes to the application: signed, with its time-out, to this machine alone.

https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.parse import urlencode, urljoin, urlsplit

from twilio.request_validator import RequestValidator

from ..settings import is_loopback

__all__ = ["Answer", "WebhookFailed", "Webhooks"]

MAX_BYTES = 64 * 1024
_MAX_SOUND_BYTES = 40 * 2**20


class WebhookFailed(Exception):
    """What Twilio would report, with its code (https://www.twilio.com/docs/api/errors)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    content_type: str


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Twilio follows redirects; none may lead off this machine, so none is followed here."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


class Webhooks:
    """`reach` says where an address of the outside really is: `{"https://phone.example.com": "http://127.0.0.1:8000"}`.
    Requests are signed for the former and made to the latter."""

    def __init__(self, auth_token: str, reach: Mapping[str, str], *, timeout_s: float = 15.0) -> None:
        self.reach = dict(reach)
        self._validator = RequestValidator(auth_token)
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(32, "twilio-webhook")
        # No proxy of the environment gets between us and this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def ask(self, url: str, form: Mapping[str, str], method: str = "POST") -> Answer:
        """Raises `WebhookFailed`."""
        url = url.partition("#")[0]  # connection overrides, no part of the request
        if method.upper() == "GET":
            url += ("&" if urlsplit(url).query else "?") + urlencode(form)
            form = {}
        target = self.address(url)
        data = urlencode(form).encode() if method.upper() != "GET" else None
        headers = {"X-Twilio-Signature": self.signature(url, form), "User-Agent": "TwilioProxy/1.1"}
        return await self._request(urllib.request.Request(target, data, headers), MAX_BYTES + 1)  # noqa: S310

    async def sound(self, url: str) -> bytes:
        """What `<Play>` plays. Raises `WebhookFailed`."""
        request = urllib.request.Request(self.address(url), headers={"User-Agent": "TwilioProxy/1.1"})  # noqa: S310
        return (await self._request(request, _MAX_SOUND_BYTES)).body

    def signature(self, url: str, form: Mapping[str, str]) -> str:
        return str(self._validator.compute_signature(url, form))

    def address(self, url: str) -> str:
        """Where that is on this machine."""
        for public, local in self.reach.items():
            for outside, inside in ((public, local), (_websocket(public), _websocket(local))):
                if url == outside or url.startswith((f"{outside}/", f"{outside}?")):
                    url = inside + url.removeprefix(outside)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "ws", "wss") or not is_loopback(parts.hostname or ""):
            raise WebhookFailed(11200, f"{url} is not on this machine, and the simulated Twilio goes nowhere else")
        return url

    async def _request(self, request: urllib.request.Request, max_bytes: int) -> Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read, request, max_bytes)

    def _read(self, request: urllib.request.Request, max_bytes: int) -> Answer:
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                return Answer(response.read(max_bytes), response.headers.get_content_type())
        except urllib.error.HTTPError as error:
            error.close()
            raise WebhookFailed(11200, f"{request.full_url} answered {error.code} {error.reason}") from None
        except TimeoutError:
            raise WebhookFailed(11205, f"{request.full_url} did not answer within {self._timeout_s:g} s") from None
        except (OSError, HTTPException) as error:
            raise WebhookFailed(11200, f"{request.full_url} did not answer: {error}") from None


def absolute(base: str, url: str) -> str:
    """An address as a document at `base` means it."""
    return urljoin(base, url)


def _websocket(url: str) -> str:
    return "ws" + url.removeprefix("http") if url.startswith("http") else url
