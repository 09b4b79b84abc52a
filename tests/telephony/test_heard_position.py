"""The reported heard position against the audio that was heard: one call of each class with four barge-ins (`make
proof`: 200 calls with five). Also exact repetition."""

from __future__ import annotations

import pytest

from benchmarks.heard_position import CLASSES, LineClass, measure, summarise
from benchmarks.repeat import journal_of


@pytest.mark.parametrize("line_class", CLASSES, ids=lambda line_class: line_class.name)
def test_truncations_are_where_the_caller_stopped_hearing(
    line_class: LineClass, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = summarise(line_class, [measure(line_class, 0, barge_ins=4)])
    with capsys.disabled():
        print(f"\n{summary}", end="")
    assert summary.faults == []
    assert summary.holds


def test_one_seed_gives_one_journal_to_the_byte() -> None:
    first = journal_of(7)
    assert first.count(b"\n") > 1000
    assert journal_of(7) == first
    assert journal_of(8) != first
