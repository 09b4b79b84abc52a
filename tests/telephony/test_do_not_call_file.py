"""The file of the do-not-call list keeps its numbers from being called: in every notation, while several threads read
it, and after it could not be read for a time.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from realtime_core import UserError
from telephony.errors import CallRefused
from telephony.outbound import do_not_call, listed_numbers
from telephony.outbound.dialing_rules import DialingRules
from telephony.outbound.do_not_call import DoNotCall
from telephony.records.subjects import SubjectKey

BERLIN, MOSCOW, PECS, PAMPA, LONDON = "+4930901820", "+74951234567", "+36201234567", "+5491123456789", "+442079460958"


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+49 030 901820", BERLIN),
        ("+49030901820 asked by letter", BERLIN),
        ("0049 030 901820", BERLIN),
        ("+44 020 7946 0958", LONDON),
        ("8 (495) 123-45-67", MOSCOW),
        ("+7 8 495 1234567", MOSCOW),
        ("+36 06 20 123 4567", PECS),
        ("+54 11 15-2345-6789", PAMPA),
        ("011 15 2345-6789", PAMPA),
    ],
)
def test_a_prefix_that_is_dialled_within_a_country_hides_no_listed_number(
    tmp_path: Path, written: str, number: str
) -> None:
    path = tmp_path / "no.txt"
    path.write_text(f"{written}\n")
    assert number in DoNotCall(path) and "+4930901821" not in DoNotCall(path)
    key = SubjectKey(b"key")
    listed = DoNotCall(path, subjects=key)
    assert listed.hash(number) and number in listed
    assert path.read_text().startswith("subject:"), "the number is erased in this notation, too"


@pytest.mark.parametrize(
    "written",
    [
        "Tel. 030 901820",
        "Ada Lovelace 030 901820",
        "* 030 901820",
        "030\u00b7901820",
        "4930901820.0",
        "4930901999 4930901820",
        "030 901999 030 901820",
        "030901999\t030901820",
        "+4930901820/22",
    ],
)
def test_words_and_other_numbers_beside_it_hide_no_listed_number(tmp_path: Path, written: str) -> None:
    path = tmp_path / "no.txt"
    path.write_text(f"{written}\n")
    assert BERLIN in DoNotCall(path) and LONDON not in DoNotCall(path)


def test_numbers_of_the_file_reach_other_processes_in_e164(tmp_path: Path) -> None:
    path = tmp_path / "no.txt"
    path.write_text("+49 030 901820\n")
    assert BERLIN in DoNotCall(path).numbers()


@pytest.mark.parametrize("written", ["+49 030 901820", "+49 (0)30 901820", BERLIN])
def test_a_list_of_a_program_hides_no_number_either(written: str) -> None:
    rules = DialingRules(do_not_call=[written])
    with pytest.raises(CallRefused, match="do-not-call list"):
        rules.check(BERLIN, from_=BERLIN, now=datetime(2026, 6, 1, 12, tzinfo=UTC))


def test_a_list_that_is_restored_after_it_could_not_be_read_counts_again(tmp_path: Path) -> None:
    path, aside = tmp_path / "no.txt", tmp_path / "aside.txt"
    path.write_text(f"{BERLIN}\n")
    listed = DoNotCall(path)
    assert BERLIN in listed
    path.rename(aside)
    path.write_bytes(f"{LONDON}\n".encode("utf-16-le"))
    with pytest.raises(CallRefused):
        listed.__contains__(BERLIN)
    os.replace(aside, path)  # the file has the size, the time and the inode of before
    assert BERLIN in listed


def test_threads_that_read_a_changed_list_at_the_same_time_both_find_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "no.txt"
    path.write_text(f"{BERLIN}\n{LONDON}\n")
    listed = DoNotCall(path)
    first_is_inside, second_is_inside, first_is_done = threading.Event(), threading.Event(), threading.Event()
    usual = listed_numbers.numbers_of
    found: list[bool] = []

    def numbers_of(line: str) -> tuple[set[str], list[str]]:
        if threading.current_thread().name == "first" and line == LONDON:
            first_is_inside.set()
            assert second_is_inside.wait(10)
        elif threading.current_thread().name == "second" and line == BERLIN:
            second_is_inside.set()
            assert first_is_done.wait(10)
        return usual(line)

    def first() -> None:
        found.append(BERLIN in listed)
        first_is_done.set()

    monkeypatch.setattr(do_not_call, "numbers_of", numbers_of)
    threads = [threading.Thread(target=first, name="first")]
    threads.append(threading.Thread(target=lambda: found.append(BERLIN in listed), name="second"))
    threads[0].start()
    assert first_is_inside.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join(10)
    assert found == [True, True]


TWO_FORMS = [("+525512345678", "+5215512345678"), ("+541123456789", "+5491123456789")]


@pytest.mark.parametrize(("short", "long"), TWO_FORMS)
def test_a_phone_that_is_listed_in_one_form_is_not_called_in_the_other(tmp_path: Path, short: str, long: str) -> None:
    now = datetime(2026, 6, 1, 17, tzinfo=UTC)
    for listed, called in ((short, long), (long, short)):
        path = tmp_path / f"{listed}.txt"
        path.write_text(f"{listed}\n")
        file = DoNotCall(path, subjects=SubjectKey(b"key"))
        assert called in file and f"{called[:-1]}0" not in file
        assert file.hash(listed) and called in file, "the hash of one form counts for both"
        if called != "+5215512345678":  # not a valid number today
            for numbers in (DoNotCall(path, subjects=SubjectKey(b"key")), {listed}):
                rules = DialingRules(do_not_call=numbers, countries=["MX", "AR"])
                with pytest.raises(CallRefused, match="do-not-call list"):
                    rules.check(called, from_=BERLIN, now=now)


@pytest.mark.parametrize("path", [None, "", 5, b"list.txt", ["list.txt"]])
def test_a_list_needs_the_path_of_a_file(path: Any) -> None:
    with pytest.raises(UserError, match="write the path of a file"):
        DoNotCall(path)
