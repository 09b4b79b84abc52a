"""A service with the Chat Completions API, for tests. It is no model: a function answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ChatService", "chat_service"]

Answer = Callable[[dict[str, Any]], "dict[str, Any] | int | bytes"]


class ChatService:
    """The running service. `requests` are the bodies that it got."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []


@contextmanager
def chat_service(answer: Answer) -> Iterator[ChatService]:
    """Serve in the block. `answer` returns the content as an object, an HTTP status, or the bytes of the audio."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            service.requests.append({"path": self.path, **body})
            service.keys.append(self.headers.get("authorization"))
            answered = answer(body)
            if isinstance(answered, int):
                self.send_error(answered)
                return
            usage = {"prompt_tokens": 100, "completion_tokens": 10}
            message = {"choices": [{"message": {"role": "assistant", "content": json.dumps(answered, default=str)}}]}
            data = answered if isinstance(answered, bytes) else json.dumps({**message, "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = ChatService(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
