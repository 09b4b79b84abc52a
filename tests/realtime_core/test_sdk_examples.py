"""The realtime examples of the OpenAI Agents SDK hold a conversation when only their imports are changed.

Their source is not part of this repository: `AGENTS_SDK_SOURCE` names the folder of a clone of
`openai/openai-agents-python`. Each program runs in a process of its own, against the embedded server on a real
WebSocket.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import textwrap
from pathlib import Path

import pytest

from tests.support import sdk_runs as runs
from tests.support.sdk_runs import RecordingServer, model_at, nothing_failed, running, serve
from tests.support.sip_calls import SECRET, sip_calls

SOURCE = os.environ.get("AGENTS_SDK_SOURCE", "")
pytestmark = [
    pytest.mark.real_time,
    pytest.mark.skipif(not SOURCE, reason="AGENTS_SDK_SOURCE names no clone of openai/openai-agents-python"),
]


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """`examples/realtime` with changed imports."""
    folder = tmp_path / "examples"
    runs.change_imports(Path(SOURCE) / "examples" / "realtime", folder)
    return folder


async def test_the_web_app(examples: Path) -> None:
    async with RecordingServer(runs.APP_SCRIPT) as server:
        env = {**model_at(server), "LOG_LEVEL": "DEBUG"}  # the debug log reads every field of the usage
        async with running(*serve("server:app"), folder=examples / "app", env=env) as program:
            await runs.browse(program)
            await program.until("Realtime cumulative session usage")


async def test_the_desktop_demo(examples: Path) -> None:
    folder = examples / "cli"
    async with (
        RecordingServer(runs.DESKTOP_SCRIPT) as server,
        running("demo.py", folder=folder, env=model_at(server)) as program,
    ):
        await runs.use_the_desktop(program, folder)
    nothing_failed(program)


async def test_the_twilio_server(examples: Path) -> None:
    async with (
        RecordingServer(runs.PHONE_SCRIPT) as server,
        running(*serve("server:app"), folder=examples / "twilio", env=model_at(server) | runs.TWILIO) as program,
    ):
        await runs.call_up(program, server)
        await program.until("Sending audio interrupted to Twilio")
        await program.until("Playback tracker updated")
        # The second line is the one of older versions.
        await program.until("Media stream stopped|Error in Twilio message loop: \\(1000")
    nothing_failed(program, but="Error in Twilio message loop: (1000, '')")


async def test_the_sip_server(examples: Path) -> None:
    async with RecordingServer(runs.SIP_SCRIPT) as server, sip_calls(server) as calls:
        env = {"OPENAI_BASE_URL": calls.base_url, "OPENAI_API_KEY": "sk-local", "OPENAI_WEBHOOK_SECRET": SECRET}
        async with running(*serve("twilio_sip.server:app"), folder=examples, env=env) as program:
            call = await runs.call_by_sip(calls, f"http://127.0.0.1:{await program.port()}/openai/webhook")
            await program.until(f"Call {call.call_id} ended")
    nothing_failed(program)


async def test_the_quickstart_of_the_documentation(tmp_path: Path) -> None:
    """The code blocks of the page, one after the other, are a program."""
    page = (Path(SOURCE) / "docs" / "realtime" / "quickstart.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    program_text = "".join(blocks[: next(i for i, code in enumerate(blocks) if "__main__" in code) + 1])
    (tmp_path / "quickstart.py").write_text(runs.change_import(program_text))
    script = '[[turn]]\ntext = "say hello"\nsay = "Hello to you."'
    async with (
        RecordingServer(script) as server,
        running("quickstart.py", folder=tmp_path, env=model_at(server)) as program,
    ):
        await program.process.wait()
    assert program.process.returncode == 0, program.lines
    assert server.transcripts() == ["Hello to you."]
    assert any("Say hello in one short sentence." in line for line in program.lines)
    nothing_failed(program)


@pytest.mark.parametrize("page", ["realtime/quickstart", "realtime/guide", "realtime/transport", "testing"])
def test_what_the_documentation_imports_is_there(page: str) -> None:
    """Each import of the realtime package, and of names that are used with it, in the code of a page."""
    text = (Path(SOURCE) / "docs" / f"{page}.md").read_text()
    imports: list[ast.ImportFrom] = []
    for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        code = ast.parse(runs.change_import(textwrap.dedent(block)), type_comments=False)
        found = [node for node in ast.walk(code) if isinstance(node, ast.ImportFrom)]
        if "agents.realtime" in block:
            imports += [node for node in found if (node.module or "").startswith("realtime_core")]
    assert imports
    for node in imports:
        module = importlib.import_module(node.module or "")
        for alias in node.names:
            assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
