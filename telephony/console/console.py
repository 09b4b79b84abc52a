"""The parts of the console of one application that all its routes share: `app.state.console`."""

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
    """The objects that the routes of the console share. `console_of` returns the `Console` for a request."""

    phone: PhoneServer
    access: Access
    """Decides whether a client may use the console, and writes the audit log."""
    board: Board
    """The live calls of this process."""
    feeds: Feeds
    """The feeds of journal records for pages that follow a call."""
    recordings: Recordings = field(default_factory=Recordings)
    """The recorded calls that the console plays."""
    background: Background = field(default_factory=Background)
    """The tasks that requests to the console have started and that continue after the response."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the console during this block. At the end of the block, cancels the background tasks, and deletes the
        audio files and timelines that were prepared for pages.
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
