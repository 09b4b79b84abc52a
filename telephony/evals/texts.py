"""The client of the text model that plays personas and judges calls. It uses the Chat Completions API, which many
servers have. A request blocks, so call it in a thread. In virtual time the clock of the call stops during a request.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from ..errors import EvalError

__all__ = ["Chat", "HttpChat", "Spent"]

_WITHIN_S = 60.0
_MAX_ANSWER_BYTES = 256 * 1024
_TRIES = 4
_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})


@dataclass(slots=True)
class Spent:
    """The number of tokens that the text model has used."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Chat(Protocol):
    """A text model."""

    name: str
    spent: Spent

    def ask_json(self, messages: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:
        """Asks the text model to continue a conversation with a JSON object, and return this object. Blocks. Raises
        `EvalError`."""


class HttpChat:
    """A text model at `url`, the address that ends in `/v1`. It can be used from several threads."""

    def __init__(self, url: str, name: str, key: str | None = None, *, temperature: float = 0.7) -> None:
        self.name = name
        self.spent = Spent()
        self._url = url.rstrip("/") + "/chat/completions"
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._temperature = temperature
        self._lock = threading.Lock()

    def ask_json(self, messages: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:
        body = {
            "model": self.name,
            "temperature": self._temperature,
            "response_format": {"type": "json_object"},
            "messages": list(messages),
        }
        for nth in range(1, _TRIES + 1):
            answer = self._post(body, last=nth == _TRIES)
            if answer is not None:
                return answer
            time.sleep(2.0**nth / 4)
        raise AssertionError  # the last try returns or raises

    def _post(self, body: Mapping[str, Any], *, last: bool) -> Mapping[str, Any] | None:
        """Sends one request. Returns None if the request failed and may succeed later. Raises `EvalError`."""
        import httpx2

        try:
            with httpx2.Client(timeout=_WITHIN_S, follow_redirects=False, verify=tls()) as http:
                response = http.post(self._url, json=body, headers=self._headers)
            if response.status_code in _AGAIN and not last:
                return None
            response.raise_for_status()
            if len(response.content) > _MAX_ANSWER_BYTES:
                raise ValueError(f"the answer is larger than {_MAX_ANSWER_BYTES} bytes")
            document = response.json()
            self._count(document)
            answer = json.loads(document["choices"][0]["message"]["content"])
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, LookupError, TypeError) as error:
            if last or isinstance(error, httpx2.HTTPStatusError | httpx2.InvalidURL):
                raise EvalError(f"The text model {self.name} gave no answer: {_why(error)}.") from error
            return None
        if not isinstance(answer, Mapping):
            raise EvalError(f"The text model {self.name} gave no JSON object.")
        return answer

    def _count(self, document: Mapping[str, Any]) -> None:
        usage = document.get("usage") or {}
        with self._lock:
            self.spent.requests += 1
            self.spent.input_tokens += int(usage.get("prompt_tokens") or 0)
            self.spent.output_tokens += int(usage.get("completion_tokens") or 0)


@cache
def tls() -> ssl.SSLContext:
    """Returns the TLS context with the certificates of this machine. It is made once, because loading takes tens of
    milliseconds."""
    return ssl.create_default_context()


def _why(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"HTTP {status}" if status is not None else f"{type(error).__name__}: {error}"[:200]
