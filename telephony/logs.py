"""Configures logs for people (`text`) and for machines (`json`). Each line has the CallSid of its call and contains no
secret.

Secrets and typed digits are masked in the finished line, so arguments, tracebacks and messages of other libraries are
masked, too. Control characters and line breaks are escaped, so input from outside cannot forge or hide a line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from .masking import Masker
from .text_encoding import visible

__all__ = ["Masker", "Repeats", "about_call", "configure_logs", "log_as_call", "sealed_logs", "visible"]

_sid: ContextVar[str] = ContextVar("telephony_log_call_sid", default="")
_sid_of_call: ContextVar[str] = ContextVar("telephony_log_sid_of_call", default="")

EVERY_S = 60.0
MAX_KINDS = 200
"""The default maximum number of kinds of log lines that a `Repeats` (which limits repeated log lines) keeps in memory.
"""


def _visible_lines(text: str) -> str:
    """Returns a traceback with indented lines, so no line looks like a line of the log."""
    return "\n".join("  " + visible(line) for line in text.split("\n"))


def log_as_call(call_sid: str) -> None:
    """Adds this CallSid to the later log lines of the current task, and of the tasks that this task starts from now on.
    The call session calls this function.
    """
    _sid_of_call.set(call_sid)


@contextmanager
def about_call(call_sid: str) -> Iterator[None]:
    """Adds this CallSid to the log lines of this block, for code that does not run in a task of the call."""
    token = _sid.set(call_sid)
    try:
        yield
    finally:
        _sid.reset(token)


_sealed: Counter[str] = Counter()
"""The calls whose log lines are hidden now."""
HIDDEN_LINE = "(hidden: the call is in a secret part)"


@contextmanager
def sealed_logs(call_sid: str) -> Iterator[None]:
    """Hides the texts of all log records of this call during this block: records of this package, of the application
    and of other libraries. The level and the logger name are kept.
    """
    if not isinstance(logging.getLogRecordFactory(), _SealedRecords):
        logging.setLogRecordFactory(_SealedRecords(logging.getLogRecordFactory()))
    _sealed[call_sid] += 1
    try:
        yield
    finally:
        _sealed[call_sid] -= 1
        if not _sealed[call_sid]:
            del _sealed[call_sid]


class _SealedRecords:
    """A factory of log records that calls another factory and hides the texts of sealed calls."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        if _sealed and _call_sid() in _sealed:
            record.msg, record.args, record.exc_info, record.exc_text = HIDDEN_LINE, (), None, None
            record.stack_info = None
        return record


def configure_logs(
    level: str = "info",
    form: Literal["text", "json"] = "text",
    *,
    masker: Masker | None = None,
    stream: TextIO | None = None,
    force: bool = False,
) -> None:
    """Configures logging to `stream` (default: standard error), from this level on, as text or JSON. `masker` masks
    secrets in the lines. `force` replaces an existing configuration of logging.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter((_Json if form == "json" else _Text)(masker or Masker()))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=force)
    if level != "debug":  # the library logs a dozen lines for each request; we log failures ourselves
        logging.getLogger("twilio.http_client").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)  # a dozen lines when the records are made


class _Text(logging.Formatter):
    def __init__(self, masker: Masker) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(call)s%(message)s")
        self._mask = masker

    def format(self, record: logging.LogRecord) -> str:
        sid, record = _call_sid(), copy(record)
        record.call = f"[{sid}] " if sid else ""
        record.exc_text = None  # cached by another formatter
        return self._mask(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        return visible(super().formatMessage(record).rstrip())

    def formatException(self, ei: Any) -> str:
        return _visible_lines(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _visible_lines(super().formatStack(stack_info))


class _Json(logging.Formatter):
    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self._mask = masker

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._mask(visible(record.getMessage().rstrip())),
        }
        if sid := _call_sid():
            line["call_sid"] = visible(sid)
        if record.exc_info:
            line["exception"] = self._mask(_visible_lines(self.formatException(record.exc_info)))
        return json.dumps(line, ensure_ascii=False)


class Repeats:
    """Limits repeated log lines. The first line of a kind is logged. Then lines of this kind are left out for `every_s`
    seconds. The next line after this time is logged with the number of lines that were left out.

    A kind is any text that the code chooses for similar lines. Only the last `max_kinds` kinds are kept in memory.
    Therefore a kind may contain text from outside, such as a caller's input.
    """

    def __init__(self, log: logging.Logger, *, every_s: float = EVERY_S, max_kinds: int = MAX_KINDS) -> None:
        self._log = log
        self._every_s = every_s
        self._max_kinds = max_kinds
        self._kinds: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def warning(self, kind: str, message: str | Callable[[], str]) -> None:
        """Logs a warning, unless a line of the same kind was logged less than `every_s` seconds ago. If `message` is a
        function, the function is called only if the line is logged.
        """
        self._say(logging.WARNING, kind, message)

    def error(self, kind: str, message: str | Callable[[], str]) -> None:
        self._say(logging.ERROR, kind, message)

    def info(self, kind: str, message: str | Callable[[], str]) -> None:
        self._say(logging.INFO, kind, message)

    def _say(self, level: int, kind: str, message: str | Callable[[], str]) -> None:
        if (more := self.count(kind)) is not None:
            text = message if isinstance(message, str) else message()
            self._log.log(level, "%s%s", text, f" ({more} more like it since)" if more else "")

    def count(self, kind: str, now: float | None = None) -> int | None:
        """Counts one line of this kind. Returns None if the line must not be logged. Otherwise returns the number of
        earlier lines that were not logged.

        `now` (default: the time of the event loop) may be from any clock, but must always be from the same clock.
        """
        if now is None:
            now = asyncio.get_running_loop().time()
        since, more = self._kinds.get(kind, (None, 0))
        if since is not None and now - since < self._every_s:
            self._kinds[kind] = (since, more + 1)
            return None
        self._kinds[kind] = (now, 0)
        self._kinds.move_to_end(kind)
        if len(self._kinds) > self._max_kinds:
            self._kinds.popitem(last=False)
        return more


def _call_sid() -> str:
    return _sid.get() or _sid_of_call.get()
