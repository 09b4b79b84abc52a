"""A service with the Chat Completions and the speech API of OpenAI, for tests. It is no model: a function answers.

The service refuses what OpenAI refuses, with the same status and error object: a wrong key, an unknown or malformed
parameter, JSON mode without the word "JSON" in the messages
(https://platform.openai.com/docs/api-reference/chat/create), and `temperature` with a model that reasons.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ChatService", "Reply", "Speech", "chat_service"]

_CHAT_PARAMETERS = {
    "model", "messages", "response_format", "temperature", "top_p", "n", "stop", "seed", "max_completion_tokens",
}  # fmt: skip
_SPEECH_PARAMETERS = {"model", "input", "voice", "response_format", "instructions", "speed"}
_REASONS = ("o1", "o3", "o4", "gpt-5")


@dataclass(frozen=True)
class Reply:
    """An answer that is not a usual one. `dribbles` means that the body comes byte by byte until the client goes
    away.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    dribbles: bool = False


Speech = bytes
Answer = Callable[[dict[str, Any]], "dict[str, Any] | str | int | Speech | Reply"]
"""The content of the answer (an object, or a text as it is), an HTTP status, the bytes of the audio, or a reply."""


class ChatService:
    """The running service. `requests` are the bodies that it got."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url
        self.key = key
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []


def _error(status: int, message: str, code: str | None = None, param: str | None = None) -> Reply:
    return Reply(status, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}})


def _refusal(path: str, headers: Mapping[str, str], raw: bytes, key: str | None) -> Reply | None:
    """What OpenAI would refuse about this request."""
    given = headers.get("authorization", "")
    if key is not None and given != f"Bearer {key}":
        said = f"Incorrect API key provided: {given.removeprefix('Bearer ')}." if given else "You didn't provide a key."
        return _error(401, said, "invalid_api_key")
    if path not in ("/v1/chat/completions", "/v1/audio/speech"):
        return _error(404, f"Invalid URL (POST {path})")
    if headers.get("content-type") != "application/json":
        return _error(400, "you must provide a JSON body", "invalid_content_type")
    body = json.loads(raw)
    known = _CHAT_PARAMETERS if path.endswith("completions") else _SPEECH_PARAMETERS
    if unknown := sorted(set(body) - known):
        return _error(400, f"Unknown parameter: '{unknown[0]}'.", "unknown_parameter", unknown[0])
    if not isinstance(body.get("model"), str) or not body["model"]:
        return _error(400, "you must provide a model parameter")
    return _refused_chat(body) if path.endswith("completions") else _refused_speech(body)


def _refused_chat(body: dict[str, Any]) -> Reply | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return _error(400, "Invalid 'messages': empty array.", "empty_array", "messages")
    for n, message in enumerate(messages):
        if message.get("role") not in ("system", "developer", "user", "assistant") or set(message) - {
            "role",
            "content",
        }:
            return _error(400, f"Invalid value: 'messages[{n}]'.", "invalid_value", f"messages[{n}]")
        if not isinstance(message.get("content"), str) or not message["content"]:
            return _error(400, f"Invalid value for 'content' of messages[{n}].", "invalid_value", f"messages[{n}]")
    wanted = body.get("response_format", {}).get("type", "text")
    if wanted == "json_object" and not any("json" in message["content"].casefold() for message in messages):
        return _error(400, "'messages' must contain the word 'json' in some form.", None, "messages")
    if body["model"].startswith(_REASONS) and body.get("temperature", 1) != 1:
        return _error(
            400, "Unsupported value: 'temperature' does not support 0.7 with this model.", "unsupported_value",
            "temperature",
        )  # fmt: skip
    return None


def _refused_speech(body: dict[str, Any]) -> Reply | None:
    if not isinstance(body.get("input"), str) or not 1 <= len(body["input"]) <= 4096:
        return _error(400, "Invalid 'input': 1 to 4096 characters.", "invalid_value", "input")
    return None if body.get("voice") else _error(400, "you must provide a voice parameter", None, "voice")


@contextmanager
def chat_service(answer: Answer, *, key: str | None = None) -> Iterator[ChatService]:
    """Serves a text model during the block. `key` is the only accepted key. None means that each request is
    accepted.
    """
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            service.keys.append(headers.get("authorization"))
            reply = _refusal(self.path, headers, raw, service.key)
            if reply is None:
                body = json.loads(raw)
                service.requests.append({"path": self.path, **body})
                reply = _reply(answer(body), body)
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body, default=str).encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if not reply.dribbles:
                self.send_header("content-length", str(len(data)))
            self.end_headers()
            try:
                while reply.dribbles and not over.wait(0.001):
                    self.wfile.write(b" ")
                self.wfile.write(data)
            except OSError:
                pass  # the client has gone away

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = ChatService(f"http://127.0.0.1:{server.server_port}/v1", key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _reply(answered: dict[str, Any] | str | int | Speech | Reply, body: dict[str, Any]) -> Reply:
    if isinstance(answered, Reply):
        return answered
    if isinstance(answered, int):
        return _error(answered, f"The answer is {answered}.")
    if isinstance(answered, bytes):
        return Reply(body=answered)
    content = answered if isinstance(answered, str) else json.dumps(answered, default=str)
    message = {"role": "assistant", "content": content, "refusal": None}
    return Reply(
        body={
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
    )  # fmt: skip
