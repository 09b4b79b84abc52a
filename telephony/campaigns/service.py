"""The campaigns of one server: the store of campaigns and the dialer, with the agents and checks of the application."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from realtime_core.errors import UserError
from realtime_core.sources import Sources

from ..call.options import AgentSource
from ..errors import CampaignError, SettingsError
from ..outbound.dialer import Dialer
from ..outbound.dialing_rules import DialingRules
from ..outbound.opt_out_list import OptOutList
from ..outcomes.result_form import ResultType
from ..records.client import RecordsClient
from ..records.database import DatabaseRecords
from ..settings import Settings
from .attempt_call import Speech
from .campaign import Campaign, CampaignStatus, PauseReason
from .contact import ContactState, DoneReason
from .database_store import DatabaseStore
from .dial_check import check_of
from .dialer import CampaignDialer
from .durable_queue import DurableQueue
from .hold_status import HoldStatus, hold_status
from .report import campaign_json, result_row
from .runner import Check

__all__ = ["Campaigns", "ServerSpeech", "campaign_dialer_of", "campaigns_of", "check_for", "engine_url"]

_T = TypeVar("_T")

ENGINE_FILE = "campaigns.db"


@dataclass(slots=True)
class Campaigns:
    """The campaigns of a server. `dialer` is None if this process makes no calls of campaigns. `now` is in UTC."""

    store: DatabaseStore
    client: RecordsClient
    speech: Callable[[Campaign], Speech]
    rules: DialingRules
    dialer: CampaignDialer | None = None

    async def ask(self, query: Callable[[DatabaseStore], _T]) -> _T:
        """Runs a query of the store in a worker thread. Errors of the query are raised. Returns the result of the
        query.
        """
        return await self.client.ask(lambda _: query(self.store))

    async def existing(self, campaign_id: str) -> Campaign:
        """Returns the campaign with this id. Raises `CampaignError` if there is no such campaign."""
        campaign = await self.ask(lambda store: store.campaign(campaign_id))
        if campaign is None:
            raise CampaignError(f"There is no campaign {campaign_id}.")
        return campaign

    def check(self, campaign: Campaign) -> None:
        """Raises `CampaignError` if this server cannot make the calls of the campaign."""
        self.speech(campaign)
        check_for(campaign)

    async def run(self, campaign_id: str, now: datetime) -> Campaign:
        """Starts a campaign, or continues a paused campaign. Raises `CampaignError` if this is not possible. Returns
        the changed campaign.
        """
        campaign = await self.existing(campaign_id)
        self.check(campaign)
        if campaign.status is CampaignStatus.FINISHED:
            raise CampaignError(f"The campaign {campaign_id} is finished: `retry` calls some of its contacts again.")
        if campaign.status is not CampaignStatus.RUNNING:
            campaign = await self.ask(lambda store: store.set_status(campaign_id, CampaignStatus.RUNNING, now))
        if self.dialer is not None:
            self.dialer.search_now()
        return campaign

    async def pause(self, campaign_id: str, now: datetime) -> Campaign:
        """Pauses a campaign, so no process starts a further call. Raises `CampaignError` if this is not possible.
        Returns the changed campaign.
        """
        if (await self.existing(campaign_id)).status is CampaignStatus.FINISHED:
            raise CampaignError(f"The campaign {campaign_id} is finished.")
        paused, reason = CampaignStatus.PAUSED, PauseReason.USER
        return await self.ask(lambda store: store.set_status(campaign_id, paused, now, reason=reason))

    async def stop(self, campaign_id: str, now: datetime) -> Campaign:
        """Ends a campaign. Calls in progress continue. Raises `CampaignError` if this is not possible. Returns the
        changed campaign.
        """
        await self.existing(campaign_id)
        return await self.ask(lambda store: store.set_status(campaign_id, CampaignStatus.STOPPED, now))

    async def retry(self, campaign_id: str, reasons: Sequence[str], now: datetime) -> int:
        """Sets contacts that are done back to pending, so they are called again: all contacts that are done for one of
        these reasons (values of `DoneReason`). Returns the number of these contacts. Raises `CampaignError` if there is
        no such campaign, and `ValueError` for an unknown reason.
        """
        await self.existing(campaign_id)
        wanted = [DoneReason(reason) for reason in reasons]
        count = await self.ask(lambda store: store.retry(campaign_id, wanted, now))
        if self.dialer is not None:
            self.dialer.search_now()
        return count

    async def shown(self, campaign_id: str, now: datetime) -> dict[str, Any]:
        """Returns the status and the counts of a campaign as JSON values, and why it starts no call now. Raises
        `CampaignError` if there is no such campaign.
        """
        campaign = await self.existing(campaign_id)
        shown, next_at = await self.ask(lambda store: (self._json(store, campaign, now), store.next_due(campaign_id)))
        return {**shown, "next_at": None if next_at is None else next_at.isoformat()}

    async def listed(self, now: datetime) -> list[dict[str, Any]]:
        """Returns the status and the counts of all campaigns as JSON values, and why a campaign starts no call now. The
        newest campaign is first.
        """
        return await self.ask(lambda store: [self._json(store, campaign, now) for campaign in store.campaigns()])

    def _json(self, store: DatabaseStore, campaign: Campaign, now: datetime) -> dict[str, Any]:
        held = hold_status(store, campaign, now, self.rules)
        is_running = campaign.status is CampaignStatus.RUNNING
        if held is None and is_running and self.dialer is not None and (error := self.dialer.queue_error):
            held = HoldStatus("queue", f"the queue of attempts of this process cannot be used: {error}")
        return campaign_json(campaign, store.funnel(campaign.id), held)

    async def page(
        self, campaign_id: str, *, limit: int, after: str = "", state: str = "", search: str = ""
    ) -> list[dict[str, Any]]:
        """Returns at most `limit` contacts with their attempts, in the order of the file. The first contact is the one
        after the contact with the id `after`. `state` selects the contacts in this state, and `search` is a part of the
        id or of the number. An empty text selects all. Raises `CampaignError`, or `ValueError` for an unknown state.
        """
        only = ContactState(state) if state else None

        def read(store: DatabaseStore) -> list[dict[str, Any]]:
            found = store.contacts(campaign_id, limit=limit, after=after, state=only, search=search)
            tried = store.attempts_of(campaign_id, [each.id for each in found])
            return [result_row(each, tried[each.id]) for each in found]

        return await self.ask(read)


class ServerSpeech:
    """Finds the agent of a campaign: an agent of `agents` by its name (`create_app(outgoing=...)`), or the server's own
    agent. The result type and the check of a campaign must be in modules that the server has already imported.
    """

    def __init__(self, agents: Mapping[str, AgentSource]) -> None:
        self._agents = agents
        self._results: dict[str, Any] = {}

    def __call__(self, campaign: Campaign) -> Speech:
        """Returns the `Speech` of the campaign. Raises `CampaignError` if the server does not have the agent."""
        config = campaign.config
        if config.agent and config.agent not in self._agents:
            known = ", ".join(sorted(self._agents)) or "none"
            raise CampaignError(
                f"this server has no agent {config.agent!r}; it has: {known} (--outgoing {config.agent})"
            )
        return Speech(
            self._agents[config.agent] if config.agent else None,
            None if config.result is None else self._result(config.result),
        )

    def _result(self, name: str) -> Any:
        if name not in self._results:
            found = imported(name)
            try:
                ResultType(found)
            except UserError as error:
                raise CampaignError(str(error)) from None
            self._results[name] = found
        return self._results[name]


def imported(name: str) -> Any:
    """Returns the attribute `module:attribute` of a module that is already imported. Raises `CampaignError` if there is
    no such attribute.
    """
    module, _, attribute = name.partition(":")
    found = getattr(sys.modules.get(module), attribute, None) if attribute else None
    if found is None:
        raise CampaignError(f"{name!r} is not in a module that this server uses: write module:attribute")
    return found


def campaigns_of(
    client: RecordsClient,
    subject_of: Callable[[str], str],
    agents: Mapping[str, AgentSource],
    rules: DialingRules,
    *,
    is_simulation: bool = False,
) -> Campaigns | None:
    """Returns the campaigns in the database of a server, or None if the server has no database. `subject_of` returns
    the hash of a phone number, and `agents` has the agents by name. `is_simulation` is True if the server calls
    simulated people only.
    """
    if not isinstance(client.database, DatabaseRecords):
        return None
    store = DatabaseStore(
        client.database.transaction,
        subject_of,
        announces=client.announces,
        shows_numbers=client.shows_numbers,
        is_simulation=is_simulation,
    )
    return Campaigns(store, client, ServerSpeech(agents), rules)


def check_for(campaign: Campaign) -> Check | None:
    """Returns the check before dialing of a campaign, or None. Raises `CampaignError` if the check cannot be loaded."""
    return check_of(campaign.config.check, imported)


def campaign_dialer_of(
    campaigns: Campaigns,
    settings: Settings,
    dialer: Dialer,
    opt_outs: OptOutList,
    *,
    room: Callable[[int], int],
    executor: str,
    sources: Sources,
) -> tuple[CampaignDialer, DurableQueue] | None:
    """Returns the dialer and the queue that make the calls of the campaigns in this process, or None if DBOS is not
    installed. `room` returns how many more calls this process can take, and `executor` is the name of this process.

    The three objects are async context managers and must be entered in this order: the returned queue, the returned
    campaign dialer, `dialer`. After that, the campaign dialer must be started.
    """
    campaign_dialer = CampaignDialer(
        campaigns.store,
        campaigns.client,
        dialer,
        opt_outs,
        speech=campaigns.speech,
        check=check_for,
        room=room,
        sources=sources,
    )
    try:
        queue = DurableQueue(engine_url(settings), executor, campaign_dialer.work, at_once=settings.telephony_max_calls)
    except SettingsError:
        return None
    campaign_dialer.queue, campaigns.dialer = queue, campaign_dialer
    return campaign_dialer, queue


def engine_url(settings: Settings) -> str:
    """Returns the URL of DBOS's database: the database with the call records if that is PostgreSQL, otherwise an SQLite
    file next to the SQLite file with the call records.
    """
    url = settings.records_url
    assert url is not None
    if not url.startswith("sqlite"):
        return url
    folder, _, _ = url.rpartition("/")
    return f"{folder}/{ENGINE_FILE}"
