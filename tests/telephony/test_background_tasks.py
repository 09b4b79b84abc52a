"""The tasks that run as long as the server: one that fails does not end the server."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest

from realtime_core import RealtimeAgent
from telephony import create_app, load_settings
from telephony.web import background
from telephony.web.loop_lag import LoopLag

pytestmark = pytest.mark.virtual_time


async def test_a_task_that_fails_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    begun = []

    async def work() -> None:
        begun.append(asyncio.get_running_loop().time())
        if len(begun) < 3:
            raise OSError("no space left on device")

    await background.keep_running("journals", work)
    assert [later - begun[0] for later in begun] == [0, 60, 120]
    assert caplog.text.count("The background task 'journals' failed") == 2
    assert "no space left on device" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_server_goes_on_when_one_of_its_tasks_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = []

    async def fails(self: LoopLag) -> NoReturn:
        begun.append(self)
        raise RuntimeError("a fault in a task")

    monkeypatch.setattr(LoopLag, "watch", fails)
    app = create_app(RealtimeAgent(name="Desk"), settings=load_settings(env_file=None))
    async with app.router.lifespan_context(app):
        await asyncio.sleep(150)
        assert app.state.phone.ready
        assert len(begun) == 3
    assert "a fault in a task" in caplog.text
