"""The numbers file: its meaning, and that each mistake is found with its line and the remedy."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from telephony.errors import NumbersFileError
from telephony.numbers.number_file import parse_numbers, read_numbers
from telephony.numbers.policies import ConsentPolicy
from telephony.numbers.toml_lines import TomlLines

FILE = """\
[accounts.berlin]
sid = "AC0123456789abcdef0123456789abcdef"
auth_token_env = "BERLIN_TOKEN"
region = "ie1"

[models.azure]
base_url = "https://x.openai.azure.com/openai/v1"
api_key_env = "AZURE_KEY"

[hours.clinic]
timezone = "Europe/Berlin"
weekdays = ["08:00-12:00", "14:00-18:00"]
saturday = ["22:00-02:00"]
holidays = "DE-BE"
exceptions = [
  { date = 2026-12-24, open = ["08:00-12:00"] },
  { date = 2026-12-27, until = 2026-12-31 },  # a comment with a ] and a "quote
]

[defaults]
agent = "clinic:agent"
hours = "clinic"
models = ["main", "azure"]
fallback = [{ dial = "reception" }, { voicemail = true }]

[defaults.transfer_targets]
reception = "+493012345678"

[numbers."+493012345601"]
language = "de"
account = "berlin"
variables = { clinic = "Mitte" }

[numbers."+4930*"]
language = "de"
[numbers."+4930*".consent]
policy = "two-party"

[[numbers."+4930*".closed]]
voicemail = { de = "Wir haben zu." }
"""


def test_numbers_have_the_defaults_of_the_file() -> None:
    config = parse_numbers(FILE)
    found = config.find("+493012345601")
    assert found is not None and found[0] == "+493012345601"
    number = found[1]
    assert number.transfer_targets == {"reception": "+493012345678"} and number.models == ("main", "azure")
    assert (number.account, number.variables, number.consent.policy) == ("berlin", {"clinic": "Mitte"}, "none")
    pattern = config.find("+49309999999")
    assert pattern is not None and pattern[0] == "+4930*" and pattern[1].consent.policy is ConsentPolicy.TWO_PARTY
    assert config.find("+33144444444") is None


def test_a_longer_pattern_comes_before_a_shorter_one() -> None:
    config = parse_numbers(FILE + '[numbers."+493012*"]\nlanguage = "fr"\n')
    assert [config.find(called)[0] for called in ("+493012345601", "+4930123", "+49304")] == [  # type: ignore[index]
        "+493012345601", "+493012*", "+4930*",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "state"),
    [
        ("2026-11-30T08:00", (True, "", "")),
        ("2026-11-30T07:59", (False, "hours", "")),
        ("2026-11-30T12:00", (False, "hours", "")),
        ("2026-11-30T17:59", (True, "", "")),
        ("2026-11-28T23:30", (True, "", "")),  # a Saturday
        ("2026-11-29T01:59", (True, "", "")),  # its span ends on Sunday
        ("2026-11-29T02:00", (False, "hours", "")),
        ("2026-12-25T09:00", (False, "holiday", "Christmas Day")),
        ("2026-12-24T09:00", (True, "", "")),  # an exception
        ("2026-12-24T15:00", (False, "exception", "")),
        ("2026-12-28T09:00", (False, "exception", "")),
        ("2026-03-29T01:30", (True, "", "")),  # the night in which the clocks change
    ],
)
def test_hours_are_those_of_the_weekday_the_holiday_or_the_exception(moment: str, state: tuple[bool, str, str]) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    found = parse_numbers(FILE).hours["clinic"].at(at.astimezone(ZoneInfo("America/New_York")))
    assert (found.is_open, found.why, found.name) == state


@pytest.mark.parametrize(
    ("right", "wrong", "line", "says"),
    [
        ('language = "de"\naccount', 'langauge = "de"\naccount', 30, "did you mean language?"),
        ('language = "de"\naccount', 'language = "deutsch"\naccount', 30, "write a tag like de"),
        ('weekdays = ["08:00-12:00"', 'weekdays = ["8-12"', 12, "like 08:00-12:30"),
        ('hours = "clinic"', 'hours = "clinik"', 22, "Known: clinic."),
        ('policy = "two-party"', 'policy = "two-partie"', 37, "write none, one-party or two-party"),
        ('{ dial = "reception" }', '{ dial = "recption" }', 24, "Known: reception."),
        ("{ voicemail = true }", '{ voicemail = true, say = "x" }', 24, "write one of agent, dial, voicemail and say"),
        ("{ voicemail = true }", '{ agent = "b:c" }', 24, "a second endpoint in `models`"),
        ('timezone = "Europe/Berlin"', 'timezone = "Europe/Berln"', 11, "like Europe/Berlin"),
        ("DE-BE", "DE-XX", 14, "like DE-BE"),
        ("until = 2026-12-31", "until = 2026-12-01", 17, "exchange the two"),
        ('"+493012345601"]', '"493012345601"]', 29, "in E.164"),
        ('"+4930*"]\nlanguage', '"+49-30*"]\nlanguage', 34, "this is no pattern"),
        ("[hours.clinic]", "[hours.clinic", 10, "this is no TOML"),
        ('reception = "+49', 'reception = "49', 27, "in E.164"),
        ('region = "ie1"', 'region = "ie2"', 4, "write us1, ie1 or au1"),
        ('agent = "clinic:agent"', "", 29, "it is missing"),
        ('account = "berlin"', 'account = "berln"', 31, "Known: berlin."),
        ('models = ["main", "azure"]', 'models = ["main", "azur"]', 23, "Known: azure."),
        ('models = ["main", "azure"]', 'models = ["main", 3]', 23, "should be a valid string"),
        ('sid = "AC0123456789abcdef0123456789abcdef"', 'sid = "AC0"', 2, "32 hexadecimal digits"),
        ('api_key_env = "AZURE_KEY"', 'api_key_env = "sk-abc/def"', 8, "not the key itself"),
        ('voicemail = { de = "Wir haben zu." }', "voicemail = false", 39, "is no step"),
        ('variables = { clinic = "Mitte" }', "variables = { clinic = [1] }", 32, "not [1]"),
        ('variables = { clinic = "Mitte" }', 'choose_language = ["speech"]', 32, "add `languages`"),
        ('variables = { clinic = "Mitte" }', 'fallback_url = "http://x.example"', 32, "https address"),
        ("{ voicemail = true }", "{ voicemail = true, transcribe = true, max_s = 300 }", 24, "at most 120 s"),
        ('region = "ie1"', 'api_key_env = "KEY"', 1, "an API key needs its secret"),
        ('auth_token_env = "BERLIN_TOKEN"', 'auth_token_env = "0123 456"', 3, "not the secret itself"),
        ('"https://x.openai.azure.com/openai/v1"', '"x.openai.azure.com"', 7, "like https://host/v1"),
        ('policy = "two-party"', 'on_refusal = "transfer"', 36, "no transfer target"),
        (
            'variables = { clinic = "Mitte" }',
            'choose_language = ["keypad"]\nlanguages = ["en","fr","es","it","pl","tr","ru","nl","da"]',
            33,
            "at most nine languages",
        ),
        ('variables = { clinic = "Mitte" }', 'callers = { "+33" = "fr" }', 29, "add it to `languages`"),
    ],
)
def test_a_mistake_has_its_line_and_what_to_do(right: str, wrong: str, line: int, says: str) -> None:
    assert right in FILE
    with pytest.raises(NumbersFileError) as caught:
        parse_numbers(FILE.replace(right, wrong, 1))
    shown = caught.value.problems
    assert any(each.startswith(f"numbers.toml:{line}: ") and says in each for each in shown), shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[numbers]", "there is no number"),
        ("", "it is missing"),
        ('[defaults]\nagent = "a:b"', "it is missing"),
        ("numbers = 3", "numbers"),
        ('[defaults]\nagent = "a:b"\n[numbers]\n"+14155550100" = 3', "+14155550100"),
    ],
)
def test_a_file_without_numbers_is_refused(text: str, says: str) -> None:
    with pytest.raises(NumbersFileError) as caught:
        parse_numbers(text)
    assert any(says in each for each in caught.value.problems), caught.value.problems


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(NumbersFileError) as caught:
        parse_numbers(FILE.replace("ie1", "ie2").replace("DE-BE", "XX").replace('account = "berlin"', "account = 3"))
    assert [problem.split(":")[1] for problem in caught.value.problems] == ["4", "14", "31"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(NumbersFileError, match=r"nowhere\.toml: cannot be read \(No such file"):
        read_numbers(tmp_path / "nowhere.toml")


def test_files_are_found_beside_the_file_of_numbers(tmp_path: Path) -> None:
    path = tmp_path / "numbers.toml"
    path.write_text('locales = "words"\n[numbers."+14155550100"]\nagent = "a:b"\ngreeting = { file = "hello.wav" }\n')
    config = read_numbers(path)
    assert config.locales == tmp_path / "words"
    assert config.numbers["+14155550100"].greeting == tmp_path / "hello.wav"


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1\nb = 2", ("b",), 2),
        ("[t]\n\"k.e\" = 1\n'x y' = 2", ("t", "x y"), 3),
        ("[t]\na.b.c = 1", ("t", "a", "b"), 2),
        ('a = """\nb = 2\n"""\nb = 3', ("b",), 4),
        ("a = [\n 1, # ]\n 2,\n]\nb = 3", ("b",), 5),
        ("a = [\n 1,\n 2,\n]", ("a", 1), 1),
        ('a = [\n "x",\n "y",\n]', ("a", 1), 3),
        ('a = "\\"["\nb = 1', ("b",), 2),
        ("[[l]]\nx = 1\n[[l]]\nx = 2\n[l.m]\ny = 3", ("l", 1, "m", "y"), 6),
        ("[a]\n[a.b]\nc = 1", ("a", "b", "nothing"), 2),
        ("c = 1", ("nothing",), 1),
    ],
)
def test_lines_are_found_in_every_form_of_toml(text: str, path: tuple[str | int, ...], line: int) -> None:
    assert TomlLines(text).of(path) == line


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('"+1 (415) 555-0100" = { agent = "a:b" }', "is the same number as '+14155550100'"),
        ('"+14155550101" = { agent = "a:b", warm = "perhaps" }', "write true or false, not 'perhaps'"),
        ('"+14155550101" = { agent = "a:b", limits = { max_calls = "many" } }', "write a number, not 'many'"),
        ('"+14155550101" = { agent = "a:b", language = de }', "write a text in quotes"),
        ('+14155550101 = { agent = "a:b" }', "numbers.toml:3:"),
    ],
)
def test_a_mistake_has_its_line_and_its_cure(line: str, says: str) -> None:
    with pytest.raises(NumbersFileError) as caught:
        parse_numbers(f'[numbers]\n"+14155550100" = {{ agent = "a:b" }}\n{line}\n')
    (problem,) = caught.value.problems
    assert "numbers.toml:3: " in problem and says in problem
