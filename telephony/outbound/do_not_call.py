"""The do-not-call list in a file, the tool `opt_out` that adds numbers to the list, and the dialing rules of the
settings.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Any

import phonenumbers

from realtime_core import FunctionTool
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
from .dialing_rules import DialingRules

__all__ = ["DoNotCall", "dialing_rules_of", "opt_out", "opted_out", "simulated", "simulated_dialing_rules"]

log = logging.getLogger(__name__)

_E164 = re.compile(r"\+\d{7,15}(?!\S)")
_AS_WRITTEN = re.compile(r"\s*(?:[a-z]+:|[\"'])?\s*([\d\s().\-/]+(?:(?<=[\d\-])[A-Z]{3,}[A-Z\d\-]*)?)", re.IGNORECASE)
_INTERNATIONAL = re.compile(r"\+[\d\s().\-/]+")
_BETWEEN = re.compile(r"\s*(?:[,;|&{}\[\]\"]|\b(?:or|and|oder|und)\b)")
_SHORTEST_DIGITS = 7
_FROM_AMERICA = re.compile(r"0?11(?=\d{10})")
"""Matches the digits that are dialled before the country code in the United States and Canada."""
_SUBJECT = "subject:"
_UTF8 = encoding_of(b"")


class DoNotCall:
    """The do-not-call list in a file: phone numbers that must never be called, one number per line, preferably in the
    form `+14155550123`. Text after the number is a remark. A line that begins with `#` is also a remark. Other
    notations are accepted: several numbers on a line, an extension, or the prefix `tel:`. If a line may contain a
    number, that number is not called. A line `subject:...` is the keyed hash of an erased number. `subjects` is the key
    of these hashes (default: the key of the settings).

    The file is read again when it has changed, so other programs may write to the file. The file does not have to
    exist. In a `simulation`, the list never changes the file, and its additions stay in the simulation.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        simulation: Simulation | None = None,
        subjects: SubjectKey | None = None,
    ) -> None:
        self.path = Path(path)
        self.subjects = subjects
        self._subjects: set[str] = set()
        self._seen: tuple[int, int, int] | None = None
        self._digits: set[str] = set()
        self._endings: list[str] = []
        self._simulated = simulation is not None
        self._added = set[str]() if simulation is None else simulation.opted_out(self.path)

    def simulated(self, simulation: Simulation) -> DoNotCall:
        """Returns a list with the same numbers for a simulation. This list does not change the file."""
        return DoNotCall(self.path, simulation=simulation, subjects=self.subjects)

    def __contains__(self, number: object) -> bool:
        """Returns whether this number (E.164) is in the file or was added.

        Raises:
            CallRefused: the list cannot be read, so no number may be called, or `number` is not a text.
        """
        number = _text(number)
        if number in self._added:
            return True
        try:
            self._read()
        except OSError as error:
            raise CallRefused(f"The do-not-call list cannot be read, so no number is called: {error}") from error
        digits = number.lstrip("+")
        if self._subjects and self._subject(number) in self._subjects:
            return True
        return digits in self._digits or any(digits.endswith(ending) for ending in self._endings)

    def numbers(self) -> frozenset[str]:
        """Returns the numbers in the file that have a country code, in E.164.

        Raises:
            CallRefused: the list cannot be read.
        """
        try:
            self._read()
        except OSError as error:
            raise CallRefused(f"the do-not-call file cannot be read: {error}") from error
        return frozenset(f"+{digits}" for digits in self._digits)

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
        self._make_utf8()
        with self.path.open("a+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # the last line has no end
                    file.write(b"\n")
            file.write(f"{number} {' '.join(remark.split())}".rstrip().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def hash(self, number: str) -> bool:
        """Replaces this number by its keyed hash in each line that contains the number. The number stays on the list.
        Returns whether the number was on the list.

        Raises:
            OSError, CallRefused: the file could not be read or written.
        """
        if number not in self or not self.path.exists():
            return False
        digits, kept = number.lstrip("+"), []
        for line in self._text().splitlines():
            exact, ending = _numbers_of(legible(line))
            if digits not in exact and not any(digits.endswith(each) for each in ending):
                kept.append(line)
                continue
            kept += [f"+{each}" for each in sorted(exact - {digits})]
            kept += [each for each in ending if not digits.endswith(each)]
        if (subject := f"{_SUBJECT}{self._subject(number)}") not in kept:
            kept.append(subject)
        self._replace(kept)
        self._added.discard(number)
        return True

    def _make_utf8(self) -> None:
        """Writes a file in another encoding again in UTF-8, because lines are appended in UTF-8."""
        if self.path.exists() and encoding_of(self.path.read_bytes()[:4]) != _UTF8:
            self._replace(self._text().splitlines())

    def _replace(self, lines: Sequence[str]) -> None:
        """Replaces the whole file. After a crash, the file has the old or the new lines."""
        new = self.path.with_name(f"{self.path.name}.new")
        descriptor = os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, self.path.stat().st_mode & 0o777)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    def _subject(self, number: str) -> str:
        """Returns the hash of a number, with the fingerprint of the key.

        Raises:
            CallRefused: the hashes in the file were made with another key.
        """
        key = self.subjects = self.subjects or subject_key(read_settings())
        if any(not each.startswith(f"{key.fingerprint}:") for each in self._subjects):
            raise CallRefused(
                f"{self.path} has hashes of another TELEPHONY_NUMBER_KEY, so no number is called: set that key."
            )
        return f"{key.fingerprint}:{key.of(number)}"

    def _read(self) -> None:
        try:
            state = self.path.stat()
        except FileNotFoundError:
            self._seen, self._digits, self._endings, self._subjects = None, set(), [], set()
            return
        seen = state.st_mtime_ns, state.st_size, state.st_ino
        if seen == self._seen:
            return
        self._digits, self._endings, self._subjects = set(), [], set()
        for number, line in enumerate(self._text().splitlines(), 1):
            self._take(legible(line), number)
        self._seen = seen

    def _text(self) -> str:
        """Returns the text of the file: UTF-8, or UTF-16 or UTF-32 with a byte order mark, which Excel writes.

        Raises:
            CallRefused: the file is not text. Its numbers are unknown, so no number may be called.
        """
        data = self.path.read_bytes()
        text = data.decode(encoding_of(data), "replace")
        if "\0" in text:
            raise CallRefused(f"{self.path} is not text in UTF-8, so no number is called: save it as UTF-8.")
        return text

    def _take(self, line: str, number: int) -> None:
        if not line or line.startswith("#"):
            return
        if line.startswith(_SUBJECT):
            self._subjects.add(line.removeprefix(_SUBJECT).strip())
            return
        exact, ending = _numbers_of(line)
        self._digits |= exact
        self._endings += ending
        if not exact and not ending:
            log.warning(
                "%s, line %d has no phone number, so the line has no effect: write it like +14155550123.",
                self.path,
                number,
            )


def _text(number: object) -> str:
    try:
        return text_of(number)
    except ValueError as error:
        raise CallRefused(f"{number!r:.100} is not in a do-not-call list: {error}.") from None


def _numbers_of(line: str) -> tuple[set[str], list[str]]:
    """Returns the digits of the numbers in a line: the numbers with a country code, and the numbers without a country
    code.
    """
    if line.startswith(("#", _SUBJECT)):
        return set(), []
    found: set[str] = set()
    if (exact := _E164.match(line)) is not None:
        found.add(exact[0][1:])
        line = line[exact.end() :]
        if "+" not in line and not _BETWEEN.match(line):
            return found, []
    line = line.replace("(0)", "")  # dialled within the country only
    whole = {re.sub(r"\D", "", each) for each in _INTERNATIONAL.findall(line)}
    # A number without a country code, which may begin with the 0 of national numbers.
    ending = {_digits(part).lstrip("0") for part in _BETWEEN.split(_INTERNATIONAL.sub(" ", line))}
    ending |= {_FROM_AMERICA.sub("", digits, count=1) for digits in ending}
    found |= {digits for digits in whole if len(digits) >= _SHORTEST_DIGITS}
    return found, [digits for digits in ending if len(digits) >= _SHORTEST_DIGITS]


def _digits(written: str) -> str:
    """Returns the digits of the number at the start of the text. Letters, as in 1-800-FLOWERS, are converted to
    digits.
    """
    found = _AS_WRITTEN.match(written)
    return "" if found is None else re.sub(r"\D", "", phonenumbers.convert_alpha_characters_in_number(found[1]))


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
