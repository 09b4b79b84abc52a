"""Calls from a script.

```python
async with Telephony.from_env() as phone:
    r = await phone.run_call(to, agent=agent, data={"name": name}, result=Outcome, machine=LeaveMessage("..."))
print(r.status, r.answered_by, r.output)
```
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from pydantic import BaseModel, SecretStr

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.errors import UserError
from realtime_core.sources import SYSTEM, Sources

from ..call.call import CallInfo
from ..call.options import AgentSource
from ..errors import CallRefused, SettingsError
from ..settings import Settings, load_settings, read_settings
from ..twilio.numbers import tidy
from ..twilio.rest import CallResource, TwilioRest
from ..web.server import listening
from .dialing_rules import DialingRules, e164
from .dialler import Dialler
from .do_not_call import read_only, simulated_dialing_rules
from .placed import PlacedCall
from .plan import GREETING, CallPlan, CallResult, LeaveMessage

if TYPE_CHECKING:
    from ..simulator.twilio import SimulatedTwilio
    from .remote import RemoteServer

__all__ = ["Telephony"]

log = logging.getLogger(__name__)

T = TypeVar("T", bound=BaseModel)

SIMULATED_URL = "https://simulated.example"
_HANG_UP_S = 15.0

_NO_PHONE = (
    "There is no phone: set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER, PUBLIC_URL and OPENAI_API_KEY; "
    "or TELEPHONY_SIMULATE=1 to try it on this machine; or name a running server: Telephony(server=...)."
)


class Telephony:
    """An async context manager. Entered, it serves Twilio's webhooks and streams in this process, on HOST and PORT
    behind PUBLIC_URL. When it closes, also after Ctrl-C, it hangs up the calls that are not over.

    Args:
        settings: The account and the address; see `from_env`.
        server: The address of a running `telephony serve`, which makes the calls with its own agents (see `run_call`);
            `token`: its TELEPHONY_API_TOKEN.
        simulate: Call nobody, whatever `settings` says: run on a simulated Twilio of this machine with the embedded
            model, which is no AI. A text says who answers there: `person`, `voicemail`, `screening`, `fax`, `busy`,
            `no-answer`, `failed`, or a caller's file. In virtual time all of it runs in memory, seeded by `sources`
            (without them always the same).
        dialing_rules: Which numbers may be called, and when. None: the rules of the settings, by default the country of
            our own number, not at night, and no number of TELEPHONY_DO_NOT_CALL. A simulation keeps the rules that are
            set, on the real clock, and writes to no list; rules that are not set do not apply in it.
        model_config: How to reach the model.
        care: An older name of `dialing_rules`.
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
        care: DialingRules | None = None,
    ) -> None:
        if simulate and server is not None:
            raise UserError("A server makes real calls: leave server= away to simulate, or simulate= to call.")
        self.twilio: SimulatedTwilio | None = None
        """The simulated one, where that is in use."""
        self._settings = settings
        self._server = None if server is None else tidy(server)
        self._token = None if token is None else tidy(token)
        self._simulate = simulate
        self._rules = dialing_rules or care
        self._model_config = model_config
        self._sources = sources
        self._stack = AsyncExitStack()
        self._dialler: Dialler | None = None
        self._remote: RemoteServer | None = None

    @classmethod
    def from_env(
        cls, *, dialing_rules: DialingRules | None = None, care: DialingRules | None = None, **overrides: Any
    ) -> Self:
        """As the environment says: TELEPHONY_SIMULATE (`1`, or who answers there), TELEPHONY_SERVER, else the Twilio
        settings; `overrides` win over these (`telephony_quiet_hours="off"`).

        Raises:
            SettingsError: there is no phone, or the settings do not fit; one line each, with its cure.
        """
        rules = dialing_rules or care
        simulate = tidy(os.environ.get("TELEPHONY_SIMULATE", ""))
        if simulate not in ("", "0"):
            callee = True if simulate in ("1", "true", "yes") else simulate
            return cls(read_settings(**overrides), simulate=callee, dialing_rules=rules)
        if server := tidy(os.environ.get("TELEPHONY_SERVER", "")):
            return cls(server=server, token=os.environ.get("TELEPHONY_API_TOKEN"), dialing_rules=rules)
        settings = load_settings(**overrides)
        if not all((settings.twilio_account_sid, settings.twilio_auth_token, settings.twilio_phone_number,
                    settings.public_url)):  # fmt: skip
            raise SettingsError([_NO_PHONE])
        return cls(settings, dialing_rules=rules)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._server is not None:
                from .remote import RemoteServer

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
        result: type[BaseModel] | None = None,
        machine: LeaveMessage | None = None,
        greeting: str = GREETING,
        max_s: float | None = 600.0,
        ring_s: int = 30,
        detect: bool = True,
        timezone: str | None = None,
    ) -> PlacedCall:
        """Call somebody, and return at once: `await call.answered()`, `await call.finished()`, `await call.hang_up()`,
        and the controls of a live call.

        Args:
            to: Whom.
            agent: Who speaks; or an import string, `module:attribute`.
            data: What the agent knows of this call; tools find it in `ctx.context.data`.
            secrets: What only tools may know, there too.
            result: A pydantic model of what the call is to find out: the agent fills it in by a tool.
            machine: What a voicemail gets; None: it is hung up on.
            greeting: Instructions for the first words to a person.
            max_s: The call's length at most.
            ring_s: For how long to ring.
            detect: Find out who answered before a word is said.
            timezone: Where they are, for quiet hours; None: what the number says.

        Raises:
            CallRefused: the call must not be made; see `DialingRules`.
        """
        if isinstance(agent, str):
            from ..cli.load import load_agent

            agent = load_agent(agent)
        plan = CallPlan(
            to, agent, data or {}, result, machine, greeting, max_s, ring_s, secrets or {}, detect, timezone
        )
        return self.dialler.place(plan)

    @overload
    async def run_call(self, to: str, *, result: type[T], **options: Any) -> CallResult[T]: ...

    @overload
    async def run_call(self, to: str, **options: Any) -> CallResult[Any]: ...

    async def run_call(self, to: str, **options: Any) -> CallResult[Any]:
        """Call somebody, and wait until it is over. Takes what `call` takes; a call that must not be made is a result,
        too (`refused`). Cancelled, it hangs up.

        With a server, `agent` is the name of one that the server was started with (None: the one that answers there);
        `data` and `secrets` travel as JSON, `result` as its JSON schema, a clip for a voicemail up to a minute."""
        if self._remote is not None:
            return await self._remote.run_call(to, **options)
        try:
            call = self.call(to, **options)
        except CallRefused as error:
            return CallResult(to, "refused", error=str(error))
        try:
            return await call.finished()
        except asyncio.CancelledError:
            call.cancelled = True  # leaving the block hangs up
            raise

    async def placed_since(self, to: str, since: datetime) -> list[CallResource]:
        """The account's calls from our number to this one that were asked for since then, newest first: for a script
        that was killed and does not know what it has done. Twilio may list a call some seconds late.

        Raises:
            CallRefused: `to` is no number that can be called.
            TwilioError: it cannot be known now.
        """
        dialler = self.dialler
        found = await dialler.rest.calls_between(dialler.from_, e164(to, dialler.from_))
        return [it for it in found if it.direction == "outbound-api" and (it.created is None or it.created >= since)]

    # --- what is behind it -------------------------------------------------------------------------------------------

    @property
    def dialler(self) -> Dialler:
        """What places and follows the calls. Raises `UserError` outside of `async with`."""
        if self._dialler is None:
            if self._remote is not None:
                raise UserError("A server makes the calls: use run_call. A live call is at hand in its process alone.")
            raise UserError("Telephony makes calls within `async with` only.")
        return self._dialler

    async def _simulated(self, stack: AsyncExitStack) -> Settings:
        from realtime_core.testing import virtual_time

        from ..simulator import callees
        from ..simulator.twilio import OWN_NUMBER, SimulatedTwilio

        self._sources = self._sources or (Sources(0) if virtual_time.is_running() else SYSTEM)
        twilio = self.twilio = await stack.enter_async_context(SimulatedTwilio(sources=self._sources))
        if isinstance(self._simulate, str):
            twilio.default_callee = callees.find(self._simulate)
        settings = self._settings or read_settings()
        self._rules = simulated_dialing_rules(settings) if self._rules is None else read_only(self._rules)
        log.info("Nobody is called: a simulated phone answers, and a script speaks.")
        return settings.model_copy(
            update={
                "twilio_account_sid": twilio.account_sid,
                "twilio_auth_token": SecretStr(twilio.auth_token),
                "twilio_api_key": None,
                "twilio_api_secret": None,
                "twilio_shared_key_secret": None,
                "database_url": None,
                "twilio_phone_number": OWN_NUMBER,
                "telephony_twilio_api_url": twilio.base_url,
                "telephony_model": "scripted",
                "public_url": SIMULATED_URL,
                "host": "127.0.0.1",
                "port": 0,
            }
        )

    async def _serve(self, settings: Settings, stack: AsyncExitStack) -> None:
        from ..web.app import create_app

        twilio = self.twilio
        app = create_app(
            self._agent,
            settings=settings,
            model_config=self._model_config,
            rest=None if twilio is None else TwilioRest.of(settings, twilio.http_client()),
            sources=self._sources or SYSTEM,
        )
        serving = listening(app, host=settings.host, port=settings.port) if twilio is None else twilio.serving(app)
        address = await stack.enter_async_context(serving)
        if twilio is not None:
            twilio.webhooks.reach[SIMULATED_URL] = address
        self._dialler = app.state.dialler
        assert self._dialler is not None
        self._dialler.rules = self._rules or self._dialler.rules
        self._dialler.simulated = twilio is not None

    def _agent(self, info: CallInfo) -> RealtimeAgent[Any]:
        """The agent of inbound calls while this process places calls."""
        return RealtimeAgent(name="Nobody", instructions="Say that nobody is here to answer calls, and say goodbye.")

    async def _hang_up_all(self) -> None:
        if self._dialler is None or not (live := self._dialler.live):
            return
        log.info("Hanging up %d calls.", len(live))
        try:
            async with asyncio.timeout(_HANG_UP_S):
                await asyncio.gather(*(call.hang_up() for call in live))
                await asyncio.gather(*(call.finished() for call in live))
        except TimeoutError:
            log.error("%d calls may still be going on.", len(self._dialler.live))
