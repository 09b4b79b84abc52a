"""The result of one check of `telephony doctor`, the command that checks an installation. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["CheckResult", "as_json", "is_wrong", "ok", "skipped", "warning", "wrong"]


class CheckState(StrEnum):
    """The possible states of a check. Only `WRONG` makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check of `telephony doctor`. `advice` says what the user must do. The text is empty if nothing
    must be done.
    """

    about: str
    state: CheckState
    message: str
    advice: str = ""


def ok(about: str, message: str) -> CheckResult:
    return CheckResult(about, CheckState.OK, message)


def warning(about: str, message: str, advice: str) -> CheckResult:
    return CheckResult(about, CheckState.WARNING, message, advice)


def wrong(about: str, message: str, advice: str) -> CheckResult:
    return CheckResult(about, CheckState.WRONG, message, advice)


def skipped(about: str, why: str, advice: str = "") -> CheckResult:
    return CheckResult(about, CheckState.SKIPPED, why, advice)


def is_wrong(results: Iterable[CheckResult]) -> bool:
    return any(result.state is CheckState.WRONG for result in results)


def as_json(results: Iterable[CheckResult]) -> dict[str, Any]:
    listed = list(results)
    return {"ok": not is_wrong(listed), "findings": [asdict(result) for result in listed]}
