"""Locks on files between processes. The operating system releases the locks of a process that ends or is killed.

If the operating system or file system has no such locks (Windows, some network file systems), every lock is granted.
"""

from __future__ import annotations

import errno
import sys

if sys.platform != "win32":
    import fcntl

__all__ = ["lock"]

_HELD = {errno.EACCES, errno.EAGAIN}


def lock(fd: int, *, wait: bool = False) -> bool:
    """Locks an open file or folder, given by its descriptor `fd`, until the descriptor is closed. Without `wait`,
    returns immediately. Returns False if another descriptor has the lock.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            return error.errno not in _HELD
    return True
