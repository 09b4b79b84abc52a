"""The tests come out the same whatever keys and settings lie in the environment."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

from tests.support import commands
from tests.support.databases import create_schemas_quickly, wait_for_slow_databases
from tests.support.environment import ANY_LOAD
from tests.support.logging_state import LoggingState

PROOF = bool(os.environ.get("PROOF"))
"""`make proof` explores: each run tries other examples, from a seed that pytest prints, and keeps those that fail."""

# A busy machine breaks deadlines.
settings.register_profile("test", deadline=None, derandomize=True, max_examples=40, print_blob=True)
settings.register_profile("proof", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("proof" if PROOF else "test")
if not PROOF:
    # Hypothesis also tries constants that it finds in the modules of ours that are imported by then. So its examples
    # would depend on the tests that ran before, and each worker would parse all modules. There is no setting for this.
    providers.is_local_module_file = lambda path: False  # type: ignore[attr-defined, assignment]

BY_THE_CLOCK = {
    "console": {
        "test_console_many.py",
        "test_console_pages.py",
        "test_console_sockets.py",
    },
    "sound": {
        "test_demo.py",
        "test_journal_survives.py",
        "test_probe.py",
        "test_sdk_examples.py",
        "test_sdk_programs.py",
        "test_softphone.py",
        "test_softphone_mounted.py",
        "test_softphone_twiml.py",
    },
    "processes": {
        "test_campaign_run.py",
        "test_cli_call.py",
        "test_deploy.py",
        "test_drain.py",
        "test_number.py",
        "test_records_survive.py",
        "test_servers.py",
        "test_webhook_kill.py",
        "test_webhook_of_a_call.py",
    },
}
"""Files of tests that take real time and little of the processor: browsers and processes that hear, speak and are
killed. The tests of one group run one after the other."""

MADE_ONCE = {
    "recorded calls": {"test_honest_replay.py"},
    "a call with secret parts": {"test_secret_parts.py"},
    "a new project": {"test_new_project.py"},
    "the Agents SDK": {"test_sdk_difference.py", "test_sdk_objects.py", "test_sdk_surface.py"},
}
"""Files of tests that share what takes seconds to make or to import. The tests of one group run in one worker."""

WORKERS_PER_CORE = 2
"""Half of the tests' time is waiting."""

wait_for_slow_databases()
create_schemas_quickly()

LOGGING = LoggingState()
OURS = ("OPENAI_", "TWILIO_", "TELEPHONY_")
SETTINGS = {"PUBLIC_URL", "DATABASE_URL", "HOST", "PORT", "LOG_LEVEL", "LOG_FORMAT"}

for name in [name for name in os.environ if name.startswith(OURS) or name in SETTINGS]:
    del os.environ[name]
os.environ.update(ANY_LOAD)
if Path(".env").exists():  # of a developer
    os.environ["TELEPHONY_ENV_FILE"] = "off"
os.environ["TELEPHONY_DATA_DIR"] = "off"  # a test that wants records on the disk says where

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:  # as a shell starts jobs with `&`; the processes of tests inherit it
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def same_logging() -> Iterator[None]:
    """The configuration of logging is the same for every test. A test, or the code that it runs, may change it."""
    yield
    LOGGING.restore()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the modules and the list of tests out of each later garbage collection. They live until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests that go by the clock. Leaves out those with the mark `proof`, except in `make proof`."""
    files = {file for group in BY_THE_CLOCK.values() for file in group}
    for item in items:
        if item.path.name in files:
            item.add_marker(pytest.mark.by_the_clock)
    if PROOF:
        return
    left_out = [item for item in items if item.get_closest_marker("proof") is not None]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):  # a whole run starts commands in each worker, at an unknown moment
        commands.begin()


def pytest_unconfigure() -> None:
    commands.end()


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Returns the workers of `pytest -n auto`. None means that the variable says how many."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return WORKERS_PER_CORE * (len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Sends each test to a worker that is free. The groups that go by the clock are the largest, and so begin first.

    The mark `xdist_group` has no effect with xdist 3.8 under pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0].rpartition("/")[2]
            groups = BY_THE_CLOCK | MADE_ONCE
            return next((group for group, files in groups.items() if file in files), nodeid)

    return Scheduling(config, log)
