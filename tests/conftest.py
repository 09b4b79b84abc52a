"""The tests come out the same whatever keys and settings lie in the environment."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from _pytest.assertion import rewrite
from hypothesis import settings
from hypothesis.internal.conjecture import providers

from tests.support import commands, shared_browser
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
    "sound and pages": {
        "test_campaign_page.py",
        "test_console_many.py",
        "test_console_pages.py",
        "test_console_processes.py",
        "test_console_sockets.py",
        "test_console_take_over_page.py",
        "test_demo.py",
        "test_journal_survives.py",
        "test_probe.py",
        "test_report_pages.py",
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
        "test_sdk_examples.py",
        "test_sdk_programs.py",
        "test_servers.py",
        "test_webhook_kill.py",
        "test_webhook_of_a_call.py",
    },
}
"""Files of tests that take real time and little of the processor: browsers and processes that hear, speak and are
killed. The tests of one group run one after the other. On each core, one worker can wait in such a group while the
other one computes, so two cores need two groups. One group has all files with pages, because each worker that needs a
browser starts one.
"""

MADE_ONCE = {
    "recorded calls": {
        "test_limits_of_replay.py",
        "test_journal_malformed.py",
        "test_perturbations.py",
        "test_replay.py",
        "test_replay_finds_bugs.py",
    },
    "a new project": {"test_new_project.py"},
    "the Agents SDK": {
        "test_sdk_difference.py",
        "test_sdk_objects.py",
        "test_sdk_program_imports.py",
        "test_sdk_surface.py",
    },
}
"""Files of tests that share what takes seconds to make or to import. The tests of one group run in one worker."""

LONG = {
    "test_application_failures.py", "test_audit.py", "test_backup.py", "test_call_outcomes.py", "test_call_queries.py",
    "test_calls_command.py", "test_calls_records.py", "test_campaign_alike.py",
    "test_campaign_rehearsal.py", "test_campaign_server.py", "test_campaign_store.py", "test_console_access.py",
    "test_console_history.py", "test_demo_of_an_agent.py", "test_docs.py", "test_docs_evals.py", "test_endurance.py",
    "test_erasure.py", "test_eval_calls.py", "test_heard_position.py", "test_leases.py", "test_outbound_examples.py",
    "test_records.py", "test_records_refusals.py", "test_repeated_events.py", "test_replay_stories.py",
    "test_shared_stream_ends.py", "test_story_caller_ids.py", "test_story_hang_ups.py",
    "test_story_lost_stream.py", "test_story_transfer.py", "test_user_code.py",
}  # fmt: skip
"""Files of tests that take more than four seconds. They begin before the others, so that no worker is alone at the
end."""

GROUPS = BY_THE_CLOCK | MADE_ONCE

WORKERS_PER_CORE = 2
"""Half of the tests' time is waiting."""

wait_for_slow_databases()
create_schemas_quickly()

# `CliRunner` builds the whole command line for each command of a test, which takes 50 ms of the processor.
typer.testing._get_command = cache(typer.testing._get_command)  # type: ignore[attr-defined]

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Each test file opens contexts of its own."""
    with shared_browser.lent_browser() as browser:
        yield browser


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Keep the modules and the list of tests out of each later garbage collection. They live until the end."""
    gc.disable()
    try:
        if (worker := getattr(session.config, "workerinput", None)) is not None:
            compile_share(session.config, int(worker["workerid"].removeprefix("gw")), worker["workercount"])
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def compile_share(config: pytest.Config, worker: int, workers: int) -> None:
    """Compiles every `workers`-th file of tests, from the number `worker` on. Without this, in a new clone each worker
    compiles all of them, which takes it five seconds.
    """
    if sys.dont_write_bytecode:
        return
    for path in sorted(Path(__file__).parent.rglob("test_*.py"))[worker::workers]:
        folder = rewrite.get_cache_dir(path)
        compiled = folder / f"{path.stem}{rewrite.PYC_TAIL}"
        if not compiled.exists() and rewrite.try_makedirs(folder):
            stat, code = rewrite._rewrite_test(path, config)
            rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, stat, compiled)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests that go by the clock. Leaves out those with the mark `proof`, except in `make proof`. The workers
    of a whole run begin with the long groups and files.
    """
    files = {file for group in BY_THE_CLOCK.values() for file in group}
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: the address of an object differs in each worker: set other ids")
        if item.path.name in files:
            item.add_marker(pytest.mark.by_the_clock)
    if hasattr(config, "workerinput"):
        order = [*GROUPS.values(), LONG]
        items.sort(key=lambda item: next((at for at, files in enumerate(order) if item.path.name in files), len(order)))
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
    shared_browser.end()


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Returns the workers of `pytest -n auto`. None means that the variable says how many."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return WORKERS_PER_CORE * (len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Sends each group, or file, to a worker that is free, in the order of the tests. What the tests of a file make or
    import once is then made in one worker.

    The mark `xdist_group` has no effect with xdist 3.8 under pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((group for group, files in GROUPS.items() if file.rpartition("/")[2] in files), file)

    config.option.loadscopereorder = False  # it would begin with the files that have the most tests
    return Scheduling(config, log)
