"""The lines of a call in the log: one at its start and one at its end, without a number in full."""

from __future__ import annotations

import logging
import re

import pytest

from realtime_core.local import Reply, Script
from telephony.web.call_log import ended_line, started_line
from tests.support.office import office, talks

NUMBERS = ("+14155550123", "+14155550199")


def test_the_line_at_the_start_says_who_and_not_the_number() -> None:
    line = started_line("CA1", "inbound", *NUMBERS, "Desk")
    assert line == "An inbound call starts: CA1 from +14•••••••23 to +14•••••••99, agent Desk."
    for withheld in ("", "anonymous", "+266696687"):
        assert "from a withheld number to" in started_line("CA1", "inbound", withheld, "", "")


def test_the_line_at_the_end_says_how_and_where_to_look() -> None:
    line = ended_line("CA1", 63.4, "hung up", [0.8, 1.4, 0.9], 0.0312, "calls/CA1/journal.jsonl")
    assert line == (
        "Call CA1 ended after 63 s: hung up; 0.90 s to answer (worst 1.40 s); model $0.0312; "
        "journal calls/CA1/journal.jsonl (telephony calls show CA1)."
    )


@pytest.mark.parametrize(("cost", "words"), [(None, "model cost not known"), (0.0, "model $0.0000")])
def test_a_cost_that_is_not_known_is_said_to_be_unknown(cost: float | None, words: str) -> None:
    assert words in ended_line("CA1", 1.0, "hung up", [], cost, "")


def test_a_number_in_the_ending_is_masked() -> None:
    assert "4155550123" not in ended_line("CA1", 1.0, "failed: +14155550123 is busy", [], None, "")


@pytest.mark.virtual_time
async def test_a_call_has_both_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    script = Script(greeting=Reply(say="Hello."), otherwise=Reply(say="Yes, we are open."))
    async with office(script) as (twilio, _):
        call = await twilio.ring(caller=talks, from_=NUMBERS[0])
    lines = [each.getMessage() for each in caplog.records if call.sid in each.getMessage()]
    assert [line.split()[:3] for line in lines] == [["An", "inbound", "call"], ["Call", call.sid, "ended"]]
    assert "agent Desk" in lines[0]
    assert re.search(r"ended after \d+ s: hung up; \d\.\d\d s to answer", lines[1])
    text = "\n".join(each.getMessage() for each in caplog.records)
    assert not any(number in text for number in NUMBERS)
