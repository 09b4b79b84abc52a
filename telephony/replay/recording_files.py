"""Finds, creates and updates recordings, which are files next to tests."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import JournalError, ReplayError
from ..journal.encoding import dump
from ..journal.format import Record
from ..journal.reader import raw_lines, read_journal
from ..journal.redaction import Redaction
from .call import HeardCall, ReplayedCall, ToolCall
from .recording import load

__all__ = ["FOLDER", "GeneratedTests", "add", "find", "make_test", "make_tests", "renew"]

FOLDER = "calls"
"""The name of the folder for recordings. A recording is `calls/NAME.jsonl.gz` next to the tests."""


def find(name: str, beside: Path) -> Path:
    """Returns the file of a recording, by its path or by its name. Searches next to a test and in the folders above.
    Raises `ReplayError` if there is no such file.
    """
    for folder in (beside, *beside.parents):
        for path in (folder / FOLDER / f"{name}.jsonl.gz", folder / FOLDER / f"{name}.jsonl", folder / name):
            if path.is_file():
                return path
        if (folder / "pyproject.toml").exists():
            break
    raise ReplayError(f"There is no recording {name!r}: looked for {FOLDER}/{name}.jsonl.gz beside {beside} and above.")


def add(journal: Path, name: str, folder: Path, redaction: Redaction) -> Path:
    """Copies the journal of a call, masked by `redaction`, to the folder `folder` of tests, where tests find it as a
    recording with this name. Returns the new file. Raises `ReplayError` if the name exists.
    """
    path = folder / FOLDER / f"{name}.jsonl.gz"
    if path.exists():
        raise ReplayError(f"{path} exists already; choose another --name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    records = (_without_private_data(record, redaction) for record in read_journal(journal))
    _write(path, (redaction.line(line) for line in _lines(records)))
    return path


def make_test(journal: Path, name: str, agent: str | None, tests: Path, redaction: Redaction) -> tuple[Path, Path]:
    """Copies the journal of a call, masked, into the folder of tests, and writes a test that expects what the replay of
    the call shows today. Returns the files of the recording and of the test. `agent` is `module:attribute`.

    Raises:
        ReplayError: the name is not an identifier or already exists, the agent is not an import string, or the call was
            imported.
        JournalError: the journal cannot be read.
    """
    made = make_tests({name: journal}, name, agent, tests, redaction)
    if made.problems:
        raise ReplayError(made.problems[0])
    return made.recordings[0], made.test


@dataclass(frozen=True, slots=True)
class GeneratedTests:
    """The files that `make_tests` wrote, and the reasons why calls were left out."""

    recordings: list[Path]
    test: Path
    problems: list[str]


def make_tests(
    journals: Mapping[str, Path], module: str, agent: str | None, tests: Path, redaction: Redaction
) -> GeneratedTests:
    """Copies the journals of calls, masked, into the folder `tests`, and writes the file `test_<module>.py` there. The
    file has one test for each journal. The test expects what the replay of the call shows today. `journals` maps the
    name of each new recording to the path of its journal. A call that cannot be a test is left out. If no call can be a
    test, writes nothing.

    Raises:
        ReplayError: a name is not an identifier or already exists, or the agent is not an import string.
    """
    for name in (module, *journals):
        if not name.isidentifier():
            raise ReplayError(f"{name!r} cannot be the name of a test. Use letters, digits and underscores.")
        if name in journals and (path := tests / FOLDER / f"{name}.jsonl.gz").exists():
            raise ReplayError(f"{path} exists already; choose another --name.")
    if agent is not None and not re.fullmatch(r"[\w.]+:[\w.]+", agent):
        raise ReplayError(f"{agent!r} is no agent. Write module:attribute, like desk:agent.")
    test = tests / f"test_{module}.py"
    if test.exists():
        raise ReplayError(f"{test} exists already; choose another --name.")
    recordings, parts, problems = [], [], []
    for name, journal in journals.items():
        if (problem := _problem(journal)) is not None:
            problems.append(problem)
            continue
        recording = add(journal, name, tests, redaction)
        recordings.append(recording)
        parts.append(_test_of(HeardCall(lambda path=recording: read_journal(path), name), agent))  # type: ignore[misc]
    if parts:
        what = f"The call {module!r}. When it changes" if len(journals) == 1 else "Recorded calls. When one changes"
        head = f'"""{what} on purpose, run `pytest --update-calls`."""\n'
        test.write_text(head + "".join(f"\n\n{part}" for part in parts), encoding="utf-8")
    return GeneratedTests(recordings, test, problems)


def _problem(journal: Path) -> str | None:
    """Returns why this call cannot be a test, or None if the call can be a test."""
    try:
        recording = load(raw_lines(journal), journal.parent.name)
    except JournalError as error:
        return str(error)
    if "imported" in recording.header:
        return (
            f"{journal}: the call was imported, so it has no recorded model that could answer in a test. "
            "`telephony eval` calls an agent with its caller."
        )
    return None


def _without_private_data(record: Record, redaction: Redaction) -> Record:
    """Returns a header that describes the masking of the original journal and of the copy."""
    if record.kind != "header":
        return record
    before, now = record.data.get("redaction") or {}, redaction.description()
    combined = {name: max(before.get(name, 0), value) for name, value in now.items()}
    return Record(record.t, record.kind, {**record.data, "redaction": combined})


def renew(path: Path, call: ReplayedCall) -> None:
    """Writes the current behaviour of the code, from the replay `call`, into the recording at `path`. The incoming
    messages are kept.
    """
    header = next(record for record in read_journal(path) if record.kind == "header")
    records = (
        Record(record.t, "header", {**header.data, "config": record.data.get("config")})
        if record.kind == "header"
        else record
        for record in call.records
    )
    _write(path, _lines(records))


def _test_of(call: HeardCall, agent: str | None) -> str:
    """Returns the source code of a test with the current values. The user can edit the test."""
    name, named = call.name, "" if agent is None else f', agent="{agent}"'
    lines = [
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
    """Yields each tool call with the arguments that `call.tool` needs for this tool call."""
    seen: Counter[str] = Counter()
    for tool in call.tools:
        nth = seen[tool.name]
        seen[tool.name] += 1
        yield f'"{tool.name}"' + (f", {nth}" if nth else ""), tool


def _literal(value: Any) -> str:
    """Returns the value as a Python literal, with double quotes where possible."""
    text = json.dumps(value, ensure_ascii=False)
    return text if "true" not in text and "false" not in text and "null" not in text else repr(value)


def _lines(records: Iterable[Record]) -> Iterator[str]:
    """Yields the records as lines in the format of `JournalWriter`, without line breaks."""
    for record in records:
        body = dump(record.data)
        yield f'{{"t":{record.t:.6f},"kind":"{record.kind}"{"," if record.data else ""}{body[1:]}'


def _write(path: Path, lines: Iterable[str]) -> None:
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.writelines(f"{line}\n".encode("utf-8", "replace") for line in lines)
    partial.replace(path)
