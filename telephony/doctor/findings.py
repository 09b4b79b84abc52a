"""What the doctor found. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Finding", "as_json", "is_wrong", "ok", "skipped", "warning", "wrong"]

State = Literal["ok", "warning", "wrong", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` says what to do; empty where nothing has to be done."""

    about: str
    state: State
    message: str
    advice: str = ""


def ok(about: str, message: str) -> Finding:
    return Finding(about, "ok", message)


def warning(about: str, message: str, advice: str) -> Finding:
    return Finding(about, "warning", message, advice)


def wrong(about: str, message: str, advice: str) -> Finding:
    return Finding(about, "wrong", message, advice)


def skipped(about: str, why: str, advice: str = "") -> Finding:
    return Finding(about, "skipped", why, advice)


def is_wrong(findings: Iterable[Finding]) -> bool:
    return any(finding.state == "wrong" for finding in findings)


def as_json(findings: Iterable[Finding]) -> dict[str, Any]:
    listed = list(findings)
    return {"ok": not is_wrong(listed), "findings": [asdict(finding) for finding in listed]}
