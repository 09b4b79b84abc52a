"""The files of the console's pages. The headers of each response allow the browser to load only files of the
console.
"""

from __future__ import annotations

import mimetypes
from importlib.resources import files

from starlette.responses import PlainTextResponse, Response

__all__ = ["HEADERS", "file_text", "page_file"]

_FILES = {file.name: file for file in (files(__package__) / "static").iterdir()}
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def file_text(name: str) -> str:
    """Returns the text of a file of the console's pages. Raises `KeyError` for an unknown name."""
    return _FILES[name].read_text(encoding="utf-8")


def page_file(name: str) -> Response:
    """Returns a response with a file of the console's pages. The status is 404 if there is no file of this name."""
    if name not in _FILES:
        return PlainTextResponse("Not Found", status_code=404)
    kind = mimetypes.guess_type(name)[0]
    return Response(_FILES[name].read_bytes(), media_type=kind, headers=HEADERS)
