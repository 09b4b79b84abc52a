"""The pages of the console, and the navigation.

A page is a file in `static/` with the content of `<main>`, and a script with the same name. `frame.html` is the frame
of every page. To add a page, add a `Page` to `PAGES`. The page then has a URL and an entry in the navigation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from .files import HEADERS, file_text, page_file

__all__ = ["PAGES", "Page", "render", "routes"]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the console. Its URL is `/console/` followed by `path`. `about` is the description of the page in the
    list of endpoints. A page without a `label` is not in the navigation.
    """

    path: str
    file: str
    title: str
    about: str
    label: str = ""
    below: str = ""
    """The path of the page that the navigation marks as current while this page is open. The default is `path`."""


PAGES = [
    Page("", "live", "Live calls", "The page of the live calls.", "Live"),
    Page("calls", "history", "History", "The page of the history: search and filter.", "History"),
    Page(
        "calls/{sid}",
        "one-call",
        "Call",
        "The page of one call: live, or its recording. `?t=12.4`: a moment in it.",
    ),
    Page("campaigns", "campaigns", "Campaigns", "The page of the campaigns.", "Campaigns"),
    Page(
        "campaigns/{id}",
        "one-campaign",
        "Campaign",
        "The page of one campaign: its funnel, its calls and its contacts.",
        below="campaigns",
    ),
    Page("numbers", "numbers", "Numbers", "The page of the configured numbers.", "Numbers"),
    Page("versions", "versions", "Versions", "The page with statistics of each version of the agents.", "Versions"),
    Page("audit", "audit", "Audit", "The page of the audit: who did what, and when.", "Audit"),
    Page("phone", "phone", "Phone", "The page of the softphone.", "Phone"),
    Page("login", "login", "Log in", "The page where a person gives a token."),
]


def routes() -> list[BaseRoute]:
    pages: list[BaseRoute] = [Route(_address(page.path), _endpoint(page)) for page in PAGES]
    return [Route("/console/static/{name}", static), *pages]


def _address(path: str) -> str:
    return f"/console/{path}" if path else "/console"


def _endpoint(page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return HTMLResponse(render(page, request.url.path), headers=HEADERS)

    endpoint.__doc__ = page.about
    return endpoint


async def static(request: Request) -> Response:
    """Returns a script, style sheet or picture of the console's pages."""
    return page_file(request.path_params["name"])


def render(page: Page, path: str) -> str:
    """Returns the HTML of a page. `path` is the path of the request. All URLs in the HTML are relative to `/console/`,
    because a proxy may serve the console under any path.
    """
    depth = page.path.count("/")
    base = "../" * depth if depth else "./" if page.path else "console/"
    here = path.rpartition("/console")[2].lstrip("/")
    values = {
        "base": base,
        "title": escape(page.title),
        "script": f"{page.file}.js",
        "here": escape(here) if here else "../console",
        "navigation": "\n".join(_link(each, page) for each in PAGES if each.label),
        "content": file_text(f"{page.file}.html"),
    }
    html = file_text("frame.html")
    for name, value in values.items():
        html = html.replace("{{" + name + "}}", value)
    return html


def _link(page: Page, current: Page) -> str:
    is_current = page.path == (current.below or current.path)
    return (
        f'<li><a href="{page.path or "../console"}"{" aria-current=page" if is_current else ""}>{escape(page.label)}'
        "</a></li>"
    )
