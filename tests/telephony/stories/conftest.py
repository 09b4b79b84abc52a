"""Hashes of the journals that the stories write."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.phone_calls import Records


@pytest.fixture(autouse=True)
def hashed_journals(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Writes the hash of each journal to the file that `JOURNAL_HASHES` names: see `benchmarks.behaviour`."""
    path = os.environ.get("JOURNAL_HASHES")
    journals: list[Records] = []
    begin = Records.__init__

    def __init__(self: Records, *arguments: Any) -> None:
        begin(self, *arguments)
        journals.append(self)

    if path is not None:
        monkeypatch.setattr(Records, "__init__", __init__)
    yield
    if path is None:
        return
    with Path(path).open("a") as file:
        for number, journal in enumerate(journals):
            lines = json.dumps(journal.all, default=str, sort_keys=True)
            file.write(json.dumps([f"{request.node.nodeid} {number}", _hash(lines)]) + "\n")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
