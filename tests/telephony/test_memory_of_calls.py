"""The server frees the memory of calls that have ended, soon after their end."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast
from weakref import ref

import pytest
from starlette.applications import Starlette

from telephony.call.call import Call
from telephony.call.registry import Registry
from telephony.web.server import _DrainingServer, server_config

pytestmark = pytest.mark.virtual_time


class Part:
    """A part of a call that refers to another part, which refers to this one."""

    def __init__(self) -> None:
        self.other = self


@pytest.fixture(autouse=True)
def _python_collects_nothing() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def test_the_memory_of_ended_calls_is_freed_after_ten_calls() -> None:
    registry = Registry(100)
    app = Starlette()
    app.state.phone = SimpleNamespace(registry=registry)
    server = _DrainingServer(server_config(app))
    server.application = app
    for _ in range(3):
        part = ref(Part())
        for number in range(10):
            assert part() is not None, number
            call = cast(Call, cast(Any, object()))
            registry.add(call)
            await server.on_tick(1)
            registry.remove(call)
            registry.remove(call)  # a second time, which counts once
            if number < 9:
                await server.on_tick(1)
        await server.on_tick(1)
        assert part() is None
