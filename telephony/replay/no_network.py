"""Blocks the network during a replay, so users' code has no outside effect."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from ..errors import ReplayError

__all__ = ["no_network"]

_METHODS = ("connect", "connect_ex", "sendto")


@contextmanager
def no_network(*, unless: bool = False) -> Iterator[None]:
    """Blocks the network during this block: connecting, sending and name lookups raise `ReplayError`. Unix domain
    sockets work. If `unless` is True, does nothing.
    """
    if unless:
        yield
        return
    originals = {name: getattr(socket.socket, name) for name in _METHODS}
    lookup = socket.getaddrinfo

    def blocked(name: str) -> Any:
        def call(self: socket.socket, *args: Any) -> Any:
            if self.family == getattr(socket, "AF_UNIX", None):
                return originals[name](self, *args)
            _refuse(str(args[-1]) if args else "")

        return call

    try:
        for name in _METHODS:
            setattr(socket.socket, name, blocked(name))
        socket.getaddrinfo = _no_lookup
        yield
    finally:
        for name, original in originals.items():
            setattr(socket.socket, name, original)
        socket.getaddrinfo = lookup


def _no_lookup(host: Any, *args: Any, **kwargs: Any) -> NoReturn:
    _refuse(str(host))


def _refuse(where: str) -> NoReturn:
    raise ReplayError(f"There is no network in a replay: something tried to reach {where}.")
