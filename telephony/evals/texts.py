"""The client of the text model that plays personas and judges calls. The client uses the Chat Completions API, which
many servers offer (https://platform.openai.com/docs/api-reference/chat/create). A request blocks, so it must be sent in
a thread. In virtual time, the clock of the call stops during a request.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from ..errors import EvalError
from ..journal.format import object_at
from .text_model_usage import TextModelUsage

__all__ = ["Chat", "HttpChat"]

_WITHIN_S = 60.0
_MAX_ANSWER_BYTES = 256 * 1024
_TRIES = 4
_MAX_PAUSE_S = 60.0
"""The maximum pause in seconds that a server may request. If the server requests a longer pause, no further request is
sent.
"""
_GIVE_UP_S = 150.0
"""The time in seconds after which no further attempt begins."""
_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
_CHECK = 'Answer with this JSON object and nothing else: {"ready": true}'


class Chat(Protocol):
    """A client of a text model."""

    name: str

    @property
    def spent(self) -> TextModelUsage:
        """The usage of the text model so far."""

    def check(self) -> None:
        """Sends a short question, so a wrong URL, name or key is reported before the calls. Raises `EvalError` if there
        is no answer.
        """

    def ask_json(self, messages: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:
        """Asks the text model to continue a conversation with a JSON object, and returns this object. The method
        blocks. Raises `EvalError` if there is no usable answer.
        """


class _NoAnswer(Exception):
    """Raised for a request without a usable answer. `again_after_s` is the time in seconds after which the same request
    may succeed. None means that the request will always fail.
    """

    def __init__(self, why: str, again_after_s: float | None = None) -> None:
        super().__init__(" ".join(why.split()).rstrip("."))
        self.again_after_s = again_after_s


class HttpChat:
    """A text model at `url`. The URL ends in `/v1`. The object can be used from several threads.

    A request that fails temporarily is sent again, at most three times. The header `Retry-After` of the server is
    followed. `temperature` is not sent, because some models refuse this parameter.
    """

    def __init__(self, url: str, name: str, key: str | None = None) -> None:
        self.name = name
        self._spent = TextModelUsage()
        self._url = url.rstrip("/") + "/chat/completions"
        self._key = key
        self._json_mode = True
        self._lock = threading.Lock()

    @property
    def spent(self) -> TextModelUsage:
        return self._spent

    def check(self) -> None:
        self.ask_json([{"role": "user", "content": _CHECK}])

    def ask_json(self, messages: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:
        began = time.monotonic()
        for nth in range(1, _TRIES + 1):
            try:
                return self._ask(messages)
            except _NoAnswer as failure:
                pause_s = None if failure.again_after_s is None else max(failure.again_after_s, 2.0**nth / 4)
                late = pause_s is not None and time.monotonic() - began + pause_s > _GIVE_UP_S
                if pause_s is None or pause_s > _MAX_PAUSE_S or late or nth == _TRIES:
                    raise EvalError(f"The text model {self.name} {failure}.") from failure
                time.sleep(pause_s)
        raise AssertionError  # the last try returns or raises

    def _ask(self, messages: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:
        body: dict[str, Any] = {"model": self.name, "messages": list(messages)}
        if self._json_mode:
            body["response_format"] = {"type": "json_object"}
        status, headers, answer = self._post(body)
        try:
            document = json.loads(answer)
        except ValueError:
            document = None
        if status != 200:
            if status == 400 and self._json_mode and "response_format" in str(document):
                self._json_mode = False  # some servers have no JSON mode: the instructions ask for JSON, too
                return self._ask(messages)
            raise self._refusal(status, headers, object_at(document, "error"))
        self._count(object_at(document, "usage"))
        return _object_in(_content_of(document))

    def _post(self, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        import httpx2

        headers = {} if self._key is None else {"authorization": f"Bearer {self._key}"}
        until = time.monotonic() + _WITHIN_S
        answer = b""
        try:
            with (
                httpx2.Client(timeout=_WITHIN_S, follow_redirects=False, verify=tls()) as http,
                http.stream("POST", self._url, json=body, headers=headers) as response,
            ):
                for chunk in response.iter_bytes():
                    answer += chunk
                    if len(answer) > _MAX_ANSWER_BYTES:
                        raise _NoAnswer(f"sent an answer larger than {_MAX_ANSWER_BYTES} bytes")
                    if time.monotonic() > until:
                        raise _NoAnswer(f"did not end its answer within {_WITHIN_S:.0f} s", 0.0)
                return response.status_code, response.headers, answer
        except httpx2.TimeoutException as error:
            raise _NoAnswer(f"did not answer within {_WITHIN_S:.0f} s", 0.0) from error
        except httpx2.InvalidURL as error:
            raise _NoAnswer(f"has no valid address: set TELEPHONY_TEXT_MODEL_URL ({error})") from error
        except (httpx2.HTTPError, OSError) as error:
            raise _NoAnswer(f"cannot be reached at {self._url} ({type(error).__name__}: {error})", 0.0) from error

    def _refusal(self, status: int, headers: Mapping[str, str], error: Mapping[str, Any]) -> _NoAnswer:
        said = str(error.get("message") or "no reason given")[:200]
        if self._key:
            said = said.replace(self._key, "***")
        match status:
            case 401 | 403:  # the server's words may hold the key
                return _NoAnswer(f"refused the key (HTTP {status}): set TELEPHONY_TEXT_MODEL_KEY")
            case 404:
                return _NoAnswer(
                    f"was not found at {self._url} (HTTP 404): set TELEPHONY_TEXT_MODEL_URL and "
                    f"TELEPHONY_TEXT_MODEL_NAME ({said})"
                )
            case 429 if error.get("code") == "insufficient_quota":
                return _NoAnswer("has no quota left (HTTP 429): add credit at its provider")
            case _ if status in _AGAIN:
                after_s = _seconds(headers.get("retry-after", ""))
                wait = f" and asked to wait {after_s:.0f} s" if after_s else ""
                return _NoAnswer(f"refused the request (HTTP {status}){wait}: {said}", after_s)
        return _NoAnswer(f"refused the request (HTTP {status}): {said}")

    def _count(self, usage: Mapping[str, Any]) -> None:
        tokens = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        spent = TextModelUsage(1, *(count if isinstance(count, int) else 0 for count in tokens))
        with self._lock:
            self._spent += spent


def _content_of(document: Any) -> str:
    """Returns the text of a response. Raises `_NoAnswer` if the response has no text."""
    choices = document.get("choices") if isinstance(document, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    content = object_at(first, "message").get("content")
    if isinstance(content, str):
        return content
    if refusal := object_at(first, "message").get("refusal"):
        raise _NoAnswer(f"refused to answer: {str(refusal)[:200]!r}", 0.0)
    raise _NoAnswer("gave an answer that is not of the Chat Completions API", 0.0)


def _object_in(text: str) -> Mapping[str, Any]:
    """Returns the JSON object in a text. Models without a JSON mode add words or a code fence. Raises `_NoAnswer` if
    there is no JSON object.
    """
    words = text.rpartition("</think>")[2]
    start = words.find("{")
    try:
        found = json.JSONDecoder().raw_decode(words, start)[0] if start >= 0 else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _NoAnswer(f"gave no JSON object, but {text[:80]!r}", 0.0)
    return found


def _seconds(retry_after: str) -> float:
    """Returns the seconds in a header `Retry-After`, or 0 if there is no number
    (https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3). A date counts as 0, because the servers of this API send
    seconds.
    """
    try:
        seconds = float(retry_after)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0


@cache
def tls() -> ssl.SSLContext:
    """Returns a TLS context with the certificates of this machine. The context is created once, because loading the
    certificates takes tens of milliseconds.
    """
    return ssl.create_default_context()
