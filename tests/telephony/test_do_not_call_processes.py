"""Several processes change one do-not-call file at the same time. No number is lost from the file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telephony.outbound.do_not_call import DoNotCall

ERASED, OPTED_OUT, OTHER = "+4930901820", "+442079460958", "+14155550123"

Start = Callable[..., "subprocess.Popen[str]"]

# `pause` writes a word for the test, and continues after the test has written a line.
_PRELUDE = """
import fcntl, pathlib, sys
from telephony.outbound.do_not_call import DoNotCall
from telephony.records.subjects import SubjectKey

def say(word):
    print(word, flush=True)

def pause(word):
    say(word)
    sys.stdin.readline()

def before(owner, name, word, is_meant=lambda *args: True):
    original = getattr(owner, name)
    def paused(*args, **options):
        if is_meant(*args):
            pause(word)
        return original(*args, **options)
    setattr(owner, name, paused)

def after(owner, name, word, is_meant=lambda *args: True):
    original = getattr(owner, name)
    def paused(*args, **options):
        result = original(*args, **options)
        if is_meant(*args):
            pause(word)
        return result
    setattr(owner, name, paused)

flock = fcntl.flock
def announced(fd, operation):
    try:
        flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waits")
        flock(fd, operation)
fcntl.flock = announced

path, number = pathlib.Path(sys.argv[1]), sys.argv[2]
listed = DoNotCall(path, subjects=SubjectKey(b"key"))
"""
_ERASE = "assert listed.hash(number)\nsay('done')"
_ADD = "listed.add(number, 'asked for it')\nsay('done')"
_PAUSES_BEFORE_REPLACE = "before(pathlib.Path, 'replace', 'replaces')\n"
_PAUSES_AFTER_OPEN = "after(pathlib.Path, 'open', 'opened', lambda *args: 'a+b' in args)\n"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that runs this program with a lock that says when it waits."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _PRELUDE + program, *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def word_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "no.txt"
    path.write_text(f"{ERASED}\n")
    return path


@pytest.mark.parametrize(
    ("encoding", "rewrite", "number"),
    [("utf-8", _ERASE, ERASED), ("utf-16", _ERASE, ERASED), ("utf-16", _ADD, OTHER)],
    ids=["erases", "erases and changes the encoding", "changes the encoding"],
)
def test_a_number_that_is_added_while_another_process_rewrites_the_file_stays(
    path: Path, start: Start, encoding: str, rewrite: str, number: str
) -> None:
    path.write_text(f"{ERASED}\n", encoding=encoding)
    rewriter = start(_PAUSES_BEFORE_REPLACE + rewrite, path, number)
    assert word_of(rewriter) == "replaces", "the file was read, and is not yet replaced"
    adder = start(_ADD, path, OPTED_OUT)
    assert word_of(adder) in ("waits", "done")
    go_on(rewriter)
    assert rewriter.wait() == 0 and adder.wait() == 0
    assert number is ERASED or number in DoNotCall(path).numbers()
    assert OPTED_OUT in DoNotCall(path).numbers()


def test_a_number_that_is_added_to_a_replaced_file_stays(path: Path, start: Start) -> None:
    adder = start(_PAUSES_AFTER_OPEN + _ADD, path, OPTED_OUT)
    assert word_of(adder) == "opened"
    eraser = start(_ERASE, path, ERASED)
    assert word_of(eraser) == "done" and eraser.wait() == 0
    go_on(adder)
    assert word_of(adder) in ("opened", "done")  # the replaced file is opened again
    go_on(adder)
    assert adder.wait() == 0
    assert OPTED_OUT in DoNotCall(path).numbers()
    assert ERASED not in path.read_text()


def test_a_number_that_a_program_without_the_lock_appends_during_an_erasure_stays(path: Path, start: Start) -> None:
    eraser = start(_PAUSES_BEFORE_REPLACE + _ERASE, path, ERASED)
    assert word_of(eraser) == "replaces"
    with path.open("a") as file:
        file.write(f"{OPTED_OUT}\n")
    go_on(eraser)
    assert eraser.wait() == 0
    assert OPTED_OUT in DoNotCall(path).numbers()
    assert ERASED not in path.read_text()


def test_two_erasures_at_the_same_time_erase_both_numbers(path: Path, start: Start) -> None:
    path.write_text(f"{ERASED}\n{OPTED_OUT}\n")
    first = start(_PAUSES_BEFORE_REPLACE + _ERASE, path, ERASED)
    assert word_of(first) == "replaces"
    second = start(_ERASE, path, OPTED_OUT)
    assert word_of(second) in ("waits", "done")
    go_on(first)
    assert first.wait() == 0 and second.wait() == 0
    assert path.read_text().count("subject:") == 2
    assert ERASED not in path.read_text() and OPTED_OUT not in path.read_text()
