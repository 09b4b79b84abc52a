"""Places calls from a program.

```python
async with Telephony.from_env() as phone:
    r = await phone.run_call(to, agent=agent, data={"name": name}, result=Outcome, machine=LeaveMessage("..."))
print(r.status, r.answered_by, r.output)
```
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from pydantic import SecretStr

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.errors import UserError
from realtime_core.sources import SYSTEM, Sources

from .agent_choice import check_agent
from .argument_types import Rule, check_types
from .call.call import CallInfo
from .call.options import AgentSource
from .env_file import environment
from .errors import CallRefused, SettingsError
from .outbound.dialer import Dialer
from .outbound.dialing_rules import DialingRules, e164
from .outbound.do_not_call import simulated, simulated_dialing_rules
from .outbound.placed_call import PlacedCall
from .outbound.plan import GREETING, CallPlan, CallResult, LeaveMessage
from .settings import Settings, load_settings, read_settings
from .twilio.numbers import tidy
from .twilio.resources import CallResource
from .twilio.rest import TwilioRest
from .web.server import listening

if TYPE_CHECKING:
    from .campaigns.service import Campaigns
    from .outbound.remote import RemoteServer
    from .simulator.twilio import SimulatedTwilio

__all__ = ["Telephony"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_RULES: Mapping[str, Rule] = {
    "settings": (Settings | None, "a Settings object, such as the result of load_settings()"),
    "server": (str | None, "the URL of a server"),
    "token": (str | None, "a text"),
    "simulate": (bool | str, "True, or a text that selects the callee"),
    "dialing_rules": (DialingRules | None, "a DialingRules object"),
    "outgoing": (Mapping | None, "a mapping from names to agents"),
    "model_config": (Mapping | None, "a mapping"),
}

SIMULATED_URL = "https://simulated.example"
_HANG_UP_S = 15.0

_NO_PHONE = (
    "There is no phone: set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER, PUBLIC_URL and OPENAI_API_KEY; "
    "or TELEPHONY_SIMULATE=1 to try it on this machine; or name a running server: Telephony(server=...)."
)


class Telephony:
    """Places calls. The object is an async context manager. Within the context, this process serves Twilio's webhooks
    and streams on HOST and PORT behind PUBLIC_URL, unless a `server` places the calls. At the end of the context, also
    after Ctrl-C, calls in progress are hung up.

    Args:
        settings: The settings, with the Twilio account and the public URL (see `from_env`).
        server: The URL of a running `telephony serve`, which places the calls with its own agents (see `run_call`).
            With None, this process places the calls.
        token: The TELEPHONY_API_TOKEN of `server`.
        simulate: Whether calls are simulated. A simulation uses a simulated Twilio on this machine, and the embedded
            model, which is not an AI. No account and no key are needed. A text selects who answers: `person`,
            `voicemail`, `screening`, `fax`, `busy`, `no-answer`, `failed`, or the path of a TOML file (its format:
            `telephony.simulator.callees`).
        dialing_rules: The rules about which numbers may be called, and when. With None, the rules of the settings
            apply: by default only the country of the application's phone number, no calls at night, and no number of
            TELEPHONY_DO_NOT_CALL. In a simulation, only rules that are set explicitly apply, and numbers that opt out
            are not written to the do-not-call list.
        model_config: The configuration of the connection to the model.
        sources: The source of ids, random numbers and the wall-clock time. With None, these come from the operating
            system. Only a simulation that runs in `realtime_core.testing.virtual_time` has another default: a source
            with a fixed seed, so each run gives the same result.
        outgoing: The agents for campaigns, by name. A campaign in the database contains only the name of its agent.
        care: A former name of `dialing_rules`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        server: str | None = None,
        token: str | None = None,
        simulate: bool | str = False,
        dialing_rules: DialingRules | None = None,
        model_config: RealtimeModelConfig | None = None,
        sources: Sources | None = None,
        outgoing: Mapping[str, AgentSource] | None = None,
        care: DialingRules | None = None,
    ) -> None:
        check_types(
            "Telephony",
            _RULES,
            {"settings": settings, "server": server, "token": token, "simulate": simulate,
             "dialing_rules": dialing_rules or care, "outgoing": outgoing, "model_config": model_config},
        )  # fmt: skip
        if simulate == "":
            raise UserError("Telephony: simulate: the text that selects the callee is empty: write person, or True.")
        if simulate and server is not None:
            raise UserError("A server makes real calls: leave out server= to simulate, or simulate= to call.")
        self.twilio: SimulatedTwilio | None = None
        """The simulated Twilio, in a simulation."""
        self._settings = settings
        self._server = None if server is None else tidy(server)
        self._token = None if token is None else tidy(token)
        self._simulate = simulate
        self._rules = dialing_rules or care
        self._model_config = model_config
        self._sources = sources
        self._outgoing = outgoing
        self._campaigns: Campaigns | None = None
        self._stack = AsyncExitStack()
        self._dialer: Dialer | None = None
        self._remote: RemoteServer | None = None

    @classmethod
    def from_env(
        cls,
        *,
        dialing_rules: DialingRules | None = None,
        care: DialingRules | None = None,
        outgoing: Mapping[str, AgentSource] | None = None,
        **overrides: Any,
    ) -> Self:
        """Creates the object from the environment and `.env`. If TELEPHONY_SIMULATE is set, calls are simulated. The
        value is `1`, or a text that selects who answers (see the argument `simulate` of the class). If only
        TELEPHONY_SERVER is set, the server with this URL places the calls. If neither is set, this process places the
        calls with the Twilio settings. `overrides` replace settings (`telephony_quiet_hours="off"`). `care` is a former
        name of `dialing_rules`.

        Raises:
            SettingsError: settings are missing or invalid. The exception has one line for each problem with the remedy.
        """
        rules = dialing_rules or care
        variables = environment()
        simulate = tidy(variables.get("TELEPHONY_SIMULATE", ""))
        if simulate not in ("", "0"):
            callee = True if simulate in ("1", "true", "yes") else simulate
            return cls(read_settings(**overrides), simulate=callee, dialing_rules=rules, outgoing=outgoing)
        if server := tidy(variables.get("TELEPHONY_SERVER", "")):
            return cls(server=server, token=variables.get("TELEPHONY_API_TOKEN"), dialing_rules=rules)
        settings = load_settings(**overrides)
        if not all((settings.twilio_account_sid, settings.twilio_auth_token, settings.twilio_phone_number,
                    settings.public_url)):  # fmt: skip
            raise SettingsError([_NO_PHONE])
        return cls(settings, dialing_rules=rules, outgoing=outgoing)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._server is not None:
                from .outbound.remote import RemoteServer

                self._remote = RemoteServer(self._server, self._token)
            else:
                settings = await self._simulated(stack) if self._simulate else self._settings
                if settings is None:
                    raise SettingsError([_NO_PHONE])
                await self._serve(settings, stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._hang_up_all()
        finally:
            await self._stack.aclose()

    # --- calls -------------------------------------------------------------------------------------------------------

    def call(
        self,
        to: str,
        *,
        agent: AgentSource | str | None,
        data: Mapping[str, Any] | None = None,
        secrets: Mapping[str, Any] | None = None,
        result: type[Any] | None = None,
        machine: LeaveMessage | None = None,
        greeting: str = GREETING,
        max_s: float | None = 600.0,
        ring_s: int = 30,
        detect: bool = True,
        timezone: str | None = None,
    ) -> PlacedCall:
        """Places a call, and returns immediately. The returned call has `answered()`, `finished()`, `hang_up()`, and
        the controls of a live call.

        Args:
            to: The number to call.
            agent: The agent that speaks, or an import string, `module:attribute`.
            data: Data about this call for the agent. Tools find the data in `ctx.context.data`.
            secrets: Data for tools only. The model does not get this data.
            result: The type of the result: a pydantic model, a dataclass or a TypedDict. The agent fills in the result
                with a tool.
            machine: The message for a voicemail. With None, the call is hung up if a machine answers.
            greeting: Instructions for the first words to a person.
            max_s: The maximum length of the call, in seconds.
            ring_s: The time in seconds for which the phone rings before the call counts as not answered.
            detect: Whether the answer is classified before the agent speaks.
            timezone: The time zone of the callee, for quiet hours. With None, the time zone is derived from the number.

        Raises:
            CallRefused: the dialing rules forbid the call (see `DialingRules`).
            UserError: an argument has a wrong type.
        """
        if isinstance(agent, str):
            from .import_strings import load_agent

            agent = load_agent(agent)
        if agent is not None:
            check_agent(agent, "The agent of a call")
        plan = CallPlan(
            to, agent, data or {}, result, machine, greeting, max_s, ring_s, secrets or {}, detect, timezone
        )
        return self.dialer.place(plan)

    @overload
    async def run_call(self, to: str, *, result: type[T], **options: Any) -> CallResult[T]: ...

    @overload
    async def run_call(self, to: str, **options: Any) -> CallResult[Any]: ...

    async def run_call(self, to: str, **options: Any) -> CallResult[Any]:
        """Places a call, and waits until the call is over. Takes the arguments of `call`. A call that the dialing rules
        forbid has the status `refused`. If the task is cancelled, the call is hung up.

        If `Telephony` has the argument `server`, `agent` is the name of an agent that this server was started with.
        With None, the server uses its default agent. `data` and `secrets` are sent to the server as JSON, and `result`
        is sent as its JSON schema. The message for a voicemail can be a clip of up to a minute, which is sent as audio.
        """
        if self._remote is not None:
            return await self._remote.run_call(to, **options)
        try:
            call = self.call(to, **options)
        except CallRefused as error:
            return CallResult(to, "refused", error=str(error))
        try:
            return await call.finished()
        except asyncio.CancelledError:
            call.cancelled = True  # closing hangs up the call
            raise

    async def run_campaign(
        self, name: str, contacts: Iterable[Mapping[str, Any]], *, group: bool = False, **config: Any
    ) -> list[dict[str, Any]]:
        """Calls every contact of a list. Returns a row for each contact, with the columns that `telephony campaign
        export` writes.

        Each contact is a mapping with the key `to`, the optional keys `id`, `timezone` and `consent`, and data for the
        agent under any other key. With `group`, all contacts with the same number get one call. `config` has the
        settings of a campaign, as the fields of `CampaignConfig`. The setting `agent` is the name of an agent in
        `outgoing`, an argument of `Telephony`. If the database contains a campaign with the name `name`, this campaign
        is continued. A simulation uses no database.

        Raises:
            CampaignError: the campaign cannot be run in this process, or is over.
            pydantic.ValidationError: a setting is invalid.
        """
        from .campaigns.campaign import Campaign
        from .campaigns.config import CampaignConfig
        from .campaigns.contact_list import contacts_from_rows
        from .campaigns.in_process import in_memory, run_in_process

        dialer, sources = self.dialer, self._sources or SYSTEM
        found = contacts_from_rows(contacts, own_number=dialer.from_, rules=dialer.rules, group=group)
        campaign = Campaign(name, CampaignConfig.model_validate(config), sources.now(), name)
        if self._campaigns is None:
            return await in_memory(campaign, found.contacts, dialer, self._outgoing or {}, sources)
        return await run_in_process(campaign, found.contacts, self._campaigns, sources)

    async def placed_since(self, to: str, since: datetime) -> list[CallResource]:
        """Returns the account's calls from the application's number to `to` that were requested at `since` or later,
        the newest first. A program that was killed can find its calls with this method. Twilio may list a call some
        seconds late.

        Raises:
            CallRefused: `to` is not a valid number.
            TwilioError: the calls could not be listed.
        """
        dialer = self.dialer
        found = await dialer.rest.calls_between(dialer.from_, e164(to, dialer.from_))
        return [it for it in found if it.direction == "outbound-api" and (it.created is None or it.created >= since)]

    # --- the parts ---------------------------------------------------------------------------------------------------

    @property
    def dialer(self) -> Dialer:
        """The dialer, which places and follows the calls. Raises `UserError` outside of `async with`."""
        if self._dialer is None:
            if self._remote is not None:
                raise UserError(
                    "A server places the calls: use run_call. The controls of a live call exist only in its process."
                )
            raise UserError("Telephony places calls only within `async with`.")
        return self._dialer

    @property
    def campaigns(self) -> Campaigns | None:
        """The campaigns in the database, whose calls this process makes. None if there is no database."""
        return self._campaigns

    async def _simulated(self, stack: AsyncExitStack) -> Settings:
        from realtime_core.testing import virtual_time

        from .simulator import callees
        from .simulator.twilio import OWN_NUMBER, SimulatedTwilio

        self._sources = self._sources or (Sources(0) if virtual_time.is_running() else SYSTEM)
        twilio = self.twilio = await stack.enter_async_context(SimulatedTwilio(sources=self._sources))
        if isinstance(self._simulate, str):
            twilio.default_callee = callees.find(self._simulate)
        settings = self._settings or read_settings()
        self._rules = simulated_dialing_rules(settings) if self._rules is None else self._rules
        log.info("The calls are simulated: a simulated phone answers, and a script speaks.")
        return settings.model_copy(
            update={
                "twilio_account_sid": twilio.account_sid,
                "twilio_auth_token": SecretStr(twilio.auth_token),
                "twilio_api_key": None,
                "twilio_api_secret": None,
                "twilio_shared_key_secret": None,
                "database_url": None,
                "telephony_webhook_url": None,
                "telephony_text_model_url": None,
                "otel_exporter_otlp_endpoint": None,
                "telephony_data_dir": Path("off"),
                "twilio_phone_number": OWN_NUMBER,
                "telephony_twilio_api_url": twilio.base_url,
                "telephony_model": "scripted",
                "public_url": SIMULATED_URL,
                "host": "127.0.0.1",
                "port": 0,
            }
        )

    async def _serve(self, settings: Settings, stack: AsyncExitStack) -> None:
        from .application.app import create_app

        twilio = self.twilio
        app = create_app(
            self._agent,
            settings=settings,
            model_config=self._model_config,
            rest=None if twilio is None else TwilioRest.of(settings, twilio.http_client()),
            sources=self._sources or SYSTEM,
            outgoing=self._outgoing,
        )
        serving = listening(app, host=settings.host, port=settings.port) if twilio is None else twilio.serving(app)
        address = await stack.enter_async_context(serving)
        if twilio is not None:
            twilio.webhooks.reach[SIMULATED_URL] = address
        self._dialer, self._campaigns = getattr(app.state, "dialer", None), app.state.phone.campaigns
        if self._dialer is None:  # the account, the number or the address is not set
            raise SettingsError([_NO_PHONE])
        if self._rules is not None:
            is_real = not settings.is_simulation
            self._dialer.rules = self._rules if is_real else simulated(self._rules, app.state.phone.simulation)

    def _agent(self, info: CallInfo) -> RealtimeAgent[Any]:
        """Returns the agent for inbound calls while this process places calls."""
        return RealtimeAgent(name="Nobody", instructions="Say that nobody is here to answer calls, and say goodbye.")

    async def _hang_up_all(self) -> None:
        if self._dialer is None or not (live := self._dialer.live):
            return
        log.info("Hanging up %d calls.", len(live))
        try:
            async with asyncio.timeout(_HANG_UP_S):
                await asyncio.gather(*(call.hang_up() for call in live))
                await asyncio.gather(*(call.finished() for call in live))
        except TimeoutError:
            log.error("%d calls may still be in progress.", len(self._dialer.live))
