"""Finds, makes and updates recordings, as files beside tests."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import ReplayError
from ..journal.encoding import dump
from ..journal.format import Record
from ..journal.reader import read_journal
from ..journal.redaction import Redaction
from .call import HeardCall, ReplayedCall, ToolCall

__all__ = ["FOLDER", "add", "find", "make_test", "renew", "test_of"]

FOLDER = "calls"
"""Recordings are in `calls/NAME.jsonl.gz` beside the tests."""


def find(name: str, beside: Path) -> Path:
    """The file of a recording, by its path or by its name, beside a test or in a folder above. Raises `ReplayError`."""
    for folder in (beside, *beside.parents):
        for path in (folder / FOLDER / f"{name}.jsonl.gz", folder / FOLDER / f"{name}.jsonl", folder / name):
            if path.is_file():
                return path
        if (folder / "pyproject.toml").exists():
            break
    raise ReplayError(f"There is no recording {name!r}: looked for {FOLDER}/{name}.jsonl.gz beside {beside} and above.")


def add(journal: Path, name: str, folder: Path, redaction: Redaction) -> Path:
    """Copy a call's journal, masked, to where tests find it. Raises `ReplayError` if the name exists."""
    path = folder / FOLDER / f"{name}.jsonl.gz"
    if path.exists():
        raise ReplayError(f"{path} exists already; choose another --name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    records = (_stating(record, redaction) for record in read_journal(journal))
    _write(path, (redaction.line(line) for line in _lines(records)))
    return path


def make_test(journal: Path, name: str, agent: str | None, tests: Path, redaction: Redaction) -> tuple[Path, Path]:
    """Copy a call's journal, masked, into the folder of tests, and write a test with today's values. Returns the files
    of the recording and of the test. `agent` is `module:attribute`.

    Raises:
        ReplayError: the name is no identifier or exists already, or the agent is no import string.
        JournalError: the journal cannot be read.
    """
    if not name.isidentifier():
        raise ReplayError(f"{name!r} cannot be the name of a test. Use letters, digits and underscores.")
    if agent is not None and not re.fullmatch(r"[\w.]+:[\w.]+", agent):
        raise ReplayError(f"{agent!r} is no agent. Write module:attribute, like desk:agent.")
    test = tests / f"test_{name}.py"
    if test.exists():
        raise ReplayError(f"{test} exists already; choose another --name.")
    recording = add(journal, name, tests, redaction)
    test.write_text(test_of(HeardCall(lambda: read_journal(recording), name), name, agent), encoding="utf-8")
    return recording, test


def _stating(record: Record, redaction: Redaction) -> Record:
    """A header states what was masked, before and now."""
    if record.kind != "header":
        return record
    before, now = record.data.get("redaction") or {}, redaction.stated()
    stated = {name: max(before.get(name, 0), value) for name, value in now.items()}
    return Record(record.t, record.kind, {**record.data, "redaction": stated})


def renew(path: Path, call: ReplayedCall) -> None:
    """Write today's behaviour into a recording. The incoming messages stay."""
    header = next(record for record in read_journal(path) if record.kind == "header")
    records = (
        Record(record.t, "header", {**header.data, "config": record.data.get("config")})
        if record.kind == "header"
        else record
        for record in call.records
    )
    _write(path, _lines(records))


def test_of(call: HeardCall, name: str, agent: str | None) -> str:
    """The source of a test with today's values, to be edited."""
    named = "" if agent is None else f', agent="{agent}"'
    lines = [
        f'"""The call {name!r}. When it changes on purpose, run `pytest --update-calls`."""',
        "",
        "",
        f"def test_{name}(replay):",
        f'    call = replay("{name}"{named})',
        "    call.assert_same()",
    ]
    lines += [f"    assert call.tool({each}).arguments == {_literal(tool.arguments)}" for each, tool in _counted(call)]
    limits = [max(60, round(each.silence_after_ms / 20 + 1) * 20) for each in call.interruptions]
    lines += [f"    assert call.interruptions[{n}].silence_after_ms <= {limit}" for n, limit in enumerate(limits)]
    if call.goodbye_heard:
        lines.append("    assert call.goodbye_heard")
    lines.append(f"    assert call.longest_silence_ms < {max(3000, round(call.longest_silence_ms / 500 + 1) * 500)}")
    return "\n".join(lines) + "\n"


def _counted(call: HeardCall) -> Iterator[tuple[str, ToolCall]]:
    """Each tool call, and the arguments of `call.tool` for it."""
    seen: Counter[str] = Counter()
    for tool in call.tools:
        nth = seen[tool.name]
        seen[tool.name] += 1
        yield f'"{tool.name}"' + (f", {nth}" if nth else ""), tool


def _literal(value: Any) -> str:
    """The value as a Python literal, with double quotes where possible."""
    text = json.dumps(value, ensure_ascii=False)
    return text if "true" not in text and "false" not in text and "null" not in text else repr(value)


def _lines(records: Iterable[Record]) -> Iterator[str]:
    """The records as lines, as `JournalWriter` writes them."""
    for record in records:
        body = dump(record.data)
        yield f'{{"t":{record.t:.6f},"kind":"{record.kind}"{"," if record.data else ""}{body[1:]}\n'


def _write(path: Path, lines: Iterable[str]) -> None:
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.writelines(line.encode("utf-8", "replace") for line in lines)
    partial.replace(path)
