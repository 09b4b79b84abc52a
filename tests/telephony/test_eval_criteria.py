"""The files of evals, and the criteria that need no text model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from telephony.errors import EvalError
from telephony.evals import criteria as criteria_module
from telephony.evals import persona as persona_module
from telephony.evals.caller_actions import CallerAction, CallerActionKind
from telephony.evals.cases import CaseKind, find_cases
from telephony.evals.checks import CriterionDecision, Outcome, check
from telephony.evals.comparison import CallResult, result_of
from telephony.evals.criteria import Criteria, Criterion, Family, parse_criteria
from telephony.evals.evidence import Evidence, Line
from telephony.evals.persona import Persona, load_persona
from telephony.evals.report import data_of, junit_of, text_of
from telephony.evals.statistics import Verdict
from telephony.replay.call import ToolCall

BOOKED = ToolCall("book_table", {"day": "Friday", "people": 2}, "Booked: number 17.", 5000, 10.0)
CALL = Evidence(
    ended="agent hung up",
    duration_ms=20_000,
    lines=(
        Line(0, 1000, "agent", "Hello, this is Blu.", "Hello, this is Blu."),
        Line(1500, 3000, "caller", "A table for two on Friday.", "A table for two on Friday."),
        Line(3500, 4500, "agent", "Two on Friday, is that right? It is free.", "Two on Friday, is that right?"),
        Line(4600, 4900, "caller", "Yes.", "Yes."),
        Line(6000, 7000, "agent", "Booked.", "Booked."),
    ),
    tools=(BOOKED,),
    result={"day": "Friday", "people": 2},
    facts={"day": "friday", "people": 2},
    recorded_tools=(("book_table", {"people": 2, "day": "Friday"}),),
    measures={"response_latency_ms": 800.0, "false_cuts": 1.0},
)


def example_in(module: Any) -> str:
    return str(module.__doc__).split("```toml")[1].split("```")[0]


def test_the_examples_in_the_docstrings_are_valid(tmp_path: Path) -> None:
    assert len(parse_criteria(example_in(criteria_module)).criterion) == 6
    file = tmp_path / "ada.toml"
    file.write_text(example_in(persona_module))
    assert load_persona(file).line.noise == "street"


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"measure": "response_latency_ms", "max": 900}, Outcome.PASSED),
        ({"measure": "response_latency_ms", "max": 700}, Outcome.FAILED),
        ({"measure": "false_cuts", "max": 0}, Outcome.FAILED),
        ({"measure": "false_cuts", "min": 1}, Outcome.PASSED),
        ({"measure": "barge_in_silence_ms", "max": 100}, Outcome.UNKNOWN),
        ({"tool": "book_table"}, Outcome.PASSED),
        ({"tool": "book_table", "arguments": {"people": 2}}, Outcome.PASSED),
        ({"tool": "book_table", "arguments": {"people": "{people}", "day": "{day}"}}, Outcome.PASSED),
        ({"tool": "book_table", "arguments": {"people": 3}}, Outcome.FAILED),
        ({"tool": "book_table", "arguments": {"pax": 2}}, Outcome.FAILED),
        ({"tool": "book_table", "arguments": {"name": "{name}"}}, Outcome.UNKNOWN),
        ({"tool": "book_table", "result_contains": "number 17"}, Outcome.PASSED),
        ({"tool": "book_table", "result_contains": "number 18"}, Outcome.FAILED),
        ({"tool": "cancel"}, Outcome.FAILED),
        ({"no_tool": "cancel"}, Outcome.PASSED),
        ({"no_tool": "book_table"}, Outcome.FAILED),
        ({"same_tools": True}, Outcome.PASSED),
        ({"says": ["this is blu"]}, Outcome.PASSED),
        ({"says": ["It is free"]}, Outcome.FAILED),  # said, but not heard
        ({"forbidden": ["free"]}, Outcome.PASSED),
        ({"forbidden": ["booked"]}, Outcome.FAILED),
        ({"forbidden": ["book"]}, Outcome.PASSED),  # whole words only
        ({"order": ["says: is that right", "caller: yes", "tool: book_table"]}, Outcome.PASSED),
        ({"order": ["tool: book_table", "says: is that right"]}, Outcome.FAILED),
        ({"result": {"people": 2}}, Outcome.PASSED),
        ({"result": {"people": 2, "name": "Ada"}}, Outcome.FAILED),
        ({"ended": "agent hung up"}, Outcome.PASSED),
        ({"ended": "hung up"}, Outcome.FAILED),
    ],
    ids=str,
)
def test_a_criterion_of_a_call(fields: dict[str, Any], outcome: Outcome) -> None:
    decision = check(Criterion(name="it", **fields), CALL)
    assert decision.outcome is outcome, decision
    assert bool(decision.why) == (outcome is not Outcome.PASSED)


@pytest.mark.parametrize(
    "fields", [{"measure": "false_cuts", "max": 0}, {"no_tool": "x"}, {"forbidden": ["x"]}], ids=str
)
def test_a_call_that_could_not_be_made_meets_no_criterion(fields: dict[str, Any]) -> None:
    assert check(Criterion(name="it", **fields), Evidence(error="the model was gone")).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[criterion]]\nname = 'a'", "no kind"),
        ("[[criterion]]\nname = 'a'\ntool = 'x'\njudge = 'y'", "judge and tool"),
        ("[[criterion]]\nname = 'a'\nmeasure = 'speed'\nmax = 1", "no measure"),
        ("[[criterion]]\nname = 'a'\nmeasure = 'false_cuts'", "needs `max` or `min`"),
        ("[[criterion]]\nname = 'a'\nsays = ['x']\narguments = { b = 1 }", "belong to `tool`"),
        ("[[criterion]]\nname = 'a'\norder = ['hears: x']", "is none of"),
        ("[[criterion]]\nname = 'a'\ntol = 'x'", "Extra inputs"),
        ("[[criterion]]\nname = 'a'\ntool = 'x'\n[[criterion]]\nname = 'a'\ntool = 'y'", "two criteria"),
        ("margin = 0", "greater than 0"),
        ("x =", "not valid TOML"),
    ],
    ids=lambda value: value[:40],
)
def test_a_wrong_criterion_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(EvalError, match=words):
        parse_criteria(text)


def test_a_folder_has_personas_scripted_callers_and_recordings(tmp_path: Path) -> None:
    (tmp_path / "ada.toml").write_text('name = "Ada"\ngoal = "A table."')
    (tmp_path / "steps.toml").write_text("steps = [{ pause = 1.0 }, { hang_up = true }]")
    (tmp_path / "criteria.toml").write_text("margin = 0.1")
    (tmp_path / "call").mkdir()
    (tmp_path / "call" / "journal.jsonl").write_text("")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "ada.toml").write_text('name = "Ada"\ngoal = "A room."')
    found = {case.name: case.kind for case in find_cases([tmp_path])}
    assert found == {
        "ada": CaseKind.PERSONA, "call": CaseKind.RECORDED, "ada-2": CaseKind.PERSONA, "steps": CaseKind.SCRIPTED,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "margin = 0.1", "neither `goal`"),
        ("a.toml", "goal =", "not valid TOML"),
        ("a.toml", "goal = 'x'", "name Field required"),
        ("a.toml", "name = 'x'\ngoal = 'x'\npatience_s = 0", "patience_s"),
        ("a.toml", "steps = [{ jump = 1 }]", "not known"),
        ("gone.toml", None, "does not exist"),
    ],
    ids=str,
)
def test_a_wrong_case_is_refused_with_the_reason(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(EvalError, match=words):
        find_cases([tmp_path / name])


def test_evidence_survives_json() -> None:
    call = replace(CALL, acts=(CallerAction(1.0, CallerActionKind.BACKCHANNEL, "Mhm.", True),))
    assert Evidence.from_json(json.loads(json.dumps(call.to_json()))) == call


def calls(outcomes: str, name: str = "it") -> list[CallResult]:
    """One call for each letter: p passed, f failed, u unknown."""
    kinds = {"p": Outcome.PASSED, "f": Outcome.FAILED, "u": Outcome.UNKNOWN}
    return [
        CallResult("case", n, CALL, {name: CriterionDecision(kinds[each], "because")})
        for n, each in enumerate(outcomes)
    ]


def criteria(**fields: Any) -> Criteria:
    return Criteria(criterion=(Criterion(name="it", no_tool="x", **fields),))


@pytest.mark.parametrize(
    ("new", "old", "fields", "verdict", "missed"),
    [
        ("f" * 12, "p" * 12, {}, Verdict.WORSE, "worse than the baseline"),
        ("f" * 12, "p" * 12, {"may_be_worse": True}, Verdict.WORSE, ""),
        ("p" * 12, "f" * 12, {}, Verdict.BETTER, ""),
        ("p" * 30, "p" * 30, {"min_pass_rate": 1}, Verdict.SAME, ""),
        ("pppf" * 10, "pppf" * 10, {"min_pass_rate": 0.9}, Verdict.SAME, "the pass rate is 0.75"),
        ("u" * 30, "p" * 30, {}, Verdict.UNDECIDED, ""),
        ("u" * 30, "p" * 30, {"min_pass_rate": 0.5}, Verdict.UNDECIDED, "no call shows it"),
        ("pf", "fp", {}, Verdict.UNDECIDED, ""),
    ],
    ids=str,
)
def test_the_result_of_calls(new: str, old: str, fields: dict[str, Any], verdict: Verdict, missed: str) -> None:
    result = result_of(criteria(**fields), calls(new), calls(old))
    (found,) = result.results
    assert found.comparison is not None and found.comparison.verdict is verdict
    assert missed in found.missed and bool(missed) == bool(found.missed)
    assert ("FAILED" in text_of(result)) == bool(missed)
    assert junit_of(result).count("<failure") == bool(missed)
    assert data_of(result)["passed"] is not bool(missed)


def test_a_judge_does_not_change_the_results_without_one() -> None:
    both = Criteria(criterion=(Criterion(name="it", no_tool="x"), Criterion(name="judged", judge="Is it good?")))
    new, old = calls("f" * 6 + "p" * 6), calls("p" * 12)
    alone = result_of(criteria(), new, old).results[0].comparison
    for each in (*new, *old):
        each.decisions["judged"] = each.decisions["it"]
    result = result_of(both, new, old)
    assert result.results[0].comparison == alone
    assert [name for name, rows in data_of(result)["criteria"].items() if rows] == [Family.CHECKED, Family.JUDGED]


def test_the_worst_calls_come_first() -> None:
    new, old = calls("pffp"), calls("pfpp")
    assert [call.nth for call in result_of(criteria(), new, old).worst()] == [2, 1]


def test_a_report_says_what_it_cannot_tell() -> None:
    text = text_of(result_of(criteria(), calls("pp"), calls("pp")))
    assert "cannot tell: 2 pairs" in text and "too few to show any difference" in text


def test_a_persona_has_defaults() -> None:
    assert Persona(name="Ada", goal="A table.").max_turns == 12
