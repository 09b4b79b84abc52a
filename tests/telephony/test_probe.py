"""`telephony probe` succeeds only if the agent is heard and answers the caller's words."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.local import LocalRealtimeServer, Reply, Script, Trouble, Turn
from telephony import CallPolicy, create_app
from telephony.demo.environment import child_environment
from telephony.settings import Settings
from telephony.simulator.probe import ProbeResult, probe, write_metrics
from telephony.web.server import listening
from tests.support import commands
from tests.support.environment import ANY_LOAD

TOKEN, ACCOUNT = "a-token", "AC" + "0" * 32
GREETS = Script(greeting=Reply(say="Hello."), otherwise=Reply(say="Yes, we are open."))


@asynccontextmanager
async def served(script: Script = GREETS, *, policy: CallPolicy | None = None, **settings: Any) -> AsyncIterator[str]:
    async with LocalRealtimeServer(script) as model:
        app = create_app(
            RealtimeAgent(name="Desk"),
            greeting="Greet.",
            policy=policy,
            settings=Settings(openai_api_key=SecretStr("none"), **settings),
            model_config=RealtimeModelConfig(**model.model_config),
        )
        async with listening(app, host="127.0.0.1", port=0) as address:
            yield f"{address}/incoming-call"


def run(url_of: Any, **options: Any) -> ProbeResult:
    async def main() -> ProbeResult:
        async with url_of as url:
            return await probe(url, **options)

    return asyncio.run(main())


def test_an_agent_that_greets_and_answers_is_heard() -> None:
    result = run(served())
    assert result.succeeded, result.error
    assert result.first_word_s is not None and 0 < result.first_word_s < 8
    assert result.response_s is not None and 0 < result.response_s < 30


def test_a_server_that_checks_signatures_takes_the_probe_as_twilio() -> None:
    public = "https://phone.example.com"
    settings: dict[str, Any] = {"twilio_auth_token": TOKEN, "twilio_account_sid": ACCOUNT, "public_url": public}
    right: dict[str, Any] = {"auth_token": TOKEN, "account_sid": ACCOUNT, "public_url": public}
    assert run(served(**settings), **right).succeeded
    wrong = run(served(**settings), **{**right, "auth_token": "another"})
    assert not wrong.answered and "403" in wrong.error


def test_an_agent_that_greets_and_then_says_nothing_is_a_failure() -> None:
    silent = Script(
        greeting=Reply(say="Hello."), turns=[Turn(Reply(say="Yes.", trouble=Trouble("stall", stall_s=300.0)))]
    )
    result = run(served(silent, policy=CallPolicy(answer_line_s=None)), within_s=6.0)
    assert result.answered and not result.succeeded
    assert result.error


def test_a_server_that_is_not_there_is_a_failure() -> None:
    result = asyncio.run(probe("http://127.0.0.1:9/incoming-call", within_s=5.0))
    assert (result.answered, result.succeeded) == (False, False)
    assert result.error


@pytest.mark.parametrize("result", [ProbeResult(0.5, 1.25), ProbeResult(error="nothing")], ids=["heard", "failed"])
def test_the_metrics_are_in_the_format_of_prometheus(result: ProbeResult, tmp_path: Path) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    file = tmp_path / "probe.prom"
    write_metrics(result, file, now=1_800_000_000.0)
    values = {each.name: each.samples[0].value for each in text_string_to_metric_families(file.read_text())}
    assert values["telephony_probe_success"] == float(result.succeeded)
    assert values["telephony_probe_timestamp_seconds"] == 1_800_000_000
    assert ("telephony_probe_response_seconds" in values) is result.succeeded
    assert [each.name for each in tmp_path.iterdir()] == ["probe.prom"]


def test_the_exit_code_of_probe_says_whether_the_call_was_answered(tmp_path: Path) -> None:
    def command(url: str) -> subprocess.CompletedProcess[str]:
        arguments = [url, "--json", "--within", "20", "--metrics", str(tmp_path / "probe.prom")]
        return commands.run("-m", "telephony", "probe", *arguments, env=child_environment(os.environ, ANY_LOAD))

    async def main() -> subprocess.CompletedProcess[str]:
        async with served() as url:
            return await asyncio.to_thread(command, url)

    heard = asyncio.run(main())
    assert heard.returncode == 0, heard.stderr
    assert json.loads(heard.stdout)["succeeded"]
    failed = command("http://127.0.0.1:9/incoming-call")
    assert failed.returncode == 1
    assert not json.loads(failed.stdout)["succeeded"]
    assert re.search(r"^telephony_probe_success 0\.000$", (tmp_path / "probe.prom").read_text(), re.MULTILINE)
