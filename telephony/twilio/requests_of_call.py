"""Marks REST requests to Twilio as requests of a call. The journal and the trace of the call contain each marked
request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["as_request_of_call", "is_request_of_call"]

_is_of_call: ContextVar[bool] = ContextVar("as_request_of_call", default=False)


@contextmanager
def as_request_of_call() -> Iterator[None]:
    """Declares that the requests to Twilio in this block belong to the current call, so the journal and the trace of
    the call contain these requests.
    """
    token = _is_of_call.set(True)
    try:
        yield
    finally:
        _is_of_call.reset(token)


def is_request_of_call() -> bool:
    """Returns whether a REST request to Twilio that this code sends now must be written to the journal and the trace of
    the current call. This is the case inside a block `with as_request_of_call():`.
    """
    return _is_of_call.get()
