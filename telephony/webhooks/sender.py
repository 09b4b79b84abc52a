"""Sends the messages of the outbox to TELEPHONY_WEBHOOK_URL, signed, each at least once.

A message is claimed before it is sent. If this process dies, the claim expires, and another process sends the message
again with the same `webhook-id`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from realtime_core.sources import Sources

from ..errors import RecordRefused, RecordsUnavailable
from ..logs import Repeats
from ..records.client import RecordsClient
from ..records.outbox import Message, MessageState, Waiting
from ..settings import Settings
from .attempts import Answer, after

if TYPE_CHECKING:
    import httpx2

__all__ = ["WebhookSender"]

log = logging.getLogger(__name__)

TIMEOUT_S = 15.0
LEASE_S = 60.0
"""The time in seconds for which a process may try to deliver a message that it has claimed. An attempt takes less
time.
"""
_AT_ONCE = 8
_CLOSE_S = 5.0
_POLL_S = 5.0
"""The interval in seconds at which this process looks for messages of processes that have died."""


class WebhookSender:
    """Sends the messages of the outbox (messages about ended calls and campaigns) as webhooks. The object is an async
    context manager. At the end of the context it delivers the messages that are due, for at most five seconds.

    `on_attempt` is called with `delivered`, `failed` or `dead` after each attempt. `on_waiting` is called with the
    messages that wait in the outbox.
    """

    def __init__(
        self,
        client: RecordsClient,
        url: str,
        secrets: Sequence[str],
        *,
        sources: Sources,
        lease_s: float = LEASE_S,
        poll_s: float = _POLL_S,
        on_attempt: Callable[[str], None] = lambda outcome: None,
        on_waiting: Callable[[Waiting], None] = lambda waiting: None,
    ) -> None:
        from standardwebhooks.webhooks import Webhook

        self._client = client
        self._url = url
        self._signers = [Webhook(secret) for secret in secrets]
        self._sources = sources
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._on_attempt = on_attempt
        self._on_waiting = on_waiting
        self._wanted = asyncio.Event()
        self._repeats = Repeats(log)
        client.announces = True
        client.on_announced = self._wanted.set

    @classmethod
    def of(cls, settings: Settings, client: RecordsClient, sources: Sources) -> WebhookSender | None:
        """Returns the sender that the settings configure, or None if TELEPHONY_WEBHOOK_URL is not set."""
        if settings.telephony_webhook_url is None or settings.telephony_webhook_secret is None:
            return None
        if client.state == "memory":
            log.warning("TELEPHONY_WEBHOOK_URL: there is no database, so webhooks that wait are lost at a restart.")
        client.shows_numbers = settings.telephony_record_numbers
        secrets = settings.telephony_webhook_secret.get_secret_value().split()
        return cls(client, settings.telephony_webhook_url, secrets, sources=sources)

    def observe(self, on_attempt: Callable[[str], None], on_waiting: Callable[[Waiting], None]) -> None:
        """Sets the callbacks for metrics. `on_attempt` is called with the result of each attempt to deliver a message,
        and `on_waiting` with the messages that have not been delivered.
        """
        self._on_attempt, self._on_waiting = on_attempt, on_waiting

    async def __aenter__(self) -> Self:
        import httpx2

        limits = httpx2.Limits(max_connections=_AT_ONCE)
        self._http = httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, limits=limits)
        self._task = asyncio.create_task(self._run(), name="webhooks")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._client.flush(_CLOSE_S)
        with suppress(TimeoutError):  # what is not delivered now waits in the outbox
            async with asyncio.timeout(_CLOSE_S):
                await self._pass()
        await self._http.aclose()

    async def _run(self) -> None:
        while True:
            self._wanted.clear()
            await self._pass()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._wanted.wait()

    async def _pass(self) -> None:
        """Delivers the messages that are due."""
        try:
            await self._deliver_due(self._http)
            self._on_waiting(await self._client.outbox(lambda it: it.waiting()))
        except* (RecordsUnavailable, RecordRefused) as group:
            self._repeats.warning(
                "records", f"Webhooks wait, because the database cannot be used: {group.exceptions[0]}"
            )

    async def _deliver_due(self, http: httpx2.AsyncClient) -> None:
        while True:
            now = self._sources.now()
            due = await self._client.outbox(lambda it: it.claim_due(now, lease_s=self._lease_s, limit=_AT_ONCE))  # noqa: B023
            if not due:
                return
            async with asyncio.TaskGroup() as group:
                for message in due:
                    group.create_task(self._deliver(http, message))

    async def _deliver(self, http: httpx2.AsyncClient, message: Message) -> None:
        answer = await self._post(http, message)
        settled = after(message, answer, self._sources.now(), self._sources.random)
        dead = settled.state is MessageState.DEAD
        self._on_attempt("delivered" if answer.is_success else "dead" if dead else "failed")
        if dead:
            log.error("Webhook %s about call %s is given up: %s. `telephony webhooks redeliver` sends it again.",
                      message.id, message.call_id, answer.words)  # fmt: skip
        elif not answer.is_success:
            self._repeats.warning("failed", f"A webhook could not be delivered and is tried again: {answer.words}")
        await self._client.outbox(lambda it: it.settle(settled))

    async def _post(self, http: httpx2.AsyncClient, message: Message) -> Answer:
        """Makes one attempt to deliver a message. Reads only the head of the response."""
        import httpx2

        now = self._sources.now()
        headers = {
            "content-type": "application/json",
            "user-agent": "telephony-agent",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(message.id, now, message.payload) for signer in self._signers),
        }
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                http.stream("POST", self._url, content=message.payload.encode(), headers=headers) as response,
            ):
                return Answer(response.status_code, retry_after_s=_seconds(response.headers.get("retry-after", "")))
        except TimeoutError:
            return Answer(error=f"no answer within {TIMEOUT_S:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return Answer(error=type(error).__name__)


def _seconds(retry_after: str) -> float | None:
    try:
        return float(retry_after)
    except ValueError:  # the header may also be a date
        return None
