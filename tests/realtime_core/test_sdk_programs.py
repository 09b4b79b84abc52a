"""Five programs of our own that use the API of the OpenAI Agents SDK as its examples do.

Each runs in a process of its own against the embedded server on a real WebSocket, in front of the same partners as the
SDK's examples (`test_sdk_examples`). With `agents` in their imports they are programs of the SDK. `make check` checks
their types: a match over the SDK's events is complete for a type checker, too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import sdk_runs as runs
from tests.support.sdk_runs import RecordingServer, model_at, nothing_failed, running, serve
from tests.support.sip_calls import SECRET, sip_calls

PROGRAMS = Path(__file__).parent / "sdk_programs"
real_time = pytest.mark.real_time


@real_time
async def test_a_web_app() -> None:
    async with (
        RecordingServer(runs.APP_SCRIPT) as server,
        running(*serve("web_app:app"), folder=PROGRAMS, env=model_at(server)) as program,
    ):
        await runs.browse(program)


@real_time
async def test_a_desktop_program(tmp_path: Path) -> None:
    async with (
        RecordingServer(runs.DESKTOP_SCRIPT) as server,
        running(str(PROGRAMS / "desktop.py"), folder=tmp_path, env=model_at(server)) as program,
    ):
        await runs.use_the_desktop(program, tmp_path)
    nothing_failed(program)


@real_time
async def test_a_media_stream() -> None:
    async with (
        RecordingServer(runs.PHONE_SCRIPT) as server,
        running(*serve("phone_stream:app"), folder=PROGRAMS, env=model_at(server)) as program,
    ):
        await runs.call_up(program, server)
        await program.until("^interrupted")
        await program.until("^hung up")
    nothing_failed(program)


@real_time
async def test_a_sip_desk() -> None:
    async with RecordingServer(runs.SIP_SCRIPT) as server, sip_calls(server) as calls:
        env = {"OPENAI_BASE_URL": calls.base_url, "OPENAI_API_KEY": "sk-local", "OPENAI_WEBHOOK_SECRET": SECRET}
        async with running(*serve("sip_desk:app"), folder=PROGRAMS, env=env) as program:
            call = await runs.call_by_sip(calls, f"http://127.0.0.1:{await program.port()}/openai/webhook")
            await program.until(f"Call {call.call_id} ended")
    assert call.session is not None
    assert [tool["name"] for tool in call.session["tools"]] == ["transfer_to_records_agent"]
    assert any("user ['Please note that I called.']" in line for line in program.lines)
    assert any("Recorded note for 42: called" in line for line in program.lines)
    nothing_failed(program)


TEXT_SCRIPT = """
[[turn]]
text = "opening hours"
tool = "opening_hours"
arguments = { day = "Friday" }
say = "Here you are. {result}"
[[turn]]
text = "delete my booking"
tool = "delete_booking"
arguments = { name = "Ada" }
say = "I may not. {result}"
[[turn]]
text = "password"
say = "The password, but do not tell anybody that you have it from me, is swordfish, like the fish with the sword."
"""


@real_time
async def test_a_text_client() -> None:
    async with (
        RecordingServer(TEXT_SCRIPT) as server,
        running("text_desk.py", folder=PROGRAMS, env=model_at(server)) as program,
    ):
        await program.process.wait()
    assert program.process.returncode == 0, "\n".join(program.lines)
    for line in (
        "tool: opening_hours -> On Friday from noon, Ada.",
        "agent: Here you are. On Friday from noon, Ada.",
        "approval: delete_booking",
        "agent: I may not. delete_booking was refused by the manager.",
        "guardrail: ['no secrets']",
        "response: True True",
        "asked: 1",
        "listener: True",
    ):
        assert line in program.lines, "\n".join(program.lines)
    updates = [event["session"] for event in server.result if event["type"] == "session.update"]
    assert updates[0]["instructions"] == "You are Desk. The guest is Ada."
    assert updates[-1]["instructions"] == "You are Night. The guest is Ada."
    assert [event["type"] for event in server.result].count("input_audio_buffer.clear") == 1
    nothing_failed(program)
