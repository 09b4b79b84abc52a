"""The result of an eval as a table, as JSON and as JUnit XML. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from .comparison import CallResult, CriterionResult, EvalResult, Rate
from .criteria import Family

__all__ = ["TITLES", "counts_text", "data_of", "junit_of", "rate_text", "rows_of", "text_of", "verdict_text"]

TITLES = {
    Family.MEASURED: "Measured at the caller's ear",
    Family.CHECKED: "Checked: tools, results, words, order",
    Family.JUDGED: "Judged by a text model",
}
_WORST = 5


def rate_text(rate: Rate | None) -> str:
    """Returns a pass rate with its confidence interval as text, such as `93 % (81-98)`."""
    if rate is None:
        return ""
    if rate.rate is None:
        return "cannot tell"
    return f"{rate.rate:.0%} ({rate.interval.low * 100:.0f}-{rate.interval.high * 100:.0f})".replace("%", " %", 1)


def verdict_text(result: CriterionResult) -> str:
    """Returns the verdict (better, same, worse or undecided) as text, with the reason if it is undecided. Returns an
    empty text if there is no baseline (no agent to compare with).
    """
    if result.comparison is None:
        return ""
    return f"{result.comparison.verdict}{f' ({result.comparison.why})' if result.comparison.why else ''}"


def counts_text(result: CriterionResult) -> str:
    """Returns a text about the calls of the new agent that were decided for one criterion: the number of calls that
    passed or failed, the number of calls for which the judge could not tell, and how often the votes of the judge
    agree.
    """
    parts = [f"{result.new.passed + result.new.failed} calls"]
    if result.new.unknown:
        parts.append(f"{result.new.unknown} cannot tell")
    if result.new.agreement is not None:
        parts.append(f"votes agree to {result.new.agreement:.0%}")
    return ", ".join(parts)


def rows_of(result: EvalResult, family: Family) -> Iterator[tuple[str, str, str, str, str]]:
    """Yields the rows of the table about one family of criteria (measured, checked, or judged by a text model). Each
    row is about one criterion: its name, the pass rate of the new agent, the pass rate of the baseline (the agent to
    compare with), the verdict, and a note.
    """
    for each in result.results:
        if each.criterion.family is family:
            note = "; ".join(filter(None, [f"FAILS: {each.missed}" if each.missed else "", _figures(each)]))
            yield each.criterion.name, rate_text(each.new), rate_text(each.baseline), verdict_text(each), note


def _figures(each: CriterionResult) -> str:
    """Returns the numbers behind the verdict on a criterion as text: the counts, the medians and the p value."""
    parts = [counts_text(each)]
    if each.new.median is not None:
        before = each.baseline.median if each.baseline is not None else None
        parts.append(f"median {each.new.median:g}{'' if before is None else f' (baseline {before:g})'}")
    if each.comparison is not None:
        p = each.comparison.adjusted_p
        parts.append("p < 0.001" if p < 0.001 else f"p = {p:.3f}")
    return ", ".join(parts)


def text_of(result: EvalResult) -> str:
    """Returns the whole result of an eval as text, with its tables."""
    lines = [*_about(result)]
    for family in Family:
        rows = list(rows_of(result, family))
        if not rows:
            continue
        lines += ["", f"{TITLES[family]}{_judge_note(result) if family is Family.JUDGED else ''}"]
        width = max(len(row[0]) for row in rows)
        for name, new, baseline, verdict, note in rows:
            then = f" | baseline {baseline}" if baseline else ""
            lines.append(f"  {name:{width}}  {new}{then}{f'  {verdict}' if verdict else ''}")
            lines.append(f"  {'':{width}}    {note}")
    lines += ["", *_closing(result)]
    return "\n".join(lines)


def _about(result: EvalResult) -> list[str]:
    about = result.about
    lines = [f"{len(result.new)} calls of {about.get('agent', 'the new agent')}"]
    if result.has_baseline:
        lines[0] += f", {len(result.baseline)} of {about.get('baseline', 'the baseline')}"
    lines += [str(note) for note in about.get("notes", ())]
    return lines


def _judge_note(result: EvalResult) -> str:
    judge = result.about.get("judge")
    return f" ({judge})" if judge else ""


def _closing(result: EvalResult) -> list[str]:
    lines = []
    smallest = [each.comparison.detectable for each in result.results if each.comparison is not None]
    if smallest:
        known = [value for value in smallest if value is not None]
        lines.append(
            f"The smallest difference that these calls can show (in four of five runs): {min(known):.0%}."
            if known
            else "These calls are too few to show any difference. Make more calls, or ask for fewer criteria."
        )
        lines.append(f'"same" means: the difference is certainly below {result.criteria.margin:.0%}.')
        lines.append("The comparison is about these cases. It says nothing about callers who are unlike them.")
    if worst := result.worst(_WORST):
        lines += ["", "Worst calls:"]
        for call in worst:
            reasons = "; ".join(f"{name}: {call.decisions[name].why}" for name in call.failed[:3])
            lines.append(f"  {call.name}: {reasons}")
            if call.journal and result.about.get("saved"):
                name = re.sub(r"[^A-Za-z0-9]+", "_", f"{call.case}_{call.nth}")
                lines.append(
                    "    as a replay test: telephony calls test add "
                    f"{shlex.quote(call.journal)} --name {name} --agent {result.about.get('agent')}"
                )
    lines.append("")
    missed = result.missed
    lines.append(
        f"FAILED: {', '.join(f'{each.criterion.name} ({each.missed})' for each in missed)}" if missed else "Passed."
    )
    return lines


def data_of(result: EvalResult) -> dict[str, Any]:
    """Returns the whole result of an eval as a JSON object. The field `criteria` of the object has three lists of
    results: `measured`, `checked`, and `judged` (by a text model).
    """
    return {
        "about": dict(result.about),
        "margin": result.criteria.margin,
        "alpha": result.criteria.alpha,
        "passed": not result.missed,
        "criteria": {
            family.value: [_criterion(each) for each in result.results if each.criterion.family is family]
            for family in Family
        },
        "calls": {
            "new": [_call(call) for call in result.new],
            "baseline": [_call(call) for call in result.baseline],
        },
        "worst": [call.name for call in result.worst()],
    }


def _criterion(each: CriterionResult) -> dict[str, Any]:
    comparison = None if each.comparison is None else asdict(each.comparison)
    return {
        "name": each.criterion.name,
        "new": {**asdict(each.new), "rate": each.new.rate},
        "baseline": None if each.baseline is None else {**asdict(each.baseline), "rate": each.baseline.rate},
        "comparison": comparison,
        "dropped_pairs": each.dropped_pairs,
        "missed": each.missed,
    }


def _call(call: CallResult) -> dict[str, Any]:
    return {
        "case": call.case,
        "nth": call.nth,
        "seed": call.seed,
        "cpu_s": call.cpu_s,
        "journal": call.journal,
        "rulings": {name: asdict(decision) for name, decision in call.decisions.items()},
        "evidence": call.evidence.to_json(),
    }


def junit_of(result: EvalResult) -> str:
    """Returns the result of an eval as JUnit XML with one test case for each criterion. A criterion that makes the
    command `telephony eval` fail becomes a `failure` in the XML.
    """
    suite = ElementTree.Element(
        "testsuite", name="telephony eval", tests=str(len(result.results)), failures=str(len(result.missed)), errors="0"
    )
    for each in result.results:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"eval.{each.criterion.family}", name=each.criterion.name
        )
        said = f"new {rate_text(each.new)}, baseline {rate_text(each.baseline) or 'none'}: {verdict_text(each)}"
        if each.missed:
            failure = ElementTree.SubElement(case, "failure", message=_plain(each.missed))
            failure.text = _plain("\n".join([said, _figures(each), *_reasons(each.criterion.name, result.new)]))
        else:
            ElementTree.SubElement(case, "system-out").text = _plain(f"{said}\n{_figures(each)}")
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _reasons(name: str, calls: Sequence[CallResult]) -> list[str]:
    return [f"{call.name}: {call.decisions[name].why}" for call in calls if name in call.failed][:20]


def _plain(text: str) -> str:
    """Returns the text without characters that XML does not allow."""
    return "".join(c for c in text if c in "\n\t" or c >= " ")
