"""`import realtime_core` costs next to nothing, and an agent can be declared without the heavy libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

HEAVY = ("numpy", "websockets", "pydantic", "orjson", "ssl")


def measured(code: str) -> dict[str, Any]:
    """CPU seconds of a piece of code (best of three, each in a process of its own), and the heavy modules it loads."""
    program = (
        "import json, sys, time\nbefore = time.process_time()\n"
        f"{code}\n"
        "cost = time.process_time() - before\n"
        f"print(json.dumps({{'cpu_s': cost, 'heavy': [m for m in {HEAVY!r} if m in sys.modules]}}))"
    )
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    return min(runs, key=lambda run: float(run["cpu_s"]))


def test_the_package() -> None:
    cost = measured("import realtime_core")
    assert cost["heavy"] == []


def test_an_agent_and_a_runner() -> None:
    code = "from realtime_core import RealtimeAgent, RealtimeRunner\nRealtimeRunner(RealtimeAgent(name='A'))"
    cost = measured(code)
    assert [module for module in cost["heavy"] if module != "ssl"] == []  # asyncio imports ssl


MODEL = "import realtime_core.openai_realtime.model, realtime_core.connection.websocket"


def test_with_the_model() -> None:
    assert "numpy" not in measured(MODEL)["heavy"]


@pytest.mark.proof
def test_the_cost_of_the_model() -> None:
    """The WebSocket model costs at most 1.3 times what numpy and the WebSocket library cost by themselves."""
    libraries, model = measured("import numpy, websockets.client"), measured(MODEL)
    assert model["cpu_s"] <= 1.3 * libraries["cpu_s"], (model, libraries)
