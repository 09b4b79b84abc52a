"""Waits until the server has accepted or refused a request of the session: a change of the settings, or a pause of the
responses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["Acknowledge", "Acknowledgements"]

Acknowledge = Callable[[Exception | None], None]
"""A function that gets the server's answer to a request: None if the server has accepted it, or the exception with the
refusal.
"""


class Acknowledgements:
    """The requests of a session to the model's server (a change of the settings, or a pause of the responses) that the
    server has not answered yet. `wait` sends a request and waits for its answer.
    """

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[Exception | None]] = set()

    async def wait(
        self, request: Callable[[Acknowledge], Awaitable[None]], accepted: Callable[[], None] = lambda: None
    ) -> Exception | None:
        """Sends a request to the server, and waits for the answer. `request(answered)` sends the request. The model
        later calls the function `answered` with the answer: None if the server has accepted the request, or an
        exception if not. `wait` returns this answer. If the session ends first, `wait` returns the exception that was
        passed to `end`.

        `accepted` is called when the server has accepted the request, in the same step of the event loop and before
        `wait` returns. Only the first answer counts. An answer after the end of the wait has no effect.
        """
        answer: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

        def answered(error: Exception | None) -> None:
            if answer.done():
                return
            if error is None:
                accepted()
            answer.set_result(error)

        self._waiting.add(answer)
        try:
            await request(answered)
            return await answer
        finally:
            self._waiting.discard(answer)

    def end(self, error: Exception) -> None:
        """Makes each `wait` that is in progress return `error`. Must be called when the session ends, because no more
        answers arrive.
        """
        for answer in self._waiting:
            if not answer.done():
                answer.set_result(error)
