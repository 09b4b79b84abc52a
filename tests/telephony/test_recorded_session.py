"""Users' code gets the whole session of a call, with its commands recorded."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from realtime_core import RealtimeSession
from realtime_core.model import RealtimeModelListener
from telephony.call.recording.recorded_commands import RecordedCommands
from telephony.call.recording.recorded_session import RecordedSession

MODEL_SIDE = {name for name in vars(RealtimeModelListener) if not name.startswith("_")}
"""The model calls these on the session itself."""
INHERITED = {"enter"}
"""`enter` calls `__aenter__`."""
MEMBERS = sorted({n for n in vars(RealtimeSession) if not n.startswith("_")} - MODEL_SIDE - INHERITED)


@pytest.mark.parametrize("name", [*MEMBERS, "__aenter__", "__aiter__", "__anext__"])
def test_every_public_member_of_a_session_is_forwarded_with_its_signature(name: str) -> None:
    ours, its = inspect.getattr_static(RecordedSession, name), inspect.getattr_static(RealtimeSession, name)
    assert ours is not its, "an inherited member would use state that the view does not have"
    if callable(its):
        assert inspect.signature(ours) == inspect.signature(its)
        assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(its)


class Records:
    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def write(self, kind: str, **fields: Any) -> None:
        self.all.append((kind, fields))


class Session:
    """In place of a session: takes its commands."""

    received: Any

    async def request_response(self, instructions: str | None = None, **options: Any) -> None:
        self.received = instructions, options

    async def send_audio(self, audio: bytes, *, commit: bool = False) -> None:
        self.received = audio, {"commit": commit}


@pytest.mark.virtual_time
async def test_a_command_is_recorded_with_the_arguments_that_were_passed() -> None:
    session, records = Session(), Records()
    view = RecordedSession(session, RecordedCommands(records))  # type: ignore[arg-type]
    await view.request_response("Say hello.", metadata={"topic": "none"})
    assert session.received == ("Say hello.", {"metadata": {"topic": "none"}})
    await view.request_response()
    await view.send_audio(b"", commit=True)
    assert [(kind, fields) for kind, fields in records.all if kind == "control"] == [
        ("control", {"id": 1, "action": "session.request_response",
                     "instructions": "Say hello.", "metadata": {"topic": "none"}}),
        ("control", {"id": 2, "action": "session.request_response"}),
    ]  # fmt: skip
