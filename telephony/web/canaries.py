"""Selects the version of the agent for each call, and rolls back canaries (new versions for a part of the callers)."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from realtime_core import RealtimeAgent
from realtime_core.errors import UserError
from realtime_core.sources import Sources

from ..agent_choice import check_agent, chosen_agent
from ..call.call_info import OUTBOUND, CallInfo
from ..call.options import AgentSource
from ..errors import RecordRefused, RecordsUnavailable
from ..records import ClaimResult, Records
from ..records.client import RecordsClient
from ..records.releases import ROLLED_BACK, MemoryReleases, Release
from ..twilio.phone_forms import main_form
from ..versions import CANARY, STABLE, Canary, Rollback, Version, digest_of_agent, is_chosen
from .background import Background
from .routing import by_number, name_of

__all__ = ["Canaries"]

log = logging.getLogger(__name__)

ALL = "*"
_DAY_S = 86_400.0
_MAX_CALLS = 10_000


class Canaries:
    """Selects the version of the agent for each call. A canary is a new version for a part of the callers.

    Args:
        canaries: The canary of all numbers, or a mapping from called numbers to canaries.
        model: The name of the model. The id of a version is a digest of the agent, the name of the model and `config`.
        config: The configuration of the model.
    """

    def __init__(
        self,
        canaries: Canary | Mapping[str, Canary] | None,
        *,
        client: RecordsClient,
        subject_of: Callable[[str], str],
        sources: Sources,
        model: str = "",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._canaries = {ALL: canaries} if isinstance(canaries, Canary) else by_number(canaries or {}, "canary")
        for number, canary in self._canaries.items():
            if not isinstance(canary, Canary):
                raise UserError(f"The canary for {number!r}: give a Canary, not {canary!r:.80}.")
            check_agent(canary.agent, "Canary: agent")
        self._client = client
        self._subject_of = subject_of
        self._sources = sources
        self._model = model
        self._config = config or {}
        self._versions: OrderedDict[str, Version] = OrderedDict()
        """The versions of the agents, by `CallSid`."""
        self._taking_part: dict[str, tuple[str, Canary]] = {}
        """The calls that have a canary version, by `CallSid`: the number of the application (or `*`) and the canary."""
        self._counted_here = MemoryReleases()
        """The calls of canaries in this process. Only these calls count while the database cannot be used."""
        self._rolled_back: set[str] = set()
        self._unsaved: dict[str, Release] = {}
        """The rollbacks of this process that the database does not have yet."""
        self._background = Background()

    async def close(self) -> None:
        await self._background.close()

    def of_call(self, call_sid: str) -> Version | None:
        """Returns the version of the agent of this call, or None if the version has not been selected."""
        return self._versions.get(call_sid)

    def source(
        self,
        agent: AgentSource,
        canary: Canary | None = None,
        prepared: Callable[[AgentSource], AgentSource] = lambda agent: agent,
    ) -> AgentSource:
        """Returns a function that selects the version of the agent for a call. `agent` is the present agent, and
        `canary` is the new agent for a part of the callers. With `canary` None, `agent` is combined with the canary
        that was given to the constructor for the application's number of the call. If there is no such canary, all
        callers get `agent`. `prepared` is a function that is applied to the new agent only. This function returns a
        copy of the agent with the changes that the caller of this method has already made to `agent`.
        """

        async def pick(info: CallInfo) -> RealtimeAgent[Any]:
            own_number, other_number = (
                (info.caller, info.called) if info.direction == OUTBOUND else (info.called, info.caller)
            )
            place, chosen = (own_number, canary) if canary is not None else self._canary(own_number)
            if chosen is not None and await self._is_selected(place, chosen, other_number):
                picked = await chosen_agent(prepared(chosen.agent), info)
                self._note(info.sid, chosen.agent, picked, is_canary=True)
                self._taking_part[info.sid] = place, chosen
            else:
                picked = await chosen_agent(agent, info)
                self._note(info.sid, agent, picked)
            return picked

        pick.__name__ = name_of(agent)
        return pick

    def noted(self, agent: AgentSource) -> AgentSource:
        """Returns a source of agents that selects the same agents as `agent`, and stores for each call the version of
        the selected agent. Used for agents without a canary (a new version for a part of the callers).
        """

        async def pick(info: CallInfo) -> RealtimeAgent[Any]:
            picked = await chosen_agent(agent, info)
            self._note(info.sid, agent, picked)
            return picked

        pick.__name__ = name_of(agent)
        return pick

    def ended(self, call_sid: str, *, failed: bool) -> Version | None:
        """Counts the end of a call. If too many calls of its canary (the new version of the agent) have failed, rolls
        back the canary. Returns the version of the call, or None if the version is not known.
        """
        version = self._versions.get(call_sid)
        place, canary = self._taking_part.pop(call_sid, ("", None))
        if version is not None and canary is not None and canary.rollback is not None:
            self._background.start(self._count(place, canary.rollback, version, failed=failed), "canary")
        return version

    async def _count(self, place: str, rollback: Rollback, version: Version, *, failed: bool) -> None:
        keep = rollback.calls
        failures, calls = self._counted_here.count(place, str(version), failed=failed, keep=keep)
        try:
            failures, calls = await self._client.query(
                lambda records: records.releases.count(place, str(version), failed=failed, keep=keep)
            )
        except (RecordsUnavailable, RecordRefused) as error:
            log.warning("A call of the canary of %s counts in this process only: %s", place, error)
        if (reason := rollback.reason(failures, calls)) and place not in self._rolled_back:
            self._rolled_back.add(place)
            log.error("The canary %s of %s is rolled back: %s.", version, place, reason)
            await self._decide(place, reason)

    async def _decide(self, place: str, reason: str) -> None:
        release = self._unsaved[place] = Release(place, ROLLED_BACK, reason, self._sources.now())
        try:
            await self._client.query(lambda records: records.releases.decide(release))
            self._unsaved.pop(place, None)
        except (RecordsUnavailable, RecordRefused) as error:
            log.error("Other processes do not know yet that the canary of %s was rolled back: %s", place, error)

    def _canary(self, own_number: str) -> tuple[str, Canary | None]:
        return (
            (own_number, self._canaries[own_number]) if own_number in self._canaries else (ALL, self._canaries.get(ALL))
        )

    async def _is_selected(self, place: str, canary: Canary, party: str) -> bool:
        """Returns whether this caller gets the canary version now."""
        if not (subject := self._subject_of(main_form(party))):
            return False
        name = name_of(canary.agent)
        wanted = CANARY if is_chosen(subject, name, canary.percent) else STABLE
        key, now = f"{name} {subject}", self._sources.now()

        def ask(records: Records) -> tuple[list[Release], ClaimResult]:
            for release in tuple(self._unsaved.values()):
                records.releases.decide(release)
            return records.releases.all(), records.claim("version", key, ttl_s=_DAY_S, now=now, value=wanted)

        try:
            releases, agreed = await self._client.query(ask)
        except (RecordsUnavailable, RecordRefused):
            return wanted == CANARY and place not in self._rolled_back
        self._unsaved.clear()
        self._rolled_back = {each.place for each in releases if each.is_rolled_back}
        return place not in self._rolled_back and (agreed.value or wanted) == CANARY

    def _note(self, sid: str, given: AgentSource, picked: RealtimeAgent[Any], *, is_canary: bool = False) -> None:
        agent = given if isinstance(given, RealtimeAgent) else picked
        self._versions[sid] = Version(agent.name, digest_of_agent(agent, self._model, self._config), is_canary)
        if len(self._versions) > _MAX_CALLS:
            gone, _ = self._versions.popitem(last=False)
            self._taking_part.pop(gone, None)
