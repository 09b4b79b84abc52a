"""The configuration of logging in this process, which all tests of a worker share."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from _pytest.logging import LogCaptureHandler


@dataclass(frozen=True, slots=True)
class _Logger:
    level: int
    propagate: bool
    disabled: bool
    handlers: tuple[logging.Handler, ...]
    filters: tuple[Any, ...]

    @classmethod
    def of(cls, logger: logging.Logger) -> _Logger:
        handlers = tuple(it for it in logger.handlers if not isinstance(it, LogCaptureHandler))  # pytest has these
        return cls(logger.level, logger.propagate, logger.disabled, handlers, tuple(logger.filters))

    def restore(self, logger: logging.Logger) -> None:
        logger.setLevel(self.level)
        logger.propagate, logger.disabled = self.propagate, self.disabled
        logger.handlers[:] = [it for it in logger.handlers if isinstance(it, LogCaptureHandler)] + [*self.handlers]
        logger.filters[:] = self.filters


class LoggingState:
    """The state of each logger, as it was when it was first seen."""

    def __init__(self) -> None:
        self._known: dict[logging.Logger, _Logger] = {}
        self._threshold = logging.root.manager.disable

    def restore(self) -> list[str]:
        """Restore what has changed. Returns the names of the loggers that had changed.

        The parents of each logger are made, so that a test that configures one of them first is noticed. Another new
        logger keeps what its module gave it, but not its filters: a server under test filters the server's log.
        """
        changed = []
        if logging.root.manager.disable != self._threshold:
            logging.disable(self._threshold)
            changed.append("logging.disable")
        for logger in (logging.root, *map(logging.getLogger, tuple(logging.root.manager.loggerDict))):
            now = _Logger.of(logger)
            before = self._known.setdefault(logger, replace(now, filters=()))
            if now != before:
                before.restore(logger)
                changed.append(logger.name)
        return changed
