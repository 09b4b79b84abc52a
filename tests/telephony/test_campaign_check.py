"""The check before dialing: a function or a URL says whether the call is still wanted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from telephony.campaigns.contact import Contact
from telephony.campaigns.dial_check import check_of
from telephony.campaigns.runner import Check
from telephony.errors import CampaignError
from telephony.web.server import listening

pytestmark = pytest.mark.real_time
ADA = Contact("ada", "+14155550123", data={"visit": 17})


async def later(contact: Contact) -> bool:
    await asyncio.sleep(0)
    return contact.id == "ada"


def made(function: Any) -> Check:
    check = check_of("mine:check", lambda name: function)
    assert check is not None
    return check


@pytest.mark.parametrize(
    ("function", "wanted"), [(lambda it: it.data["visit"] == 17, True), (lambda it: False, False), (later, True)]
)
async def test_a_function_says_whether_the_call_is_wanted(function: Any, wanted: bool) -> None:
    assert await made(function)(ADA) is wanted


@pytest.mark.parametrize("answer", [None, 1, "yes", [], object()])
async def test_another_answer_of_a_function_is_unknown(answer: Any) -> None:
    with pytest.raises(CampaignError, match="return True or False"):
        await made(lambda it: answer)(ADA)


@pytest.mark.parametrize(
    ("check", "message"),
    [("mine:check", "not a function"), ("http://crm.example.com/x", "https"), ("ftp://crm.example.com", "receiver")],
)
def test_an_unusable_check_before_dialing_is_refused(check: str, message: str) -> None:
    with pytest.raises(CampaignError, match=message):
        check_of(check, lambda name: 5)


def test_a_campaign_may_have_no_check() -> None:
    assert check_of(None, lambda name: 5) is None


@asynccontextmanager
async def receiver(status: int, body: str) -> AsyncIterator[tuple[str, list[Any]]]:
    got: list[Any] = []

    async def answer(request: Request) -> Response:
        got.append(json.loads(await request.body()))
        return Response(body, status_code=status)

    app = Starlette(routes=[Route("/wanted", answer, methods=["POST"])])
    async with listening(app, host="127.0.0.1", port=0) as address:
        yield f"{address}/wanted", got


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_url_says_whether_the_call_is_wanted(wanted: bool) -> None:
    async with receiver(200, json.dumps({"wanted": wanted})) as (url, got):
        check = check_of(url, lambda name: None)
        assert check is not None
        assert await check(ADA) is wanted
    assert got == [{"id": "ada", "number": "+14155550123", "data": {"visit": 17}}]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, '{"wanted": true}'),
        (302, '{"wanted": true}'),
        (200, "yes"),
        (200, '{"wanted": "yes"}'),
        (200, "[]"),
        (200, ""),
    ],
)
async def test_another_answer_of_a_url_is_unknown(status: int, body: str) -> None:
    async with receiver(status, body) as (url, _):
        check = check_of(url, lambda name: None)
        assert check is not None
        with pytest.raises(CampaignError, match="the check"):
            await check(ADA)


async def test_a_url_that_nobody_serves_is_unknown() -> None:
    async with receiver(200, "") as (url, _):
        pass
    check = check_of(url, lambda name: None)
    assert check is not None
    with pytest.raises(CampaignError, match="no usable answer"):
        await check(ADA)
