"""Helpers for the endpoints of the simulated Twilio REST API: form values and responses."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import resources
from .documented_parameters import Form
from .parameters import Refused

__all__ = ["flag", "not_found", "one", "page", "plain"]


def page(request: Request, name: str, items: list[dict[str, Any]]) -> Response:
    """Returns a response of the simulated REST API with one page of a list. `items` has all resources of the list, such
    as calls. The query parameters of the request select the page. `name` is the key of the list in the JSON, such as
    `calls`.
    """
    return JSONResponse(resources.page(name, items, request.url.path, request.query_params))


def plain(form: Form) -> dict[str, Any]:
    """Converts the form of a request to a mapping with one value for each name. `StatusCallbackEvent` is a list. The
    values of other lists are joined with blanks, as in TwiML.
    """
    return {name: list(values) if name == "StatusCallbackEvent" else " ".join(values) for name, values in form.items()}


def one(form: Form, name: str) -> str:
    return (form.get(name) or ("",))[0]


def flag(form: Form, name: str, default: bool) -> bool:
    value = one(form, name)
    return value.lower() == "true" if value else default


def not_found(request: Request) -> Refused:
    return Refused(404, 20404, f"The requested resource {request.url.path} was not found")
