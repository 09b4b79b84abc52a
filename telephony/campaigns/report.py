"""The results of a campaign as JSON values: a row for each contact, and the funnel (the numbers of contacts by state
and reason). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from .campaign import Campaign
from .contact import Attempt, Contact
from .hold_status import HoldStatus
from .store import CampaignStore, Funnel

__all__ = ["CSV_COLUMNS", "campaign_json", "csv_row", "funnel_json", "funnel_lines", "result_row", "result_rows"]

_PAGE = 1000
_ROW = ("id", "number", "extension", "line", "state", "reason", "problem", "attempts", "outcome", "answered_by")
CSV_COLUMNS = (*_ROW, "next_at", "message_left", "duration_s", "cost", "currency", "call_ids", "transcript")
"""The first columns of a CSV file. After them come the columns with the fields of the result (such as `result.comes`
for the field `comes`) and the columns with the data of the contact (such as `data.name`).
"""


def result_rows(store: CampaignStore, campaign_id: str) -> Iterator[dict[str, Any]]:
    """Yields a row for each contact, in the order of the file. If several lines of the file with the same number were
    combined into one contact, each of these lines has its own row.
    """
    after = ""
    while page := store.contacts(campaign_id, limit=_PAGE, after=after):
        for contact in page:
            attempts = store.attempts(campaign_id, contact.id)
            row = result_row(contact, attempts)
            groups = contact.data.get("contacts")
            if not contact.members or not isinstance(groups, list):
                yield row
                continue
            for member in groups:
                data = {name: value for name, value in member.items() if name != "id"}
                yield {**row, "id": member.get("id"), "data": data, "group": contact.id}
        after = page[-1].id


def result_row(contact: Contact, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Returns the results of a contact as JSON values: its state, its last outcome, the result and transcript of its
    calls, their cost and duration, each attempt, and the data of the contact. `attempts` has all attempts to reach the
    contact, in the order of time.
    """
    last = attempts[-1] if attempts else None
    costs = [each.cost for each in attempts if each.cost is not None]
    with_result = next((each for each in reversed(attempts) if each.result is not None), None)
    return {
        "id": contact.id,
        "number": contact.number,
        "extension": contact.extension,
        "lines": list(contact.lines),
        "state": contact.state.value,
        "reason": None if contact.reason is None else contact.reason.value,
        "problem": contact.problem,
        "next_at": _iso(contact.next_at),
        "outcome": None if last is None or last.outcome is None else last.outcome.value,
        "answered_by": "" if last is None else last.answered_by,
        "message_left": any(each.message_left for each in attempts),
        "result": None if with_result is None else with_result.result,
        "transcript": "" if last is None else last.transcript,
        "duration_s": sum(each.duration_s for each in attempts),
        "cost": round(sum(costs), 6) if costs else None,
        "currency": next((each.currency for each in attempts if each.currency), ""),
        "attempts": [_attempt(each) for each in attempts],
        "data": dict(contact.data),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "id": attempt.id,
        "sid": attempt.sid,
        "started_at": _iso(attempt.started_at),
        "ended_at": _iso(attempt.ended_at),
        "outcome": None if attempt.outcome is None else attempt.outcome.value,
        "answered_by": attempt.answered_by,
        "duration_s": attempt.duration_s,
        "cost": attempt.cost,
        "callback_at": _iso(attempt.callback_at),
        "inbound": attempt.inbound,
        "error": attempt.error,
    }


def csv_row(row: dict[str, Any]) -> dict[str, Any]:
    """Returns the cells of one CSV row about a contact of a campaign, by the name of the column. `row` is the result of
    the contact as a JSON object. The column `line` has the lines of the contact file from which the contact was read,
    and `call_ids` has the ids of the calls, both separated by spaces. `attempts` is the number of calls. Each field of
    the result and of the data has its own column.
    """
    cells = {name: row.get(name) for name in CSV_COLUMNS}
    cells["line"] = " ".join(map(str, row["lines"]))
    cells["attempts"] = len(row["attempts"])
    cells["call_ids"] = " ".join(each["sid"] or each["id"] for each in row["attempts"])
    result = row["result"] if isinstance(row["result"], dict) else {}
    cells |= {f"result.{name}": value for name, value in result.items()}
    cells |= {f"data.{name}": value for name, value in row["data"].items()}
    return cells


def funnel_json(funnel: Funnel) -> dict[str, Any]:
    return {
        "contacts": funnel.contacts,
        "states": {state.value: count for state, count in sorted(funnel.states.items(), key=lambda it: it[0].value)},
        "reasons": {reason.value: count for reason, count in _by_count(funnel.reasons)},
        "attempts": funnel.attempts,
        "outcomes": {outcome.value: count for outcome, count in _by_count(funnel.outcomes)},
        "answered": funnel.answered,
        "minutes": round(funnel.minutes, 2),
        "cost": round(funnel.cost, 6),
        "currency": funnel.currency,
    }


def campaign_json(campaign: Campaign, funnel: Funnel, held: HoldStatus | None = None) -> dict[str, Any]:
    """Returns a campaign as JSON values. `held` says why the campaign starts no call now. It is None if the campaign
    may start calls or has ended.
    """
    return {
        "id": campaign.id,
        "name": campaign.name,
        "status": campaign.status.value,
        "pause_reason": None if campaign.pause_reason is None else campaign.pause_reason.value,
        "held": None if held is None else held.to_json(),
        "created_at": _iso(campaign.created_at),
        "funnel": funnel_json(funnel),
    }


def funnel_lines(funnel: Funnel) -> list[str]:
    """Returns the funnel of a campaign as lines of text. The first lines have the number of contacts by state and
    reason. The other lines have the number of attempts by outcome.
    """
    lines = [f"{funnel.contacts} contacts"]
    lines += [f"  {count:6} {state.value}" for state, count in funnel.states.most_common() if state.value != "done"]
    lines += [f"  {count:6} {reason.value}" for reason, count in _by_count(funnel.reasons)]
    lines.append(
        f"{funnel.attempts} calls, {funnel.answered} with a person, {funnel.minutes:.1f} minutes" + _cost(funnel)
    )
    lines += [f"  {count:6} {outcome.value}" for outcome, count in _by_count(funnel.outcomes)]
    return lines


def _cost(funnel: Funnel) -> str:
    return f", {funnel.cost:.2f} {funnel.currency}" if funnel.cost else ""


def _by_count(counts: Any) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda it: (-it[1], it[0].value))


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
