"""A command of a supervisor that fails or is cancelled gives the call back to the agent: the line is never silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from telephony.call.call import Call
from telephony.call.supervision import Supervision, TakeOver
from telephony.errors import CallError
from telephony.simulator import Handset
from tests.support.take_overs import out, records, run

Work = Callable[..., Awaitable[Any]]


async def fails(*args: Any, **given: Any) -> None:
    raise ValueError("a model of the application has a defect")


async def hangs(*args: Any, **given: Any) -> None:
    await asyncio.get_running_loop().create_future()


def inside(call: Call) -> Supervision:
    """The supervision of a call with its parts."""
    assert isinstance(call.supervision, Supervision)
    return call.supervision


@pytest.mark.parametrize("does", [fails, hangs])
@pytest.mark.parametrize("command", ["take_over", "hand_back"])
def test_a_take_over_that_fails_or_is_cancelled_leaves_the_call_to_the_agent(
    tmp_path: Path, command: str, does: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(0.5)
        session = inside(call)._conversation.session
        if command == "hand_back":
            await call.supervision.take_over()
        with monkeypatch.context() as broken:
            broken.setattr(session, "send_message" if command == "hand_back" else "pause_responses", does)
            work = call.supervision.hand_back() if command == "hand_back" else call.supervision.take_over()
            task = asyncio.ensure_future(work)
            await asyncio.sleep(0.1)
            task.cancel()
            with suppress(asyncio.CancelledError, ValueError):
                await task
        assert inside(call).state is TakeOver.NONE
        await call.supervision.take_over()
        await call.supervision.hand_back()
        await phone.agent_speaks()

    run(tmp_path, story)


def test_the_interrupted_agent_learns_that_a_supervisors_transfer_is_not_possible(tmp_path: Path) -> None:
    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(0.5)
        inside(call)._transfers._control = None
        with pytest.raises(CallError, match="A warm transfer needs"):
            await call.supervision.transfer("kitchen", "+14155550199", warm=True)
        await asyncio.sleep(3.0)

    run(tmp_path, story)
    note, answer = out(records(tmp_path), "conversation.item.create", "response.create")[-2:]
    assert "still with you" in note["message"]["item"]["content"][0]["text"]
    assert answer["message"]["type"] == "response.create"


def test_a_second_transfer_is_refused_and_does_not_cut_the_agent(tmp_path: Path) -> None:
    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(0.5)
        first = asyncio.ensure_future(inside(call)._transfers.transfer("kitchen", "+14155550199", warm=False))
        await asyncio.sleep(0)
        with pytest.raises(CallError, match="already"):
            await call.supervision.transfer("kitchen", "+14155550199", warm=False)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first

    run(tmp_path, story)
    assert not [each for each in records(tmp_path) if each["kind"] == "interruption"]
