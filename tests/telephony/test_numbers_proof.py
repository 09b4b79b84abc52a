"""Forty numbers, three languages, two accounts: 400 calls at all hours, each answered as the file says. And 200 calls
while something fails: none is lost.

The short form runs in `make test`, the long one in `make proof`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from benchmarks.extent import extent
from realtime_core.sources import Sources
from telephony.errors import NumbersFileError
from telephony.numbers.config import NumbersConfig, StepKind
from telephony.records import Records
from telephony.simulator import Handset, callees
from telephony.simulator.calls import SimulatedCall
from tests.support.clinic import PUBLIC, Clinic, clinic, own

pytestmark = pytest.mark.virtual_time

BERLIN = "AC" + "b" * 32
LANGUAGES = ("de", "fr", "en")
CITIES = {"de": ("Europe/Berlin", "+4930555", "DE-BE"), "fr": ("Europe/Paris", "+3314455", "FR"),
          "en": ("America/New_York", "+1212555", "US-NY")}  # fmt: skip
OPEN_FROM, OPEN_TO = 8, 18
RECEPTION = "+14155550123"


def numbers() -> dict[str, str]:
    """Forty numbers with their languages."""
    found = {}
    for index in range(40):
        language = LANGUAGES[index % 3]
        found[f"{CITIES[language][1]}{index:04}"] = language
    return found


def file() -> str:
    """The file of the forty numbers. Every second number that is closed takes messages, the others say so."""
    lines = [f'[accounts.berlin]\nsid = "{BERLIN}"\nauth_token_env = "BERLIN_TOKEN"\nregion = "ie1"']
    for language, (zone, _, holidays) in CITIES.items():
        lines.append(f'[hours.{language}]\ntimezone = "{zone}"\nweekdays = ["{OPEN_FROM:02}:00-{OPEN_TO}:00"]')
        lines.append(f'holidays = "{holidays}"')
    lines.append(
        '[defaults]\nagent = "tests.support.clinic:agent"\nfallback_url = "https://handler.example.com/fallback"'
    )
    lines.append('fallback = [{ dial = "reception" }, { voicemail = true }]')
    lines.append(f'transfer_targets = {{ reception = "{RECEPTION}" }}')
    for index, (number, language) in enumerate(numbers().items()):
        closed = "{ voicemail = true }" if index % 2 else "{ say = true }"
        account = "berlin" if language == "de" else "main"
        lines.append(f'[numbers."{number}"]\nlanguage = "{language}"\nhours = "{language}"\naccount = "{account}"')
        lines.append(f'closed = [{closed}]\nvariables = {{ clinic = "{language}-{index}" }}')
    return "\n".join(lines) + "\n"


def expected(number: str, at: datetime) -> str:
    """Returns the ending of the call according to the file, computed in another way."""
    index, language = list(numbers()).index(number), numbers()[number]
    local = at.astimezone(ZoneInfo(CITIES[language][0]))
    holiday = {"de": ("12-25", "12-26"), "fr": ("12-25",), "en": ("12-25",)}[language]
    is_open = local.weekday() < 5 and OPEN_FROM <= local.hour < OPEN_TO and f"{local:%m-%d}" not in holiday
    if is_open:
        return "hung_up"
    return "closed-voicemail" if index % 2 else "closed-say"


async def any_caller(phone: Handset) -> None:
    """Listens, says something after the first pause, and hangs up when nothing comes any more."""
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("booking")
    await asyncio.sleep(7)
    phone.hang_up()


async def test_each_call_is_answered_as_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERLIN_TOKEN", "token-of-berlin")
    path = tmp_path / "numbers.toml"
    path.write_text(file())
    random, shift = Random(19), timedelta()
    begin = datetime(2026, 12, 21, tzinfo=UTC)  # a week with holidays

    def clock() -> datetime:
        return begin + shift + timedelta(seconds=asyncio.get_running_loop().time())

    total, at_once = extent(16, 400), 8
    seen: Counter[str] = Counter()
    given = {"telephony_withheld_calls_per_hour": 0, "telephony_minutes_per_day": 0}
    async with clinic(path, accounts={"berlin": BERLIN}, given=given, sources=Sources(5, clock=clock)) as it:
        for number, language in numbers().items():
            own(it.others["berlin"] if language == "de" else it.twilio, number)
        for batch in range(total // at_once):
            hour = 15.0 if batch % 2 else random.uniform(0, 24)  # at 15:00 UTC all cities are open
            shift = timedelta(days=random.randrange(7) if batch else 0, hours=hour)
            calls = []
            for index in range(at_once):
                number = random.choice(list(numbers()))
                account = it.others["berlin"] if numbers()[number] == "de" else it.twilio
                caller = f"+4940{batch:04}{index:03}"
                calls.append((number, clock(), account.start_ringing(to=number, caller=any_caller, from_=caller)))
            for number, at, call in calls:
                await call.ends()
                row = await it.record(call.sid)
                assert row.ending == expected(number, at), (number, at.isoformat(), row)
                assert row.language == numbers()[number] and row.called == number
                assert not call.met_twilios_error and not call.warnings
                assert bool(call.streams) is (row.ending == "hung_up")
                seen[row.ending] += 1
    assert sum(seen.values()) == total and len(seen) == 3, seen


def test_a_mistake_in_the_file_of_forty_numbers_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from telephony.numbers.number_file import parse_numbers

    lines = file().splitlines()
    wrong = next(at for at, line in enumerate(lines) if at > 60 and line.startswith("language"))
    lines[wrong] = 'langage = "de"'
    with pytest.raises(NumbersFileError, match=rf"numbers\.toml:{wrong + 1}: .*did you mean language\?"):
        parse_numbers("\n".join(lines))


# --- 200 calls while something fails ---------------------------------------------------------------------------------


class Listening:
    """The longest silence of both sides that a caller heard."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.where = ""

    async def watch(self, phone: Handset, decided: Callable[[], str]) -> None:
        """`decided` returns why silence is intended now, such as the tone of a ringing phone, or an empty text."""
        since = phone.now
        while True:
            await asyncio.sleep(0.1)
            if phone.hears_voice or phone._words or decided():
                since = phone.now
            elif phone.now - since > self.longest_s:
                self.longest_s, self.where = phone.now - since, f"at {phone.now:.1f} s"


def config() -> NumbersConfig:
    number = {
        "agent": "tests.support.clinic:agent",
        "fallback": [{"dial": "reception"}, {"voicemail": True}],
        "transfer_targets": {"reception": RECEPTION},
    }
    return NumbersConfig.model_validate({"numbers": {"+12125550001": number}})


TO = "+12125550001"
FAULTS = (
    "refuses",
    "hangs",
    "dies",
    "comes back",
    "mute",
    "database",
    "killed",
    "host dead",
    "host dies",
    "busy person",
)


async def one_call(it: Clinic, fault: str, index: int) -> tuple[SimulatedCall, Listening]:
    heard = Listening()
    call: SimulatedCall

    def decided() -> str:
        routed = it.app.state.phone.numbers.of(call.sid)
        if call.stream is None and routed is not None and routed.step.kind in (StepKind.DIAL, StepKind.VOICEMAIL):
            return str(routed.step.kind)
        return ""

    async def talks(phone: Handset) -> None:
        watching = asyncio.create_task(heard.watch(phone, decided))
        try:
            async with asyncio.timeout(50):
                while True:
                    await phone.agent_speaks()
                    await phone.agent_silent(0.8)
                    await phone.say("sorry_hours")
                    await asyncio.sleep(0.3)
        except TimeoutError:
            phone.hang_up()
        finally:
            watching.cancel()

    call = it.twilio.start_ringing(to=TO, caller=talks, from_=f"+4940{index:07}")
    return call, heard


async def cause(it: Clinic, fault: str) -> None:
    """Let it happen in the middle of the calls."""
    match fault:
        case "dies":
            it.endpoints.die("main")
        case "comes back":
            it.endpoints.die("main")
            await asyncio.sleep(4)
            it.endpoints.modes["main"] = "works"
        case "host dies":
            it.twilio.webhooks.reach[PUBLIC] = "http://127.0.0.1:9"
            for call in it.twilio.calls.values():
                if call.stream is not None:
                    call.stream.lose()


class NoDatabase:
    """Records whose database is gone."""

    def __init__(self, inner: Records) -> None:
        self.inner, self.is_gone = inner, False

    def __getattr__(self, name: str) -> Any:
        from telephony.errors import RecordsUnavailable

        value = getattr(self.inner, name)
        if not callable(value) or not self.is_gone:
            return value

        def gone(*args: Any, **kwargs: Any) -> Any:
            raise RecordsUnavailable("the database is gone")

        return gone


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_caller_is_lost(fault: str, tmp_path: Path) -> None:
    total = extent(1, 20)
    given: dict[str, Any] = {"telephony_calls_per_caller_hour": 0, "telephony_data_dir": tmp_path}
    if fault in ("database", "killed"):
        given["database_url"] = f"sqlite:///{tmp_path}/records.db"
    async with clinic(config(), given=given) as it:
        own(it.twilio, TO)
        phone = it.app.state.phone
        it.twilio.callees[RECEPTION] = callees.busy() if fault == "busy person" else callees.person(listens_long)
        if fault in ("refuses", "hangs", "mute", "busy person"):
            it.endpoints.modes["main"] = fault if fault in ("hangs", "mute") else "refuses"
        records = None
        if fault == "database":
            client = phone.call_records.client
            records = client._database = NoDatabase(client._database)
        if fault == "host dead":
            it.twilio.webhooks.reach[PUBLIC] = "http://127.0.0.1:9"
        calls = []
        for index in range(total):
            calls.append(await one_call(it, fault, index))
            await asyncio.sleep(0.4)
        await asyncio.sleep(6)
        if records is not None:
            records.is_gone = True
        if fault == "killed":
            await it.kill()
        await cause(it, fault)
        for call, _ in calls:
            await call.ends()
        if records is not None:
            records.is_gone = False
        for call, heard in calls:
            assert call.status == "completed" and not call.met_twilios_error, (fault, call.warnings)
            assert len(call.heard) > 8000, "the caller heard something"
            assert heard.longest_s <= 3.0, (fault, heard.longest_s, heard.where)
        if fault in ("host dead",):
            return  # our records cannot know of them: the host did not live during the call
        if fault == "host dies":
            it.twilio.webhooks.reach[PUBLIC] = it.address
        for call, _ in calls:
            row = await it.record(call.sid)
            assert row.over, (fault, row)
            if fault in ("refuses", "hangs", "mute", "dies", "busy person"):
                assert row.steps, row


async def listens_long(phone: Handset) -> None:
    """A person who takes the call and talks."""
    while True:
        await phone.say("next_in_line")
        await asyncio.sleep(1)
