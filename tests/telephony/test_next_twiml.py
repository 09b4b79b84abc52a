"""The TwiML after a stream: never silence, and never more than two new streams."""

from __future__ import annotations

import pytest

from telephony.call.leg.next_twiml import MAX_REATTACHED, StreamEnd, after_dial, after_stream


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (None, "apologise"),
        (StreamEnd("goodbye"), "hang up"),
        (StreamEnd("goodbye", reattached=2), "hang up"),
        (StreamEnd("lost"), "new stream"),
        (StreamEnd("lost", reattached=1), "new stream"),
        (StreamEnd("lost", reattached=2), "apologise"),
        (StreamEnd("stalled", reattached=1), "new stream"),
        (StreamEnd("stalled", reattached=2), "apologise"),
        (StreamEnd("failed"), "apologise"),
        (StreamEnd("refused"), "apologise"),
        (StreamEnd("transfer", twiml="<Response/>"), "document"),
        (StreamEnd("digits", reattached=7, twiml="<Response/>"), "document"),
        (StreamEnd("digits", reattached=7), "new stream"),
    ],
)
def test_each_end_of_a_stream_has_its_next_step(end: StreamEnd | None, expected: str) -> None:
    assert after_stream(end) == expected
    assert after_stream(end, call_ended=True) == "hang up"


def test_a_stream_that_breaks_again_and_again_is_given_up() -> None:
    new_streams = 0
    while after_stream(StreamEnd("lost", reattached=new_streams)) == "new stream":
        new_streams += 1
    assert new_streams == MAX_REATTACHED == 2


def test_a_failed_transfer_comes_back_to_the_agent() -> None:
    assert after_dial(connected=False, call_ended=False, known=True) == "new stream"
    assert after_dial(connected=False, call_ended=False, known=False) == "apologise"
    assert after_dial(connected=True, call_ended=False, known=True) == "hang up"
    assert after_dial(connected=False, call_ended=True, known=True) == "hang up"
