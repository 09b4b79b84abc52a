"""The pytest plugin: recorded calls as tests. Installed with the package, without configuration.

```python
def test_booking(replay):
    call = replay("booking", agent="desk:agent")      # calls/booking.jsonl.gz beside the test
    assert call.divergence is None, call.divergence
    assert call.tool("book_table").arguments == {"day": "Friday", "people": 2}

def test_booking_over_a_bad_line(replay):
    line = dict(round_trip_ms=180, jitter_ms=50, stall_ms=300, seed=7)
    call = replay("booking", agent="desk:agent", caller="simulated", **line)
    assert call.goodbye_heard
```

The options are those of `telephony.replay.replaying.replay_call`, with the faults of
`telephony.replay.perturbation.Perturbations`. The network is blocked during a replay, except with a live model.
`--update-calls` shows how a call diverges and writes today's behaviour into the recording. `--call-pages DIR` writes a
page about each replay.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .call import ReplayedCall

__all__ = ["replay"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("telephony", "recorded calls")
    group.addoption("--update-calls", action="store_true", help="write today's behaviour into recordings that diverge")
    group.addoption("--call-pages", metavar="DIR", type=Path, help="write an HTML page about each replayed call")


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> Callable[..., ReplayedCall]:
    """Replays a recording in the folder of the test, or above. See the module."""
    beside = request.path.parent
    for folder in (str(beside), str(request.config.rootpath)):
        if folder not in sys.path:
            sys.path.insert(0, folder)

    def replay(name: str, agent: Any = None, **options: Any) -> ReplayedCall:
        from .no_network import no_network
        from .recording_files import find
        from .replaying import replay_call

        path = find(name, beside)
        if isinstance(agent, str):
            from ..cli.load import load_agent

            agent = load_agent(agent)
        with no_network(unless=options.get("model") == "live"):
            call = replay_call(path, agent, **options)
        _after(request, path, call)
        return call

    return replay


def _after(request: pytest.FixtureRequest, path: Path, call: ReplayedCall) -> None:
    config = request.config
    if (folder := config.getoption("--call-pages")) is not None:
        from .page import page_of

        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{request.node.name}.html").write_text(page_of([call]), encoding="utf-8")
    if config.getoption("--update-calls") and call.mode == "recorded" and call.divergence is not None:
        from .recording_files import renew
        from .report import text_of

        renew(path, call)
        _say(config, f"\n{text_of(call)}\nThe recording {path} is renewed.")
        call.comparison.divergences.clear()


def _say(config: pytest.Config, text: str) -> None:
    """Write to the terminal, also while output is captured."""
    reporter, capture = (config.pluginmanager.get_plugin(name) for name in ("terminalreporter", "capturemanager"))
    if reporter is not None and capture is not None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(text)
