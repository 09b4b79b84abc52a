"""The list of all routes of the console."""

from __future__ import annotations

from starlette.routing import BaseRoute

from . import (
    audit,
    campaigns,
    history,
    live_feed,
    login,
    numbers,
    pages,
    single_sign_on,
    softphone,
    steering,
    take_over,
    versions,
)

__all__ = ["routes"]


def routes() -> list[BaseRoute]:
    return [
        *login.routes(),
        *audit.routes(),
        *single_sign_on.routes(),
        *live_feed.routes(),
        *history.routes(),
        *steering.routes(),
        *take_over.routes(),
        *campaigns.routes(),
        *numbers.routes(),
        *versions.routes(),
        *softphone.routes(),
        *pages.routes(),
    ]
