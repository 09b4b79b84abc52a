"""A recorded call of each example, made again with today's code: what the callee heard, and what came of it."""

from pathlib import Path

from examples import remind, survey

MACHINE = Path(__file__).with_name("machine.toml")


def test_the_reminder_brings_its_answer_home(replay):
    call = replay("remind", agent="examples.remind:agent")
    assert call.divergence is None, call.divergence
    assert call.answered_by == "human"
    assert call.turns[0].speaker == "caller", "the callee says hello first"
    assert call.turns[1].heard.endswith("Will you come?")
    assert remind.Outcome(**call.tool("record_result").arguments).comes
    assert call.goodbye_heard
    assert call.longest_silence_ms < 3000


def test_the_survey_takes_an_answer_before_its_question_is_all_said(replay):
    call = replay("survey", agent="examples.survey:agent")
    assert call.divergence is None, call.divergence
    (interruption,) = call.interruptions
    assert interruption.silence_after_ms <= 60
    assert "from one to five?" in interruption.heard_text
    assert "very good" in interruption.unheard_text
    given = {}
    for tool in call.tools[:-1]:
        given |= tool.arguments
    assert survey.Answers(**given) == survey.Answers(rating=4, comes_again=True, remark="The breakfast was very good.")
    assert (call.tools[-1].name, call.ended) == ("hang_up", "agent hung up")
    assert call.goodbye_heard


def test_the_verification_takes_digits_that_no_model_sees(replay):
    call = replay("verify", agent="examples.verify:agent")
    assert call.divergence is None, call.divergence
    assert call.tool("check_code").output.startswith("The code is right")
    asked = [turn for turn in call.turns if "four digits" in turn.said]
    assert len(asked) == 2, "the first code was mistyped"
    told_model = " ".join(str(record.data) for record in call.records if record.kind == "model.out")
    assert "pressed" not in told_model
    assert call.goodbye_heard


def test_the_reminder_over_a_bad_line(replay):
    """The same callee, 180 ms away, with jitter and a stalling process."""
    line = {"round_trip_ms": 180, "jitter_ms": 50, "stall_ms": 300, "seed": 7}
    call = replay("remind", agent="examples.remind:agent", caller="simulated", **line)
    assert call.divergence is None, call.divergence
    assert call.answered_by == "human"
    assert not call.violations
    assert call.goodbye_heard


def test_the_reminder_at_a_voicemail(replay):
    """Another callee, and the embedded model: the agent does not talk to a machine."""
    call = replay("remind", agent="examples.remind:agent", caller=str(MACHINE), model="embedded")
    assert call.answered_by == "machine"
    assert [turn.heard for turn in call.turns if turn.speaker == "agent"] == ["Blu Dental: please call us back."]
