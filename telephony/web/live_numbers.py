"""The phone numbers that a running application answers: loads their configuration, reloads it, and stores for each live
call the configuration with which the call began. A reload applies only to later calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import NumbersFileError
from ..numbers.config import Account, NumberConfig, Step
from ..numbers.endpoints import Endpoints
from ..numbers.ladder import Ladder, Route, ladder_of, language_of, route_of
from ..records.budget import Budget, SharedLimits
from ..settings import Settings
from ..twilio.rest import TwilioRest
from ..twilio.signature import SigningKeys
from .limits import CallLimits, Limits
from .number_book import LoadAgent, NumberBook, load_book

__all__ = ["LiveNumbers", "RoutedCall", "shared_limits"]

log = logging.getLogger(__name__)

_MAX_CALLS = 10_000
_POLL_S = 2.0
MakeRest = Callable[[Account], TwilioRest | None]
"""A function that returns a client for Twilio's REST API with the credentials of an account."""


@dataclass(slots=True)
class RoutedCall:
    """One call to a configured number: the list of steps for the caller (such as an agent, another number and a
    voicemail), the current step, and the configuration that was current when the call began.
    """

    book: NumberBook
    route: Route
    began: datetime
    at: int = 0
    """The number of the step at which the call is, from 0."""
    taken: list[dict[str, Any]] = field(default_factory=list)
    """The steps that the call has tried, each with its result. The call record contains this list."""

    @property
    def number(self) -> NumberConfig:
        return self.route.number

    @property
    def step(self) -> Step:
        return self.route.steps[self.at]

    @property
    def language(self) -> str:
        return self.route.language

    @property
    def token(self) -> str:
        """The position of the call in its ladder (the list of steps for the caller), as text for URLs and stream
        parameters.
        """
        return f"{self.route.ladder}.{self.at}.{self.route.language}"

    def speak(self, language: str) -> None:
        self.route = replace(self.route, language=language)


class LiveNumbers:
    """Holds the current configuration of the phone numbers, and finds the configuration of each call. A call keeps the
    configuration with which it began. Dates are in UTC. Also counts the calls for the limits of the numbers.
    """

    def __init__(
        self,
        book: NumberBook,
        settings: Settings,
        *,
        path: Path | None = None,
        load_agent: LoadAgent,
        make_rest: MakeRest,
        endpoints: Endpoints | None = None,
    ) -> None:
        self.book = book
        self.path = path
        self.endpoints = endpoints or Endpoints()
        self.reloads = 0
        self.problems: list[str] = []
        """The problems that the last reload found in the file. If there are problems, the old configuration stays."""
        self._settings = settings
        self._load_agent = load_agent
        self._make_rest = make_rest
        self._rests: dict[str, TwilioRest | None] = {}
        self._calls: OrderedDict[str, RoutedCall] = OrderedDict()
        self._limits: dict[str, Limits] = {}
        self._costs: dict[str, tuple[int, float]] = {}
        self._reload = asyncio.Event()
        self._seen = (0, 0) if path is None else _version(path)

    # --- calls -----------------------------------------------------------------------------------------------------

    def begin(self, sid: str, called: str, caller: str, now: datetime) -> RoutedCall | None:
        """Returns a `RoutedCall` for a new call: the steps that are configured for the called number (such as an agent,
        then a person, then a voicemail), and the position of the call in these steps. Returns None if the called number
        is not configured. A repeated webhook gets the same object again.
        """
        if (call := self._calls.get(sid)) is not None:
            return call
        if (found := self.book.config.find(called)) is None:
            return None
        fallback = self._settings.telephony_fallback_number
        route = route_of(self.book.config, found[0], caller, now, fallback_number=fallback)
        return self._keep(sid, RoutedCall(self.book, route, now))

    def of(self, sid: str) -> RoutedCall | None:
        """Returns the call with this CallSid, or None if the call did not begin in this process."""
        return self._calls.get(sid)

    def resumed(self, sid: str, called: str, caller: str, token: str, now: datetime) -> RoutedCall | None:
        """Returns a call for which Twilio sends another webhook, and sets its position in the list of steps for the
        caller. `token` is this position as text (`RoutedCall.token`), from the URL of the webhook. A call that began in
        another process gets the current configuration. Returns None if the called number is not configured.
        """
        call = self._calls.get(sid)
        ladder, _, rest = token.partition(".")
        at, _, language = rest.partition(".")
        if call is None:
            if (begun := self.begin(sid, called, caller, now)) is None or ladder not in list(Ladder):
                return begun
            number = begun.number
            steps = ladder_of(number, Ladder(ladder), self._settings.telephony_fallback_number)
            spoken = language if language in number.offered else language_of(number, caller)
            begun.route = replace(begun.route, ladder=Ladder(ladder), steps=steps, language=spoken)
            call = begun
        if at.isdigit():
            call.at = min(int(at), len(call.route.steps) - 1)
        return call

    def _keep(self, sid: str, call: RoutedCall) -> RoutedCall:
        self._calls[sid] = call
        if len(self._calls) > _MAX_CALLS:
            self._calls.popitem(last=False)
        return call

    # --- limits ----------------------------------------------------------------------------------------------------

    def over_limit(self, sid: str, call: RoutedCall, caller: str, now: float) -> bool:
        """Returns whether the number that was called has reached one of its limits. `now` is Unix time in seconds. If
        no limit is reached, the call is counted from now on.
        """
        limits = self._limits_of(call)
        day, spent = self._costs.get(call.route.key, (0, 0.0))
        budget = call.number.limits.cost_per_day
        if budget and day == int(now // 86_400) and spent >= budget:
            return True
        return limits.admit(sid, caller, now) is not None

    def started(self, sid: str, now: float) -> None:
        if (call := self._calls.get(sid)) is not None:
            self._limits_of(call).started(sid, now)

    def ended(self, sid: str, now: float, cost: float | None) -> None:
        if (call := self._calls.get(sid)) is None:
            return
        self._limits_of(call).ended(sid, now)
        today = int(now // 86_400)
        day, spent = self._costs.get(call.route.key, (0, 0.0))
        self._costs[call.route.key] = (today, (spent if day == today else 0.0) + (cost or 0.0))

    def _limits_of(self, call: RoutedCall) -> Limits:
        given = call.number.limits
        caps = CallLimits(
            given.max_calls,
            per_caller_hour=given.calls_per_caller_hour,
            withheld_hour=0,
            minutes_per_day=given.minutes_per_day,
        )
        limits = self._limits.setdefault(call.route.key, Limits(caps))
        limits.caps = caps
        return limits

    # --- accounts --------------------------------------------------------------------------------------------------

    def keys_of(self, account_sid: str) -> Sequence[SigningKeys]:
        return self.book.keys.get(account_sid, ())

    @property
    def all_keys(self) -> Sequence[SigningKeys]:
        return [key for keys in self.book.keys.values() for key in keys]

    def has_account(self, sid: str) -> bool:
        return sid in self.book.keys

    def rest(self, call: RoutedCall) -> TwilioRest | None:
        """Returns the client for Twilio's REST API for this call, if the called number belongs to a Twilio account of
        the numbers file. Returns None if the client of the account in the settings (TWILIO_ACCOUNT_SID) must be used.
        """
        name = call.number.account
        if name not in call.book.config.accounts:
            return None
        return self._rest_of(name, call.book.config.accounts[name])

    @property
    def clients(self) -> dict[str, TwilioRest]:
        """The clients for Twilio's REST API, by the name of the Twilio account: one client for each account in the
        configuration of the numbers. The account of the settings (TWILIO_ACCOUNT_SID) is not included.
        """
        accounts = self.book.config.accounts
        found = {name: self._rest_of(name, account) for name, account in accounts.items()}
        return {name: rest for name, rest in found.items() if rest is not None}

    def serves(self, called: str) -> bool:
        """Returns whether the configuration contains this number."""
        return self.book.config.find(called) is not None

    def _rest_of(self, name: str, account: Account) -> TwilioRest | None:
        if name not in self._rests:
            self._rests[name] = self._make_rest(account)
        return self._rests[name]

    def close(self) -> None:
        for rest in self._rests.values():
            if rest is not None:
                rest.close()

    # --- reload ----------------------------------------------------------------------------------------------------

    def request_reload(self) -> None:
        """Requests that the task of `watch` reads the numbers file (the configuration of the phone numbers) again,
        because the process received a signal.
        """
        self._reload.set()

    async def reload(self) -> bool:
        """Reads the file again. Returns whether the new configuration is used. If the file has problems, logs these
        problems and keeps the old configuration.
        """
        assert self.path is not None
        try:
            book = await asyncio.to_thread(load_book, self.path, self._load_agent)
        except NumbersFileError as error:
            self.problems = error.problems
            log.error("The numbers stay as they are, because the file has problems:\n%s", error)
            return False
        self.book, self.problems = book, []
        self.reloads += 1
        self.close()
        self._rests.clear()
        log.info("The configuration of %d numbers was loaded again.", len(book.config.numbers))
        return True

    async def watch(self) -> None:
        """Reloads the file when the file changes, or after `request_reload`. Runs until the task is cancelled."""
        if self.path is None:
            return
        while True:
            try:
                async with asyncio.timeout(_POLL_S):
                    await self._reload.wait()
            except TimeoutError:
                pass
            found = await asyncio.to_thread(_version, self.path)
            if found != self._seen or self._reload.is_set():
                self._reload.clear()
                self._seen = found
                await self.reload()


def shared_limits(number: NumberConfig) -> SharedLimits:
    """Returns the limits of a number that all processes share: the calls at the same time, and the budget of a day."""
    given = number.limits
    return SharedLimits(given.max_calls, Budget(given.minutes_per_day, given.cost_per_day))


def _version(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
