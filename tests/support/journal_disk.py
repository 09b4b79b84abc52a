"""Waits for the thread that writes journals. The thread runs in real time, also while a test has virtual time."""

from __future__ import annotations

import threading

from telephony.journal.disk import Disk

__all__ = ["wait_until_taken"]


def wait_until_taken(disk: Disk) -> None:
    """Blocks until the thread has taken all lines from the queue, and has written or lost them."""
    while disk.taken != disk.written:
        threading.Event().wait(0.001)
