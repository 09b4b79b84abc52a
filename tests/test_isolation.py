"""Tests of one worker share a process. What one of them changes there is restored for the next."""

from __future__ import annotations

import io
import logging
import signal
from collections.abc import Callable

import pytest

from telephony.logs import configure_logs
from telephony.web.connection_limits import quiet_server_log
from tests.support.logging_state import LoggingState

NAME = "telephony.web.webhooks"


def disable_a_logger() -> None:
    logging.getLogger(NAME).disabled = True


def keep_lines_from_the_root() -> None:
    logging.getLogger(NAME).propagate = False


def show_all_of_the_package() -> None:
    """Shows the log of the package, as `-v` does. The logger of the package is not that of a module."""
    logging.getLogger("telephony").setLevel(logging.DEBUG)


def raise_a_level() -> None:
    logging.getLogger(NAME).setLevel(logging.CRITICAL)


def disable_all() -> None:
    logging.disable(logging.ERROR)


def configure_as_the_program_does() -> None:
    configure_logs("debug", stream=io.StringIO(), force=True)


def filter_the_log_of_the_server() -> None:
    quiet_server_log()


CHANGES: list[Callable[[], None]] = [
    disable_a_logger,
    keep_lines_from_the_root,
    show_all_of_the_package,
    raise_a_level,
    disable_all,
    configure_as_the_program_does,
    filter_the_log_of_the_server,
]


def state() -> list[object]:
    loggers = [logging.getLogger(name) for name in (None, NAME, "telephony", "uvicorn.error", "asyncio")]
    each = [(it.level, it.disabled, it.propagate, it.filters[:], len(it.handlers)) for it in loggers]
    return [logging.root.manager.disable, *each]


@pytest.mark.parametrize("change", CHANGES)
def test_logging_is_restored(change: Callable[[], None]) -> None:
    before, handlers = state(), logging.root.handlers[:]
    ours = LoggingState()
    ours.restore()
    change()
    assert state() != before
    assert ours.restore()
    logging.root.handlers[:] = handlers  # those of pytest
    assert state() == before
    assert not ours.restore()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_a_process_of_a_test_can_be_interrupted(number: signal.Signals) -> None:
    """Also where a shell started the tests in the background, with these signals ignored."""
    assert signal.getsignal(number) is not signal.SIG_IGN
