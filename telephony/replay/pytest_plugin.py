"""The pytest plugin: recorded calls as tests. Installed with the package, without configuration.

```python
def test_booking(replay):
    call = replay("booking", agent="desk:agent")      # calls/booking.jsonl.gz beside the test
    call.assert_same()
    assert call.tool("book_table").arguments == {"day": "Friday", "people": 2}

def test_booking_over_a_bad_line(replay):
    line = dict(round_trip_ms=180, jitter_ms=50, stall_ms=300, seed=7)
    call = replay("booking", agent="desk:agent", caller="simulated", **line)
    assert call.goodbye_heard
```

The options are the options of `telephony.replay.replaying.replay_call`, with the faults of
`telephony.replay.perturbation.Perturbations`. The network is blocked during a replay, except with a live model.
`call.assert_same()` and `assert call.divergence is None` check the same condition. If a test fails, the report about
each replay that differs is shown once, with both calls side by side. `--update-calls` shows how a call diverges and
writes today's behaviour into the recording. `--call-pages DIR` writes a page about each replay, and an index of them.
At the end of the run, pytest's summary lists the changes since the recordings that a replay cannot judge, for example
new instructions of an agent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .call import ReplayedCall

__all__ = ["replay"]

_REPLAYS = pytest.StashKey[list["ReplayedCall"]]()
_RESULTS = "telephony_replays"
"""The attribute of a test report that has the data of its replays. The attribute is also sent to the main process of
pytest-xdist.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("telephony", "recorded calls")
    group.addoption("--update-calls", action="store_true", help="write today's behaviour into recordings that diverge")
    group.addoption(
        "--call-pages", metavar="DIR", type=Path, help="write an HTML page about each replayed call, and an index"
    )


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> Callable[..., ReplayedCall]:
    """Returns a function that replays a recording: `replay(name, ...)`. The recording is searched for in the folder of
    the test and in the folders above. The docstring of this module describes the other arguments.
    """
    beside = request.path.parent
    for folder in (str(beside), str(request.config.rootpath)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    replays = request.node.stash.setdefault(_REPLAYS, [])

    def replay(name: str, agent: Any = None, **options: Any) -> ReplayedCall:
        from ..settings import read_settings
        from .no_network import no_network
        from .recording_files import find
        from .replaying import replay_call

        path = find(name, beside)
        if isinstance(agent, str):
            from ..import_strings import load_agent

            agent = load_agent(agent)
        options.setdefault("model_settings", read_settings().model_settings)
        with no_network(unless=options.get("model") == "live"):
            call = replay_call(path, agent, **options)
        replays.append(call)
        _update(request.config, path, call)
        return call

    return replay


def _update(config: pytest.Config, path: Path, call: ReplayedCall) -> None:
    if config.getoption("--update-calls") and call.mode == "recorded" and call.divergence is not None:
        from .recording_files import renew
        from .report import text_of

        if call.divergence.kind == "schema":
            _say(config, f"\n{path} is not renewed: {call.divergence.sentence} Record a new call.")
            return
        renew(path, call)
        _say(config, f"\n{text_of(call)}\nThe recording {path} is renewed.")
        call.comparison.divergences.clear()


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    """Shortens pytest's message for a failed `assert call.divergence is None`: returns one sentence that says how the
    replay differs from the recording, and a reference to the report in the test's output. Returns None for every other
    assertion.
    """
    from .compare import Divergence

    if op == "is" and right is None and isinstance(left, Divergence):
        return [left.sentence, "The report about the replay is below."]
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call" and (replays := item.stash.get(_REPLAYS, [])):
        from .call import CallDiffers
        from .report import data_of, text_of

        shown = str(call.excinfo.value) if call.excinfo is not None and call.excinfo.errisinstance(CallDiffers) else ""
        for replayed in replays:
            text = text_of(replayed)
            if report.failed and replayed.divergence is not None and text != shown:
                report.sections.append((f"Replay of {replayed.name}", text))
        pages = _pages(item, replays)
        results = [
            {"title": item.name, "page": page, **data_of(each)} for each, page in zip(replays, pages, strict=True)
        ]
        setattr(report, _RESULTS, results)
    return report


def _pages(item: pytest.Item, replays: list[ReplayedCall]) -> list[str]:
    """Writes the pages about these replays if `--call-pages` is set. Returns the names of the files."""
    folder: Path | None = item.config.getoption("--call-pages")
    if folder is None:
        return [""] * len(replays)
    from .batch import write_page

    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in item.name)
    names = [f"{safe}{f'-{n}' if n > 1 else ''}.html" for n in range(1, len(replays) + 1)]
    for name, call in zip(names, replays, strict=True):
        write_page(call, folder / name, folder)
    return names


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Prints what changed since the recordings, and writes the index of the HTML pages about replays."""
    results = [
        result
        for reports in terminalreporter.stats.values()
        for report in reports
        for result in getattr(report, _RESULTS, ())
    ]
    if not results:
        return
    from .batch import summary_text

    judged = [result for result in results if result["mode"] in ("recorded", "simulated")]
    if any(result["changes"] for result in judged):
        terminalreporter.section("recorded calls")
        terminalreporter.write_line(summary_text(judged))
    folder: Path | None = config.getoption("--call-pages")
    if folder is not None:
        from .page import index_of

        (folder / "index.html").write_text(index_of(results, summary_text(results)), encoding="utf-8")
        terminalreporter.write_line(f"Pages about the calls: {folder / 'index.html'}")


def _say(config: pytest.Config, text: str) -> None:
    """Writes to the terminal, even while output is captured."""
    reporter, capture = (config.pluginmanager.get_plugin(name) for name in ("terminalreporter", "capturemanager"))
    if reporter is not None and capture is not None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(text)
