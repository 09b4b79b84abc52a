"""The do-not-call list in a file, the tool `opt_out` that adds numbers to the list, and the dialing rules of the
settings.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import time
from pathlib import Path
from typing import Any

from realtime_core import FunctionTool, UserError
from realtime_core.run_context import ToolContext

from ..call.call import Call
from ..call.simulation import Simulation
from ..errors import CallRefused, RecordRefused, RecordsUnavailable
from ..records.opt_outs import OptOutSource
from ..records.subjects import SubjectKey, subject_key
from ..settings import Settings, read_settings
from ..text_encoding import encoding_of
from ..twilio.caller_id import is_withheld
from ..twilio.numbers import legible, text_of
from ..twilio.phone_forms import forms_of_one_phone
from .dialing_rules import DialingRules
from .listed_numbers import forms_of, numbers_of, written_forms
from .locked_file import append_line, locked, replace_lines

__all__ = ["DoNotCall", "dialing_rules_of", "opt_out", "opted_out", "simulated", "simulated_dialing_rules"]

log = logging.getLogger(__name__)

_SUBJECT = "subject:"
_UTF8 = encoding_of(b"")


@dataclass(frozen=True, slots=True)
class _Listed:
    """The content of a file. `digits` are the digits of its numbers with a country code, and `endings` those of the
    others. `subjects` are the hashes of erased numbers. `seen` tells versions of the file apart.
    """

    seen: tuple[int, int, int] | None = None
    digits: frozenset[str] = frozenset()
    endings: tuple[str, ...] = ()
    subjects: frozenset[str] = frozenset()


class DoNotCall:
    """The do-not-call list in a file: phone numbers that must never be called, one number per line, preferably in the
    form `+14155550123`. Text after the number is a remark. A line that begins with `#` is also a remark. Other
    notations are accepted: several numbers on a line, an extension, or the prefix `tel:`. If a line may contain a
    number, that number is not called. A line `subject:...` is the keyed hash of an erased number. `subjects` is the key
    of these hashes. With None, the key of the settings is used.

    The file is read again when it has changed, so other programs may write to the file. Processes of this package hold
    a lock on the file while they change it. The file does not have to exist. If `simulation` is given, numbers are not
    added to the file, but only kept in this simulation.

    Raises:
        UserError: `path` is empty or is no path.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        simulation: Simulation | None = None,
        subjects: SubjectKey | None = None,
    ) -> None:
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise UserError("DoNotCall(path): write the path of a file, like 'do-not-call.txt'.")
        self.path = Path(path)
        self.subjects = subjects
        self._listed = _Listed()
        """The content of the file. Threads read the file at the same time, so it is replaced as a whole."""
        self._simulated = simulation is not None
        self._added = set[str]() if simulation is None else simulation.opted_out(self.path)

    def simulated(self, simulation: Simulation) -> DoNotCall:
        """Returns a do-not-call list for simulated calls, which contains the numbers of this list. Numbers that are
        added to the returned list are kept in memory, and do not change the file.
        """
        return DoNotCall(self.path, simulation=simulation, subjects=self.subjects)

    def __contains__(self, number: object) -> bool:
        """Returns whether this number (E.164) is in the file or was added.

        Raises:
            CallRefused: the list cannot be read, so no number may be called, or `number` is not a text.
        """
        phone = forms_of_one_phone(_text(number))
        if not self._added.isdisjoint(phone):
            return True
        try:
            listed = self._read()
        except OSError as error:
            raise CallRefused(f"The do-not-call list cannot be read, so no number is called: {error}") from error
        if listed.subjects and any(self._subject(each, listed.subjects) in listed.subjects for each in phone):
            return True
        forms = [form for each in phone for form in forms_of(each)]
        return any(form in listed.digits or form.endswith(listed.endings) for form in forms)

    def numbers(self) -> frozenset[str]:
        """Returns the numbers in the file that have a country code, in E.164.

        Raises:
            CallRefused: the list cannot be read.
        """
        try:
            listed = self._read()
        except OSError as error:
            raise CallRefused(f"the do-not-call file cannot be read: {error}") from error
        return frozenset(f"+{digits}" for digits in listed.digits)

    def add(self, number: str, remark: str = "") -> None:
        """Adds a number to the list, with `remark` behind it. Outside of a simulation, the number is on the disk when
        the method returns.

        Raises:
            OSError, CallRefused: the file could not be written. Only this process knows the number. `CallRefused` is
                also raised if `number` is not a text.
        """
        number = _text(number)
        try:
            if number in self:
                return
        finally:
            self._added.add(number)
        if self._simulated:
            log.info("A number opted out in a simulated call. %s is not changed.", self.path)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path) as file:
            if self._is_utf8():
                append_line(file, _line(number, remark))
            else:  # lines are appended in UTF-8
                replace_lines(self.path, [*self._text().splitlines(), _line(number, remark)])

    def hash(self, number: str) -> bool:
        """Replaces this number by its keyed hash in each line of the do-not-call file that contains the number. The
        person is still not called, because the hash of a number is compared, too. Returns whether the number was on the
        list.

        Raises:
            OSError, CallRefused: the file could not be read or written.
        """
        if number not in self or not self.path.exists():
            return False
        with locked(self.path) as file:
            known = self._text().splitlines()
            replace_lines(self.path, self._with_hash(number, known))
            # Another program, which takes no lock, may have appended a line after the file was read.
            file.seek(0)
            late = [line for line in self._decoded(file.read()).splitlines() if line not in known]
        for line in late:
            with locked(self.path) as file:
                append_line(file, line)
        self._added.discard(number)
        return True

    def _with_hash(self, number: str, lines: Sequence[str]) -> list[str]:
        """Returns the lines of the file with the hash of this number in place of the number."""
        forms = frozenset(form for each in forms_of_one_phone(number) for form in forms_of(each))
        kept = list[str]()
        for line in lines:
            exact, endings = _numbers_in(legible(line))
            others = [each for each in endings if not any(form.endswith(each) for form in forms)]
            if exact.isdisjoint(forms) and others == endings:
                kept.append(line)
                continue
            kept += [f"+{each}" for each in sorted(exact) if written_forms(each).isdisjoint(forms)]
            kept += others
        if (subject := f"{_SUBJECT}{self._subject(number, self._read().subjects)}") not in kept:
            kept.append(subject)
        return kept

    def _is_utf8(self) -> bool:
        return encoding_of(self.path.read_bytes()[:4]) == _UTF8

    def _subject(self, number: str, listed: Collection[str]) -> str:
        """Returns the hash of a number, with the fingerprint of the key. `listed` are the hashes in the file.

        Raises:
            CallRefused: the hashes in the file were made with another key.
        """
        key = self.subjects = self.subjects or subject_key(read_settings())
        if any(not each.startswith(f"{key.fingerprint}:") for each in listed):
            raise CallRefused(
                f"{self.path} has hashes of another TELEPHONY_NUMBER_KEY, so no number is called: set that key."
            )
        return f"{key.fingerprint}:{key.of(number)}"

    def _read(self) -> _Listed:
        """Returns the content of the file. The file is read only if it has changed."""
        listed = self._listed
        try:
            state = self.path.stat()
        except FileNotFoundError:
            self._listed = listed = _Listed()
            return listed
        seen = state.st_mtime_ns, state.st_size, state.st_ino
        if seen != listed.seen:
            self._listed = listed = self._content(seen)
        return listed

    def _content(self, seen: tuple[int, int, int]) -> _Listed:
        digits, endings, subjects = set[str](), list[str](), set[str]()
        for number, line in enumerate(map(legible, self._text().splitlines()), 1):
            exact, others = _numbers_in(line)
            digits |= exact
            endings += others
            if line.startswith(_SUBJECT):
                subjects.add(line.removeprefix(_SUBJECT).strip())
            elif line and not line.startswith("#") and not exact and not others:
                log.warning(
                    "%s, line %d has no phone number, so the line has no effect: write it like +14155550123.",
                    self.path,
                    number,
                )
        return _Listed(seen, frozenset(digits), tuple(endings), frozenset(subjects))

    def _text(self) -> str:
        """Returns the text of the file: UTF-8, or UTF-16 or UTF-32 with a byte order mark, which Excel writes.

        Raises:
            CallRefused: the file is not text. Its numbers are unknown, so no number may be called.
        """
        return self._decoded(self.path.read_bytes())

    def _decoded(self, data: bytes) -> str:
        text = data.decode(encoding_of(data), "replace")
        if "\0" in text:
            raise CallRefused(f"{self.path} is not text in UTF-8, so no number is called: save it as UTF-8.")
        return text


def _line(number: str, remark: str) -> str:
    return f"{number} {' '.join(remark.split())}".rstrip()


def _numbers_in(line: str) -> tuple[set[str], list[str]]:
    """Returns the numbers in a line (see `numbers_of`). A remark and a hash contain no numbers."""
    return (set(), []) if line.startswith(("#", _SUBJECT)) else numbers_of(line)


def _text(number: object) -> str:
    try:
        return text_of(number)
    except ValueError as error:
        raise CallRefused(f"{number!r:.100} is not in a do-not-call list: {error}.") from None


def opt_out(do_not_call: DoNotCall | None = None) -> FunctionTool:
    """Returns the tool `opt_out`, which adds the other party to the do-not-call list of the application and to the file
    `do_not_call`. The agents of placed calls get the tool automatically. A simulated call does not change a list of
    real people.
    """

    async def invoke(context: ToolContext[Any], arguments: str) -> str:
        call = context.context
        if not isinstance(call, Call):
            return "This works on phone calls only."
        try:
            if not await opted_out(call, OptOutSource.PHONE, "asked for it on the phone", do_not_call):
                return "The number is not known, so it cannot be put on the list."
        except (OSError, CallRefused, RecordsUnavailable, RecordRefused) as error:
            log.error("Call %s: the number could not be added to the do-not-call list: %s", call.sid, error)
            return "The list cannot be written to right now. Say that you pass it on to a person, and apologise."
        return "They are on the list and will not be called again. Say so, apologise, and say goodbye."

    description = "The person does not want to be called again. Use it as soon as they say so, and only then."
    return FunctionTool("opt_out", description, {"type": "object", "properties": {}}, invoke, strict_json_schema=False)


async def opted_out(call: Call, source: OptOutSource, remark: str, file: DoNotCall | None = None) -> bool:
    """Adds the other party of a call to the do-not-call list of the application and to `file`. `source` says how the
    party asked for this, and `remark` is a text for the list. Returns False if the number of the party is not known.

    Raises:
        RecordsUnavailable, RecordRefused, OSError, CallRefused: a list cannot be written.
    """
    number = call.caller if call.info.direction == "inbound" else call.called
    call.opted_out = True
    if is_withheld(number):
        return False
    try:
        if call.opt_outs is not None:
            await call.opt_outs.add(number, source, remark, simulation=call.simulation)
    finally:
        if file is not None:
            listed = file if call.simulation is None else file.simulated(call.simulation)
            await asyncio.to_thread(listed.add, number, remark)
    return True


def simulated(rules: DialingRules, simulation: Simulation) -> DialingRules:
    """Returns the dialing rules for the calls of a simulation: the same rules, but opt-outs are never written to the
    do-not-call file.
    """
    if not isinstance(rules.do_not_call, DoNotCall):
        return rules
    return replace(rules, do_not_call=rules.do_not_call.simulated(simulation))


def simulated_dialing_rules(settings: Settings) -> DialingRules:
    """Returns the rules for simulated calls: only the rules that are set explicitly. The default quiet hours and
    countries protect real people, so simulated calls do not have these defaults.
    """
    rules, given = dialing_rules_of(settings), settings.model_fields_set
    if "telephony_quiet_hours" not in given:
        rules = replace(rules, quiet_from=time(0), quiet_until=time(0))
    if "telephony_call_countries" not in given:
        rules = replace(rules, countries=DialingRules.none().countries)
    return rules


def dialing_rules_of(settings: Settings) -> DialingRules:
    """Returns the dialing rules from TELEPHONY_QUIET_HOURS, TELEPHONY_DO_NOT_CALL and TELEPHONY_CALL_COUNTRIES."""
    quiet_from, quiet_until = settings.quiet_hours
    countries, path = settings.telephony_call_countries, settings.telephony_do_not_call
    if path is not None and not path.exists():
        log.warning("TELEPHONY_DO_NOT_CALL: %s does not exist. The first opt-out creates it.", path.absolute())
    return DialingRules(
        countries=None if countries is None else frozenset(countries.upper().split(",")),
        quiet_from=quiet_from,
        quiet_until=quiet_until,
        do_not_call=() if path is None else DoNotCall(path, subjects=subject_key(settings)),
    )
