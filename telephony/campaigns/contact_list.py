"""Reads contacts from a CSV file or from rows of a program, and checks each contact. Pure.

A row that cannot be used, for example because it has no valid number, becomes a contact with the state `INVALID`.
Therefore the results contain this row, too. Rows are merged only if they are equal in every column.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..errors import CallRefused, CampaignError
from ..outbound.dialing_rules import DialingRules
from ..twilio.numbers import legible, split_extension
from ..twilio.phone_forms import main_form
from .contact import Contact, ContactState
from .places import time_zones

__all__ = ["ContactList", "contacts_from_csv", "contacts_from_rows"]

_NUMBER_COLUMNS = ("to", "number", "phone", "phone_number", "telephone", "mobile")
_YES = frozenset({"yes", "y", "true", "1", "x", "ja", "j", "si", "oui"})
_NO = frozenset({"no", "n", "false", "0", "nein", "non"})
_MAX_ID = 200
_SEPARATOR_LINE = re.compile(r"sep=[,;\t]?\s*")


@dataclass(frozen=True, slots=True)
class ContactList:
    """The contacts in the order of the file. `merged` has one pair for each row that was equal to an earlier row: (line
    of the row, line of the earlier row). The first line is 1.
    """

    contacts: tuple[Contact, ...] = ()
    merged: tuple[tuple[int, int], ...] = ()

    @property
    def invalid(self) -> list[Contact]:
        return [each for each in self.contacts if each.state is ContactState.INVALID]


def contacts_from_csv(text: str, *, own_number: str, rules: DialingRules, group: bool = False) -> ContactList:
    """Reads the contacts of a CSV file with a header. `text` is the content of the file. The separator is a comma, a
    semicolon or a tab.

    The required column is `to` (also accepted: number, phone, phone_number, telephone, mobile). The optional columns
    are `id`, `timezone` and `consent`. All other columns are data for the agent. `own_number` is the phone number from
    which the calls are made. Its country is the default country of the contacts' numbers. A number that `rules` never
    allow to call makes its contact invalid. If `group` is True, contacts with the same number become one call.

    Raises:
        CampaignError: the file has no usable header.
    """
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    if lines and _SEPARATOR_LINE.fullmatch(lines[0]):
        lines[0] = "\n"  # a note of Excel about the separator; the numbers of the lines stay
    first = next(filter(str.strip, lines), "")
    records = _records(lines, max(",;\t", key=first.count))
    header = next((cells for _, cells in records if isinstance(cells, list) and any(map(str.strip, cells))), None)
    if header is None:
        raise CampaignError("The file is empty: its first line names the columns, like to,name.")
    columns = _columns(header)
    return _checked((_row(line, cells, columns) for line, cells in records), own_number, rules, group=group)


def contacts_from_rows(
    rows: Iterable[Mapping[str, Any]], *, own_number: str, rules: DialingRules, group: bool = False
) -> ContactList:
    """Checks contacts that a program supplies, and returns the valid and the invalid contacts. Each row is a mapping
    from column names to values. The column `to` (the phone number) is required. The columns `id`, `timezone` and
    `consent` are optional. All other columns are data for the agent, and their values may be any JSON values.

    `own_number` is the phone number from which the calls are made. Its country is the default country of the numbers. A
    number that `rules` never allow to call makes its contact invalid. If `group` is True, contacts with the same number
    become one call. The line of a contact is its position in `rows`, and the first row is 1.
    """
    return _checked(((n, dict(row), "") for n, row in enumerate(rows, 1)), own_number, rules, group=group)


# --- CSV --------------------------------------------------------------------------------------------------------------

_Row = tuple[int, dict[str, Any], str]
"""The line number, the values by column, and a problem with the whole line."""


def _records(lines: Sequence[str], separator: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yields each record with the number of its first line. For a line that is not CSV, yields a text with the problem
    in place of the record, and continues with the next line.
    """
    at = 0
    while at < len(lines):
        start, reader = at, csv.reader((lines[n] for n in range(at, len(lines))), delimiter=separator, strict=True)
        try:
            for cells in reader:
                yield at + 1, cells
                at = start + reader.line_num
        except csv.Error:
            fault = "a cell is too long" if len(lines[at]) > csv.field_size_limit() else "because of a quotation mark"
            yield at + 1, f"not a line of CSV, {fault}: {lines[at].strip()[:80]}"
            at += 1


def _columns(header: Sequence[str]) -> list[str]:
    columns = [legible(name) for name in header]
    lower = [name.lower().replace(" ", "_") for name in columns]
    number = next((name for name in _NUMBER_COLUMNS if name in lower), None)
    if number is None:
        raise CampaignError(
            f"There is no column with the numbers, only {', '.join(filter(None, columns))[:200] or 'empty names'}. "
            "The first line names the columns: to,name."
        )
    known = {number: "to", "id": "id", "timezone": "timezone", "time_zone": "timezone", "consent": "consent"}
    named = [known.get(name, columns[at]) for at, name in enumerate(lower)]
    if twice := {name for name in named if name and named.count(name) > 1}:
        raise CampaignError(f"The column {min(twice)} exists twice: rename one of them.")
    return named


def _row(line: int, cells: list[str] | str, columns: Sequence[str]) -> _Row:
    if isinstance(cells, str):
        return line, {}, cells
    values = {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if name and cell.strip()}
    has_more_cells = any(cell.strip() for cell in cells[len(columns) :])
    return line, values, f"{len(cells)} cells, and the header has {len(columns)}" if has_more_cells else ""


# --- checks -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _PartialList:
    """The contacts that were found so far in a list."""

    contacts: dict[str, Contact] = field(default_factory=dict)
    merged: list[tuple[int, int]] = field(default_factory=list)
    same_phone: defaultdict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    """The ids that were made from a number, by the main form of the number and the extension."""


def _checked(rows: Iterable[_Row], own_number: str, rules: DialingRules, *, group: bool) -> ContactList:
    # Calling hours and the do-not-call list are checked before each attempt.
    at_any_time = replace(rules, quiet_from=time(0), quiet_until=time(0), do_not_call=())
    found = _PartialList()
    for line, values, problem in rows:
        if not values and not problem:
            continue
        given_id = str(values.get("id") or "").strip()
        try:
            if problem:
                raise ValueError(problem)
            contact = _contact(values, given_id, own_number, at_any_time)
            _add(found, contact, line, given_id)
        except (ValueError, CallRefused) as error:
            _add_invalid(found, values, line, given_id, str(error))
    contacts = found.contacts.values()
    return ContactList(tuple(_grouped(contacts) if group else contacts), tuple(found.merged))


def _contact(values: Mapping[str, Any], given_id: str, own_number: str, rules: DialingRules) -> Contact:
    """Returns the contact of a row, without a final id. Raises `ValueError` or `CallRefused` for an invalid row."""
    if len(given_id) > _MAX_ID:
        raise ValueError(f"the id is longer than {_MAX_ID} characters")
    to = values.get("to")
    number, extension = split_extension(str(to) if isinstance(to, int) else to)
    zone = str(values.get("timezone") or "").strip()
    if zone:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{zone!r} is no time zone: write it like Europe/Berlin") from None
    number = rules.check(number, from_=own_number, now=datetime(2000, 1, 1, tzinfo=UTC), timezone=zone or None)
    if not zone and not rules.timezone and not time_zones(number):
        raise ValueError(f"the time zone of {number} is not known: write it in the column timezone")
    data = {name: value for name, value in values.items() if name not in ("to", "id", "timezone", "consent")}
    return Contact(given_id, number, extension, zone, _consent(values.get("consent")), data)


def _consent(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _YES or text in _NO:
        return text in _YES
    if text:
        raise ValueError(f"consent is {value!r}: write yes or no")
    return None


def _add(found: _PartialList, contact: Contact, line: int, given_id: str) -> None:
    """Adds a contact, or merges the contact with an equal contact. Raises `ValueError` if its id belongs to another
    contact.
    """
    plain = f"{contact.number}x{contact.extension}" if contact.extension else contact.number
    phone = main_form(contact.number), contact.extension
    candidates = [given_id] if given_id else found.same_phone[phone]
    for candidate in candidates:
        known = found.contacts.get(candidate)
        if known is not None and _is_same(contact, known):
            found.contacts[known.id] = replace(known, lines=(*known.lines, line))
            found.merged.append((line, known.lines[0]))
            return
    if given_id:
        if given_id in found.contacts:
            other = found.contacts[given_id].lines[0]
            raise ValueError(f"the id {given_id} belongs to line {other}, which has other values")
        new_id = given_id
    else:
        new_id = plain if not candidates else f"{plain}/{len(candidates) + 1}"
        while new_id in found.contacts:
            new_id += "'"
        candidates.append(new_id)
    found.contacts[new_id] = replace(contact, id=new_id, lines=(line,))


def _is_same(contact: Contact, known: Contact) -> bool:
    """Returns whether a contact has the values of a known contact. Its number may have another form."""
    same = replace(contact, id=known.id, number=known.number, lines=known.lines) == known
    return same and main_form(contact.number) == main_form(known.number)


def _add_invalid(found: _PartialList, values: Mapping[str, Any], line: int, given_id: str, problem: str) -> None:
    new_id = given_id[:_MAX_ID]
    if not new_id or new_id in found.contacts:
        new_id = f"line-{line}"
        while new_id in found.contacts:
            new_id += "'"
    data = {name: value for name, value in values.items() if name not in ("to", "id", "timezone", "consent")}
    number = str(values.get("to") or "")
    problem = problem.rstrip(".")
    found.contacts[new_id] = Contact(
        new_id, number, data=data, lines=(line,), state=ContactState.INVALID, problem=problem
    )


def _grouped(contacts: Iterable[Contact]) -> Iterator[Contact]:
    """Yields one contact for each phone. `data["contacts"]` has the data of each member."""
    groups: dict[tuple[str, str], list[Contact]] = {}
    for contact in contacts:
        invalid = contact.state is ContactState.INVALID
        key = (contact.id, "invalid") if invalid else (main_form(contact.number), contact.extension)
        groups.setdefault(key, []).append(contact)
    for members in groups.values():
        first = members[0]
        if len(members) == 1:
            yield first
            continue
        answers = {each.consent for each in members}
        yield replace(
            first,
            timezone=next((each.timezone for each in members if each.timezone), ""),
            consent=False if False in answers else None if None in answers else True,
            data={**first.data, "contacts": [{"id": each.id, **each.data} for each in members]},
            members=tuple(each.id for each in members),
            lines=tuple(line for each in members for line in each.lines),
        )
