"""Makes Twilio's requests to the application: signed, with Twilio's time-out, and only to this machine.

https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException
from urllib.parse import urlencode, urljoin, urlsplit

from twilio.request_validator import RequestValidator

from ..setting_values import is_loopback
from ..urls import rebased
from .links import HttpAnswer, Links

__all__ = ["WebhookFailed", "Webhooks", "absolute"]

MAX_BYTES = 64 * 1024
_MAX_SOUND_BYTES = 40 * 2**20


class WebhookFailed(Exception):
    """Raised if a webhook fails. Contains the error code with which Twilio reports the failure
    (https://www.twilio.com/docs/api/errors).
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code


class Webhooks:
    """Makes requests to the application. The requests are signed for the public address and sent to the local address.

    `reach` maps public addresses to local addresses: `{"https://phone.example.com": "http://127.0.0.1:8000"}`.
    """

    def __init__(self, auth_token: str, reach: Mapping[str, str], links: Links, *, timeout_s: float = 15.0) -> None:
        self.reach = dict(reach)
        self.signed_for = ""
        """Another address that requests are signed for, instead of their own."""
        self._validator = RequestValidator(auth_token)
        self._links = links
        self._timeout_s = timeout_s

    async def ask(self, url: str, form: Mapping[str, str], method: str = "POST") -> HttpAnswer:
        """Sends a webhook request with the fields `form` to the application. Raises `WebhookFailed` if the request
        fails. Returns the response.
        """
        url = urlsplit(url)._replace(fragment="").geturl()  # connection overrides, no part of the request
        posts = method.upper() != "GET"
        if not posts:
            query = "&".join(filter(None, (urlsplit(url).query, urlencode(form))))
            url = urlsplit(url)._replace(query=query).geturl()
            form = {}
        signature = self.signature(url, form)
        return await self._request(url, urlencode(form).encode() if posts else None, MAX_BYTES + 1, signature)

    async def sound(self, url: str) -> bytes:
        """Requests the audio file of a `<Play>` from the application, and returns its bytes. Raises `WebhookFailed` if
        the request fails.
        """
        return (await self._request(url, None, _MAX_SOUND_BYTES)).body

    def signature(self, url: str, form: Mapping[str, str]) -> str:
        if self.signed_for:
            url = self.signed_for + urlsplit(url).path
        return str(self._validator.compute_signature(url, form))

    def address(self, url: str) -> str:
        """Returns the local address that is used in place of a public URL. Raises `WebhookFailed` for an address
        outside of this machine.
        """
        for public, local in self.reach.items():
            url = rebased(url, public, local) or url
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "ws", "wss") or not is_loopback(parts.hostname or ""):
            raise WebhookFailed(11200, f"{url} is not on this machine; the simulated Twilio makes no other requests")
        return url

    async def _request(self, url: str, body: bytes | None, max_bytes: int, signature: str = "") -> HttpAnswer:
        target, method = self.address(url), "GET" if body is None else "POST"
        headers = {"User-Agent": "TwilioProxy/1.1"} | ({"X-Twilio-Signature": signature} if signature else {})
        try:
            answer = await self._links.request(
                method, target, headers, body, timeout_s=self._timeout_s, max_bytes=max_bytes
            )
        except TimeoutError:
            raise WebhookFailed(11205, f"{target} did not answer within {self._timeout_s:g} s") from None
        except (OSError, HTTPException) as error:
            raise WebhookFailed(11200, f"{target} did not answer: {error}") from None
        if not 200 <= answer.status < 300:
            raise WebhookFailed(11200, f"{target} answered {answer.status} {answer.reason}")
        return answer


def absolute(base: str, url: str) -> str:
    """Returns the absolute form of `url`, which may be relative to `base`, the URL of the document in which it
    stands.
    """
    return urljoin(base, url)
