"""The parts of the console of one application, which its routes share: `app.state.console`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection

from ..web.background import Background
from ..web.phone_server import PhoneServer, phone_of
from .access import Access
from .board import Board
from .feed import Feeds
from .recordings import Recordings

__all__ = ["Console", "console_of"]


@dataclass(slots=True)
class Console:
    """What the routes of the console share. `console_of` returns it for a request."""

    phone: PhoneServer
    access: Access
    """Who may use the console, and its audit."""
    board: Board
    """The live calls."""
    feeds: Feeds
    """The pages that follow the journal of a call."""
    recordings: Recordings = field(default_factory=Recordings)
    """The recorded calls that the console plays."""
    background: Background = field(default_factory=Background)
    """Work that goes on after its request."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves the console in this block. On exit its background work is cancelled, and prepared files are
        deleted.
        """
        async with self.recordings:
            try:
                yield
            finally:
                await self.background.close()


def console_of(connection: HTTPConnection) -> Console:
    """Returns the console of the application of this connection.

    Raises:
        NotStarted: the application's lifespan was not run.
    """
    phone_of(connection)
    console: Any = connection.app.state.console
    assert isinstance(console, Console)
    return console
