"""One recorded call, five questions. `telephony calls test add` wrote the recording and the first test."""


def test_booking(replay):
    """Today's code and agent do what they did: same commands, same tools, same timing."""
    call = replay("booking", agent="desk:agent")
    call.assert_same()
    assert call.tool("book_table").arguments == {"day": "Friday", "people": 2}
    assert call.interruptions[0].silence_after_ms <= 60
    assert call.interruptions[0].heard_text.startswith("Your table for two")
    assert call.goodbye_heard
    assert call.longest_silence_ms < 3000


def test_booking_over_a_bad_line(replay):
    """The same caller and the same model, 180 ms away, with jitter and a stalling process."""
    line = {"round_trip_ms": 180, "jitter_ms": 50, "stall_ms": 300, "seed": 7}
    call = replay("booking", agent="desk:agent", caller="simulated", **line)
    call.assert_same()
    assert call.underruns == 0 and not call.violations
    assert call.interruptions[0].silence_after_ms <= 600
    assert call.goodbye_heard


def test_booking_with_a_slow_database(replay):
    """The tool takes three seconds longer: the agent waits for its answer."""
    call = replay("booking", agent="desk:agent", slow_tools_ms=3000)
    assert call.tool("book_table").ms >= 3000
    assert call.divergence is not None, "what came after the tool came later than then"


def test_another_model_handles_this_caller(replay):
    """The recorded caller, turn by turn, and the embedded model, which tries the tools; `model="live"`: a real one."""
    call = replay("booking", agent="desk:agent", caller="simulated", model="embedded", turns="retimed")
    assert call.called("book_table")
    assert not call.violations


def test_a_caller_who_says_nothing(replay):
    """A caller from a file."""
    call = replay("booking", agent="desk:agent", caller="tests/silent.toml", model="embedded")
    assert not call.called("hang_up")
    assert call.duration_ms > 5000
