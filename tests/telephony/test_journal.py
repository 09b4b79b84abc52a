"""The journal on disk: a reader gets the written records, after every fault of the disk and every crash."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import JournalError
from telephony.journal.disk import Disk
from telephony.journal.format import Journal, Segment, segments_of
from telephony.journal.reader import parse_lines, read_journal
from telephony.journal.redaction import Redaction
from telephony.journal.writer import JournalWriter, NullJournal, open_journal

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=6,
)


def write_some(journal: Journal) -> None:
    journal.write("header", 0.0, schema=1, agent="Desk")
    journal.write_raw("twilio.in", 0.02, '{"event": "connected",\n "protocol":"Call"}')
    journal.write("mystery", 1.0000004, anything=[1, "zwei", None])
    journal.write("tick", 2.5)


@given(fields=st.dictionaries(st.from_regex(r"[a-z_]{2,9}", fullmatch=True), json_values), t=st.floats(0, 1e6))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any], t: float) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = JournalWriter(path)
    journal.write("some.kind", t, **{k: v for k, v in fields.items() if k not in ("kind",)})
    journal.write_raw("twilio.in", t, json.dumps({"event": "x", "fields": fields}, indent=1))
    journal.finish()
    first, second = read_journal(path)
    assert (first.kind, first.t) == ("some.kind", pytest.approx(t, abs=1e-6))
    assert first.data == {k: v for k, v in fields.items() if k not in ("kind",)}
    assert (second.event, second.message["fields"]) == ("x", fields)


def test_the_same_writes_give_the_same_bytes(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        journal = JournalWriter(tmp_path / name, disk=Disk(flush_s=0.001 if name == "a" else 10.0))
        write_some(journal)
        journal.finish()
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]
    assert texts[0].count(b"\n") == 4


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "redacted"])
def test_line_breaks_between_the_tokens_of_a_message_become_spaces(is_plain: bool, tmp_path: Path) -> None:
    secrets = () if is_plain else ("a secret",)
    journal = JournalWriter(tmp_path / "journal.jsonl", redaction=Redaction(secrets=secrets))
    for number, text in enumerate(('{"n":1}', '{"n":\n2}', '{"n":3}', '{"n":\r4}', '{"n":\r\n5}', '{"n":6}')):
        journal.write_raw("twilio.in", float(number), text)
    journal.finish()
    lines = (tmp_path / "journal.jsonl").read_bytes().split(b"\n")
    begin = '{{"t":{}.000000,"kind":"twilio.in","message":{{"n":{}}}}}'
    values = ("1", " 2", "3", " 4", "  5", "6")
    assert lines == [*(begin.format(number, value).encode() for number, value in enumerate(values)), b""]


def test_the_file_is_private_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "calls" / "journal.jsonl"
    for _ in range(3):
        journal = JournalWriter(path)
        write_some(journal)
        journal.finish()
    assert sorted(p.name for p in path.parent.iterdir()) == ["journal-2.jsonl", "journal-3.jsonl", "journal.jsonl"]
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in path.parent.iterdir())
    assert [len(list(read_journal(p))) for p in path.parent.iterdir()] == [4, 4, 4]


def test_a_cut_file_is_read_up_to_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = JournalWriter(path)
    write_some(journal)
    journal.finish()
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        records = list(parse_lines(whole[:length].splitlines(keepends=True)))
        assert len(records) == whole[:length].count(b"\n")


def test_a_killed_process_leaves_a_journal_up_to_its_last_second(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    program = (
        "import sys, time, pathlib; from telephony.journal.writer import JournalWriter\n"
        "journal = JournalWriter(pathlib.Path(sys.argv[1]))\n"
        "for n in range(10**6):\n"
        "    journal.write('tick', n / 100, n=n, text='x' * 300); print(n, flush=True); time.sleep(0.01)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        written = next(int(line) for line in process.stdout if int(line) >= 150)
        process.kill()
    ticks = [record.data["n"] for record in read_journal(path)]
    assert ticks == list(range(len(ticks))) and len(ticks) >= written - 100


def test_a_field_that_is_no_json_is_written_as_its_repr(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / "journal.jsonl")
    journal.write("tool.end", 0.0, output={1}, big=2**70, text="\ud800")
    journal.finish()
    (record,) = read_journal(tmp_path / "journal.jsonl")
    assert record.data["output"] == "{1}"
    assert record.data["big"] == 2**70


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"RIFF....\n", "line 1"),
        (b'{"a":1}\n[]\n', "line 1: not a record"),
        (b'{"t":0,"kind":"header","schema":99}\n', "schema 99"),
    ],
)
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=complaint):
        list(read_journal(path))


def test_a_journal_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        list(read_journal(tmp_path / "none"))


def test_the_journal_that_is_off() -> None:
    journal = open_journal(None)
    assert isinstance(journal, NullJournal)
    write_some(journal)
    journal.close()


def test_segments_lie_end_to_end() -> None:
    message = {"event": "media", "bytes": 160, "position": 800, "segments": [["a", 0, 40, 100], [None, 0, 0, 60]]}
    assert segments_of(message) == [Segment(800, "a", 0, 40, 100), Segment(900, "", 0, 0, 60)]
