"""Webhooks about ended calls: signed, at least once each, not to another address, and given up after a day."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from realtime_core.sources import SYSTEM
from telephony.errors import SettingsError
from telephony.records.call_record import CallUpdate
from telephony.records.client import RecordsClient
from telephony.records.database import DatabaseRecords
from telephony.records.outbox import Message, MessageState
from telephony.settings import load_settings
from telephony.web.server import listening
from telephony.webhooks.attempts import Answer, after
from telephony.webhooks.sender import WebhookSender
from tests.support.webhook_receiver import SECRET, Received, data_of, receiver

RECEIVER = Path("docs/outcomes.md").read_text().partition("```python\n# receiver.py")[2].partition("```")[0]
NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)


def in_real_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test on the real clock, with real sockets."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a callback without an event
        await asyncio.sleep(0.01)


def end(client: RecordsClient, key: str, **changes: Any) -> None:
    client.note(key, sid=key, status="completed", announce_s=0.0, **changes)


@asynccontextmanager
async def sending(
    url: str, *, database: str | None = None, secrets: tuple[str, ...] = (SECRET,), **options: Any
) -> AsyncIterator[RecordsClient]:
    records = None if database is None else DatabaseRecords(database)
    async with (
        asyncio.timeout(60),
        RecordsClient(records, sources=SYSTEM) as client,
        WebhookSender(client, url, secrets, sources=SYSTEM, **options),
    ):
        yield client


@in_real_time
async def test_a_receiver_that_verifies_accepts_and_one_changed_byte_is_refused(database_url: str) -> None:
    async with receiver() as here, sending(here.url, database=database_url) as client:
        end(client, "CA1", summary="A table for two.")
        (received,) = await here.until(lambda all: len(all) == 1)
    body = received.verified()
    assert (body["type"], body["data"]["summary"]) == ("call.ended", "A table for two.")
    for at in range(0, len(received.body), 7):
        changed = bytearray(received.body)
        changed[at] ^= 1
        with pytest.raises((WebhookVerificationError, UnicodeDecodeError)):
            Received(received.headers, bytes(changed)).verified()
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        value = received.headers[name]
        other = {**received.headers, name: value[:-1] + ("1" if value[-1] != "1" else "2")}
        with pytest.raises(Exception):  # noqa: B017 - the library raises several kinds
            Received(other, received.body).verified()


@in_real_time
async def test_while_the_secret_changes_both_secrets_verify() -> None:
    new = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs"
    async with receiver() as here, sending(here.url, secrets=(new, SECRET)) as client:
        end(client, "CA1")
        (received,) = await here.until(lambda all: len(all) == 1)
    assert received.verified(SECRET) == received.verified(new)


@pytest.mark.parametrize(
    "answer", [(500, ""), (301, "Location: http://127.0.0.1:9/elsewhere\r\n"), (429, "Retry-After: 0\r\n")]
)
@in_real_time
async def test_a_failed_attempt_is_repeated_with_the_same_id(
    answer: tuple[int, str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telephony.webhooks.attempts._FIRST_S", 0.01)
    answers = iter([answer, answer])
    outcomes: list[str] = []
    async with (
        receiver(lambda received: next(answers, (204, ""))) as here,
        sending(here.url, database=database_url, poll_s=0.05, on_attempt=outcomes.append) as client,
    ):
        end(client, "CA1")
        received = await here.until(lambda all: len(all) == 3)
        assert len({(each.id, each.body) for each in received}) == 1
        await until(lambda: "delivered" in outcomes)
    assert outcomes == ["failed", "failed", "delivered"]


@in_real_time
async def test_a_redirect_is_not_followed() -> None:
    async with receiver() as elsewhere:
        location = f"Location: {elsewhere.url}\r\n"
        async with receiver(lambda received: (307, location)) as here, sending(here.url) as client:
            end(client, "CA1")
            await here.until(lambda all: len(all) == 1)
        assert elsewhere.received == []


@in_real_time
async def test_a_receiver_that_wants_no_more_gets_no_more(database_url: str) -> None:
    outcomes: list[str] = []
    async with (
        receiver(lambda received: (410, "")) as here,
        sending(here.url, database=database_url, on_attempt=outcomes.append, poll_s=0.05) as client,
    ):
        end(client, "CA1")
        await until(lambda: bool(outcomes))
    assert outcomes == ["dead"]


@in_real_time
async def test_processes_share_the_outbox_and_a_message_goes_out_once(database_url: str) -> None:
    async with (
        receiver() as here,
        sending(here.url, database=database_url, poll_s=0.02) as one,
        sending(here.url, database=database_url, poll_s=0.02),
        sending(here.url, database=database_url, poll_s=0.02),
    ):
        for n in range(30):
            end(one, f"CA{n}")
        await here.until(lambda all: len({each.id for each in all}) == 30)
    assert Counter(data_of(each)["id"] for each in here.received) == {f"CA{n}": 1 for n in range(30)}


@in_real_time
async def test_what_is_due_at_the_end_of_the_process_still_goes_out() -> None:
    async with receiver() as here:
        async with sending(here.url) as client:
            end(client, "CA1")
        assert len(here.received) == 1


@in_real_time
async def test_records_without_webhooks_keep_no_messages(database_url: str) -> None:
    async with RecordsClient(DatabaseRecords(database_url)) as client:
        end(client, "CA1")
        assert await client.flush(10)
        assert (await client.outbox(lambda it: it.waiting())).pending == 0


# --- attempts ----------------------------------------------------------------------------------------------------


def message(**changes: Any) -> Message:
    made = Message("msg_1", "CA1", "call.ended", "{}", NOON, NOON, NOON + timedelta(days=1), attempts=1)
    return replace(made, **changes)


def test_the_pauses_grow_with_jitter_up_to_an_hour() -> None:
    pauses = []
    for n in range(1, 12):
        settled = after(message(attempts=n), Answer(500), NOON, Random(n))
        assert (settled.state, settled.error) == (MessageState.PENDING, "HTTP 500")
        pauses.append((settled.due_at - NOON).total_seconds())
    assert 2.5 <= pauses[0] <= 5
    assert all(1800 <= pause <= 3600 for pause in pauses[-3:])
    assert pauses[:6] == sorted(pauses[:6])
    others = {after(message(), Answer(500), NOON, Random(n)).due_at for n in range(5)}
    assert len(others) == 5


def test_retry_after_counts_within_bounds() -> None:
    def pause(seconds: float) -> float:
        return (after(message(), Answer(503, retry_after_s=seconds), NOON, Random(1)).due_at - NOON).total_seconds()

    assert pause(120) == 120
    assert pause(0.1) >= 2.5
    assert pause(1e9) <= 6 * 3600
    assert pause(-5) >= 2.5


def test_after_a_day_a_message_is_dead_and_the_last_attempt_is_at_that_time() -> None:
    almost = NOON + timedelta(days=1, seconds=-1)
    settled = after(message(attempts=30), Answer(error="ConnectError"), almost, Random(1))
    assert (settled.state, settled.due_at) == (MessageState.PENDING, NOON + timedelta(days=1))
    dead = after(settled, Answer(error="ConnectError"), settled.due_at, Random(1))
    assert (dead.state, dead.error) == (MessageState.DEAD, "ConnectError")


# --- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "is_right"),
    [
        ("https://crm.example.com/calls", True),
        ("http://127.0.0.1:9/calls", True),
        ("http://crm:3000/calls", True),
        ("http://10.0.0.7/calls", True),
        ("http://crm.example.com/calls", False),
        ("https://user:password@crm.example.com/", False),
        ("ftp://crm.example.com/", False),
        ("crm.example.com", False),
    ],
)
def test_the_address_of_the_receiver(url: str, is_right: bool) -> None:
    given: dict[str, Any] = {"telephony_webhook_url": url, "telephony_webhook_secret": SECRET}
    if is_right:
        assert load_settings(**given).telephony_webhook_url == url
    else:
        with pytest.raises(SettingsError, match="TELEPHONY_WEBHOOK_URL"):
            load_settings(**given)


@pytest.mark.parametrize("secret", [None, "secret", "whsec_c2hvcnQ=", "whsec_" + "A" * 200])
def test_webhooks_are_not_sent_without_a_good_secret(secret: str | None) -> None:
    given: dict[str, Any] = {"telephony_webhook_url": "https://crm.example.com/", "telephony_webhook_secret": secret}
    with pytest.raises(SettingsError, match="TELEPHONY_WEBHOOK_SECRET"):
        load_settings(**given)


@in_real_time
async def test_the_receiver_of_the_documentation_accepts_and_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    module: dict[str, Any] = {}
    exec(compile("#" + RECEIVER, "receiver.py", "exec"), module)
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    async with listening(module["app"], host="127.0.0.1", port=0) as address:
        outcomes: list[str] = []
        async with sending(f"{address}/calls", on_attempt=outcomes.append) as client:
            end(client, "CA1")
            await until(lambda: bool(outcomes))
        other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs"
        async with sending(f"{address}/calls", secrets=(other,), on_attempt=outcomes.append) as client:
            end(client, "CA2")
            await until(lambda: len(outcomes) == 2)
    assert outcomes == ["delivered", "failed"]
    assert len(module["done"]) == 1


@in_real_time
async def test_a_call_of_a_process_that_has_died_is_announced_as_interrupted_by_another(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("LEASE_S", 1.0), ("RENEW_S", 0.2)):
        monkeypatch.setattr(f"telephony.records.client.{name}", seconds)
    dead = DatabaseRecords(database_url)
    dead.renew("dead", ttl_s=0.1, now=SYSTEM.now())
    begun = {"sid": "CA1", "status": "in-progress", "process": "dead", "caller": "+14155550123"}
    dead.note([CallUpdate("CA1", SYSTEM.now(), True, begun)])
    dead.close()
    async with receiver() as here, sending(here.url, database=database_url, poll_s=0.1):
        (received,) = await here.until(lambda all: len(all) == 1)
    data = received.verified()["data"]
    assert (data["id"], data["status"], data["ending"]) == ("CA1", "interrupted", "interrupted")
    assert data["caller"] == "+14•••••••23", "also before its record is masked"
