"""Reasons of a call's end: their texts, and that the first one counts."""

from __future__ import annotations

import asyncio

import pytest

from telephony.call.ending import Ending, EndReason, Release
from telephony.call.lifetime import Lifetime


@pytest.mark.parametrize("reason", EndReason)
def test_the_text_of_a_reason_is_read_back(reason: EndReason) -> None:
    assert Ending.parse(str(Ending(reason))) == Ending(reason)


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (Ending(EndReason.FAILED, "no answer: 503"), "failed: no answer: 503"),
        (Ending(EndReason.REFUSED, "no room"), "refused: no room"),
        (Ending(EndReason.TRANSFERRED, "kitchen"), "transferred to kitchen"),
    ],
)
def test_a_detail_follows_its_reason(ending: Ending, text: str) -> None:
    assert str(ending) == text
    assert Ending.parse(text) == ending


@pytest.mark.parametrize("text", ["", "goodbye", "failed by hand", "transferred", "hung up: twice"])
def test_other_texts_are_no_endings(text: str) -> None:
    assert Ending.parse(text) is None


@pytest.mark.virtual_time
async def test_the_first_end_counts_and_ends_the_tasks() -> None:
    ends: list[str] = []
    lifetime = Lifetime(lambda: ends.append(lifetime.reason))
    cancelled: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(number)

    async with lifetime.tasks():
        for number in range(20):
            lifetime.start(work(number))
        await asyncio.sleep(0)
        lifetime.end(EndReason.SILENCE, release=Release.CLOSE)
        lifetime.end(EndReason.HUNG_UP)
        lifetime.start(work(99))
        await lifetime.wait()
        lifetime.cancel()
    assert ends == ["silence"] and lifetime.release is Release.CLOSE
    assert cancelled == list(range(20)), "in the order in which they began"
