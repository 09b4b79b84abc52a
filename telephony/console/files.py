"""The files of the console's pages, with the headers that keep a page to its own files."""

from __future__ import annotations

import mimetypes
from importlib.resources import files

from starlette.responses import PlainTextResponse, Response

__all__ = ["page_file"]

_FILES = {file.name: file for file in (files(__package__) / "static").iterdir()}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page_file(name: str) -> Response:
    """The file of this name, or 404."""
    if name not in _FILES:
        return PlainTextResponse("Not Found", status_code=404)
    kind = mimetypes.guess_type(name)[0]
    return Response(_FILES[name].read_bytes(), media_type=kind, headers=_HEADERS)
