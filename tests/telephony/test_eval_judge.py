"""Judges: the data that a text model gets, the votes that count, and the calibration."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from telephony.evals.calibration import calibrate, labelled_calls
from telephony.evals.checks import Outcome
from telephony.evals.criteria import Criterion
from telephony.evals.evidence import Evidence, Line
from telephony.evals.judge import Answer, StandInJudge, TextJudge, Vote, decide, decision_of_votes, transcript_text
from telephony.evals.texts import HttpChat
from telephony.replay.call import ToolCall
from tests.support.chat_server import chat_service

CALL = Evidence(
    ended="hung up",
    lines=(
        Line(0, 900, "caller", "A table for two.", "A table for two."),
        Line(1000, 4000, "agent", "For two. Is that right? It costs nothing.", "For two. Is that right?"),
    ),
    tools=(ToolCall("book_table", {"people": 2}, "Booked.", 5000, 1.0),),
)
ASKED = Criterion(name="confirms", judge="Does the agent confirm?", votes=3)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.evals.texts.time.sleep", lambda seconds: None)


def test_a_judge_sees_what_was_heard_and_the_tools_with_their_results() -> None:
    assert transcript_text(CALL).splitlines() == [
        "   0.0 s  caller: A table for two.",
        "   1.0 s  agent: For two. Is that right? [not heard: It costs nothing.]",
        '   5.0 s  tool: book_table({"people": 2}) -> Booked.',
        "ended: hung up",
    ]


@pytest.mark.parametrize(
    ("answers", "outcome", "agreement"),
    [
        ([("yes", "Is that right?")] * 3, Outcome.PASSED, 1.0),
        ([("yes", "is that RIGHT"), ("no", ""), ("yes", "for two")], Outcome.PASSED, 2 / 3),
        ([("no", "")] * 3, Outcome.FAILED, 1.0),
        ([("yes", "these words were not said")] * 3, Outcome.UNKNOWN, 1.0),
        ([("yes", "")] * 3, Outcome.UNKNOWN, 1.0),
        ([("maybe", "")] * 3, Outcome.UNKNOWN, 1.0),
        ([("yes", "for two"), ("no", ""), ("cannot tell", "")], Outcome.UNKNOWN, 1 / 3),
    ],
    ids=str,
)
def test_the_majority_of_quoted_votes_decides(
    answers: list[tuple[str, str]], outcome: Outcome, agreement: float
) -> None:
    given = itertools.cycle(answers)

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        said, quote = next(given)
        return {"reason": "because", "quote": quote, "answer": said}

    with chat_service(answer) as service:
        judge = TextJudge(HttpChat(service.url, "judge-1", "secret"))
        decision = decide(judge, ASKED, CALL)
    assert decision.outcome is outcome and decision.agreement == pytest.approx(agreement)
    assert len(decision.votes) == 3 == judge.spent.requests and judge.spent.input_tokens == 300
    assert service.keys[0] == "Bearer secret" and service.requests[0]["model"] == "judge-1"
    assert "Does the agent confirm?" in service.requests[0]["messages"][1]["content"]


@pytest.mark.parametrize("status", [401, 404, 500], ids=str)
def test_a_judge_that_does_not_answer_is_no_verdict(status: int) -> None:
    with chat_service(lambda body: status) as service:
        decision = decide(TextJudge(HttpChat(service.url, "judge-1")), ASKED, CALL)
    assert decision.outcome is Outcome.UNKNOWN and f"HTTP {status}" in decision.why


def test_a_tie_is_no_verdict() -> None:
    decision = decision_of_votes([Vote(Answer.YES, "a"), Vote(Answer.NO)])
    assert decision.outcome is Outcome.UNKNOWN and "tied" in decision.why


def test_a_call_that_could_not_be_made_needs_no_judge() -> None:
    assert decide(StandInJudge(), ASKED, Evidence(error="gone")).outcome is Outcome.FAILED


def test_the_stand_in_says_what_it_is_and_does_not_guess() -> None:
    judge = StandInJudge()
    assert judge.is_stand_in and "no AI" in judge.name
    assert judge.vote("Does the agent confirm?", CALL).answer is Answer.YES
    assert judge.vote("Is the weather good?", CALL).answer is Answer.CANNOT_TELL


def test_there_are_forty_labelled_calls_with_reasons() -> None:
    calls = list(labelled_calls())
    assert len(calls) == 40 == len({call.name for call in calls})
    assert all(len(call.why) > 20 and call.evidence.lines for call in calls)
    assert 15 <= sum(call.answer for call in calls) <= 25
    assert any(line.heard != line.said for call in calls for line in call.evidence.lines)


def test_a_judge_that_knows_the_labels_agrees_with_all() -> None:
    right = {transcript_text(call.evidence): call for call in labelled_calls()}

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        call = next(call for text, call in right.items() if text in body["messages"][1]["content"])
        heard = next(line.heard for line in call.evidence.lines if line.heard)
        return {"answer": "yes" if call.answer else "no", "quote": heard, "reason": "the label"}

    with chat_service(answer) as service:
        found = calibrate(TextJudge(HttpChat(service.url, "knows-all")), votes=1)
    assert (found.right, found.unknown, found.kappa) == (40, 0, 1.0)
    assert found.agreement.low > 0.9 and "40 of 40" in found.to_text() and not found.to_json()["wrong"]


def test_the_calibration_of_the_stand_in_shows_where_it_is_wrong() -> None:
    found = calibrate(StandInJudge(), votes=1)
    assert 20 <= found.right < 40
    assert "no AI" in found.to_text() and len(found.to_json()["wrong"]) == 40 - found.right
    assert -1 <= found.kappa < 1
