"""Measures the event loop time of unsigned requests: `python -m benchmarks.edge`.

The application runs on its server in a thread of this process. Another thread sends requests one after another. The
figure is the processor time of the server's thread per request, in milliseconds, and its ratio to `GET /healthz` in the
same run. It includes the parser, the routing and the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlencode

from realtime_core import RealtimeAgent
from telephony import create_app, load_settings
from telephony.web.server import listening

__all__ = ["costs"]

SITE = "https://phone.example.com"
FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}
BOGUS = {"X-Twilio-Signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}
"""A signature of the right length (SHA-1 in base64), made without the secret."""


class Server:
    """The application in its own thread."""

    def __init__(self) -> None:
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        settings = load_settings(
            public_url=SITE,
            twilio_auth_token="12345",
            telephony_model="scripted",
            telephony_warm=False,
            telephony_data_dir="off",
        )
        app = create_app(RealtimeAgent(name="Desk"), settings=settings)
        async with listening(app, log_level="error") as address:
            self.port = int(address.rpartition(":")[2])
            self._ready.set()
            await self._stop.wait()

    def cpu_s(self) -> float:
        """Returns the processor time of the loop's thread so far, in seconds."""
        return asyncio.run_coroutine_threadsafe(_thread_time(), self._loop).result()

    def __enter__(self) -> Server:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


async def _thread_time() -> float:
    return time.thread_time()


@contextmanager
def _connection(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def _cost_ms(server: Server, count: int, method: str, path: str, body: str, headers: dict[str, str]) -> float:
    with _connection(server.port) as connection:
        for measured in (False, True):
            before = server.cpu_s()
            for _ in range(count if measured else count // 10 + 1):
                with suppress(ConnectionError):  # the server does not read all of a body that is too long
                    connection.request(method, path, body or None, headers)
                    connection.getresponse().read()
                    continue
                connection.close()
        return (server.cpu_s() - before) / count * 1000


def _form(size: int, fields: int) -> str:
    each = "v" * max(size // fields - 8, 1)
    return urlencode({"CallSid": "CA1"} | {f"Field{n:03}": each for n in range(fields - 1)})[:size]


def costs(count: int) -> dict[str, float]:
    """Returns the loop thread's time for each kind of request, in ms; the first kind is the baseline."""
    post = ("POST", "/incoming-call")
    kinds: dict[str, tuple[str, str, str, dict[str, str]]] = {
        "GET /healthz (baseline)": ("GET", "/healthz", "", {}),
        "webhook without a signature": (*post, _form(1000, 25), FORM_TYPE),
        "webhook, bogus signature, 1 kB form": (*post, _form(1_000, 25), FORM_TYPE | BOGUS),
        "webhook, bogus signature, 16 kB form": (*post, _form(16_000, 100), FORM_TYPE | BOGUS),
        "webhook, bogus signature, 60 kB form": (*post, _form(60_000, 100), FORM_TYPE | BOGUS),
        "webhook, bogus signature, 60 kB of escapes": (*post, "CallSid=CA1&a=" + "%41" * 20_000, FORM_TYPE | BOGUS),
        "no such path, bogus signature, 16 kB form": ("POST", "/voice", _form(16_000, 100), FORM_TYPE | BOGUS),
    }
    with Server() as server:
        return {kind: _cost_ms(server, count, *request) for kind, request in kinds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=300, help="requests of each kind")
    logging.basicConfig(level=logging.CRITICAL)
    measured = costs(parser.parse_args().count)
    baseline = next(iter(measured.values()))
    print(f"{'request':<46} {'ms of the loop':>14} {'ratio':>7}")
    for kind, cost in measured.items():
        print(f"{kind:<46} {cost:>14.3f} {cost / baseline:>7.1f}")


if __name__ == "__main__":
    main()
