"""Compares the numbers at Twilio with the configuration, and changes and restores the numbers.

Before the first change, the settings of a number at Twilio are saved in a file. `telephony number set` uses the same
file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ..errors import TwilioError
from ..twilio.number_webhooks import NumberWebhooks, SavedWebhook, VoiceWebhook
from ..twilio.resources import PhoneNumber
from ..twilio.rest import TwilioRest
from ..urls import public_address
from .config import MAIN, NumberConfig, NumbersConfig

__all__ = ["OVERRIDES", "Installation", "NumberPlan"]


OVERRIDES = "ct=2000&rt=5000&rc=0"
"""Twilio's connection overrides, in milliseconds. Twilio requests the fallback URL if this server has not accepted a
connection within 2 s or has not answered within 5 s. By default Twilio tries twice, for 5 s each
(https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides).
"""


@dataclass(frozen=True, slots=True)
class NumberPlan:
    """The planned change of one number: its current webhook at Twilio, and the webhook that the configuration
    requires.
    """

    number: str
    account: str
    """The name of the Twilio account in the configuration."""
    now: VoiceWebhook | None
    """The current webhook, or None if the account does not have the number."""
    wanted: VoiceWebhook | None
    """The webhook that the configuration requires, or None if the configuration does not have the number."""
    problem: str = ""
    """The reason why the number cannot be changed, with the remedy. The text is empty if there is no problem."""
    warning: str = ""
    region: str = ""
    """The region in which Twilio handles the calls of the number now. It is only looked up for numbers whose account
    has its own credentials in the numbers file. For other numbers, the text is empty and the region is not changed.
    """
    wanted_region: str = ""

    @property
    def is_change(self) -> bool:
        differs = self.now != self.wanted or self.region != self.wanted_region
        return self.now is not None and self.wanted is not None and differs and not self.problem

    def lines(self) -> list[str]:
        """Returns the planned change as lines of text."""
        if self.problem:
            return [f"{self.number}  PROBLEM: {self.problem}"]
        if self.wanted is None:
            return [f"{self.number}  is not in the file and stays as it is"]
        if not self.is_change:
            return [f"{self.number}  is as the file says", *self._warnings()]
        assert self.now is not None
        pairs = [
            ("webhook", _shown(self.now.url, self.now.application_sid), self.wanted.url),
            ("fallback", self.now.fallback_url or "none", self.wanted.fallback_url),
            ("region", self.region, self.wanted_region),
            ("status callback", self.now.status_callback or "none", self.wanted.status_callback or "none"),
        ]
        changes = [f"    {name}: {old} -> {new}" for name, old, new in pairs if old != new]
        return [f"{self.number}  ({self.account})", *changes, *self._warnings()]

    def _warnings(self) -> list[str]:
        return [f"    warning: {self.warning}"] if self.warning else []


class Installation:
    """Installs the phone numbers of one configuration: sets their webhooks and regions at Twilio. `rest_of` returns the
    REST client of an account by the name of the account. `routes_of` returns the client of the account in the region
    `us1`. Only this client can set the region of a number.
    """

    def __init__(
        self,
        config: NumbersConfig,
        rest_of: Callable[[str], TwilioRest],
        public_url: str,
        webhooks_of: Callable[[TwilioRest], NumberWebhooks] = NumberWebhooks,
        routes_of: Callable[[str], TwilioRest] | None = None,
    ) -> None:
        self._routes_of = routes_of or rest_of
        self._config = config
        self._rest_of = rest_of
        self._public_url = public_url
        self._webhooks_of = webhooks_of

    async def plan(self) -> list[NumberPlan]:
        """Returns the planned change for each number of the configuration and of its accounts, in the order of the
        file.

        Raises:
            TwilioError: an account cannot be read.
        """
        names = list(dict.fromkeys(number.account for number in self._config.numbers.values()))
        owned = {name: {it.number: it for it in await self._rest_of(name).phone_numbers()} for name in names}
        plans: list[NumberPlan] = []
        seen: set[str] = set()
        for key, number in self._config.numbers.items():
            if not key.endswith("*"):
                seen.add(key)
                plans.append(self._plan(key, number, owned))
        for account, numbers in owned.items():
            for it in numbers.values():
                if it.number in seen:
                    continue
                found = self._config.find(it.number)
                if found is not None and found[1].account == account:
                    plans.append(self._plan(it.number, found[1], owned))
                else:
                    plans.append(NumberPlan(it.number, account, VoiceWebhook.of(it), None))
        return [await self._with_region(plan) for plan in plans]

    async def _with_region(self, plan: NumberPlan) -> NumberPlan:
        account = self._config.accounts.get(plan.account)
        if account is None or plan.now is None or plan.wanted is None or plan.problem:
            return plan
        try:
            region = await self._routes_of(plan.account).region(plan.number)
        except TwilioError as error:
            cure = f"set us1_auth_token_env of the account {plan.account}"
            return replace(plan, problem=f"its region cannot be read: {error}; {cure}")
        return replace(plan, region=region, wanted_region=account.region.value)

    def _plan(self, number: str, config: NumberConfig, owned: dict[str, dict[str, PhoneNumber]]) -> NumberPlan:
        account, wanted = config.account, self._wanted(config)
        found = owned[account].get(number)
        if found is None:
            other = next((name for name, numbers in owned.items() if number in numbers), None)
            where = f"the account {other} has it: set account = {other!r}" if other else "no account of the file has it"
            return NumberPlan(number, account, None, wanted, f"{account} does not have this number; {where}")
        now = VoiceWebhook.of(found)
        if not found.voice:
            return NumberPlan(number, account, now, wanted, "it cannot receive voice calls: buy a number with Voice")
        if found.trunk_sid:
            problem = f"it belongs to the SIP trunk {found.trunk_sid}: remove it from the trunk first"
            return NumberPlan(number, account, now, wanted, problem)
        return NumberPlan(number, account, now, wanted, warning=self._warning(config))

    def _wanted(self, config: NumberConfig) -> VoiceWebhook:
        url = f"{public_address(self._public_url, '/incoming-call')}#{OVERRIDES}"
        callback = public_address(self._public_url, "/call-status")
        return VoiceWebhook(url, fallback_url=config.fallback_url or url, status_callback=callback)

    def _warning(self, config: NumberConfig) -> str:
        host = urlsplit(self._public_url).hostname
        if config.fallback_url and urlsplit(config.fallback_url).hostname != host:
            return ""
        return (
            "its fallback is this server. Callers hear an error of Twilio while the server is down: set fallback_url "
            "to a TwiML Bin or to another server"
        )

    async def apply(self, plans: Sequence[NumberPlan]) -> list[NumberPlan]:
        """Changes the webhooks and regions of phone numbers at Twilio as planned. Plans without a change, or with a
        problem, are skipped. Returns the plans whose numbers were changed.

        Raises:
            TwilioError, NumberError: Twilio refused a change. Earlier changes stay in effect, and can be restored.
        """
        changed = []
        for plan in plans:
            if plan.is_change and plan.wanted is not None:
                webhooks = self._webhooks_of(self._rest_of(plan.account))
                moves = plan.region != plan.wanted_region
                region = plan.region if moves else ""
                await webhooks.set(plan.number, plan.wanted, account=plan.account, region=region)
                if moves:  # the webhook of the new region is set already
                    await self._routes_of(plan.account).set_region(plan.number, plan.wanted_region)
                changed.append(plan)
        return changed

    async def restore(self, *, force: bool = False) -> list[tuple[SavedWebhook, bool]]:
        """Sets the webhooks at Twilio that the numbers had before they were installed. Returns the saved webhook of
        each number with True, or with False if another program has changed the webhook after the installation. Such a
        webhook is not restored, unless `force` is True.

        Raises:
            TwilioError: Twilio refused a change.
        """
        saved = self._webhooks_of(self._rest_of(MAIN)).saved() if self._has_main() else self._any().saved()
        done = []
        for entry in saved.values():
            found = self._config.find(entry.number)
            if found is not None and found[1].account == (entry.account or MAIN):
                webhooks = self._webhooks_of(self._rest_of(found[1].account))
                restored = await webhooks.restore(entry, force=force)
                if restored and entry.region:
                    await self._routes_of(found[1].account).set_region(entry.number, entry.region)
                done.append((entry, restored))
        return done

    def _has_main(self) -> bool:
        return any(number.account == MAIN for number in self._config.numbers.values())

    def _any(self) -> NumberWebhooks:
        return self._webhooks_of(self._rest_of(next(iter(self._config.numbers.values())).account))


def _shown(url: str, application_sid: str) -> str:
    return f"application {application_sid}" if application_sid else url or "nothing"
