"""Gives each call its version of the agent, and rolls canaries back."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from realtime_core import RealtimeAgent, user_code
from realtime_core.sources import Sources

from ..call.call_info import CallInfo
from ..call.options import AgentSource
from ..errors import RecordRefused, RecordsUnavailable
from ..records.client import RecordsClient
from ..records.releases import ROLLED_BACK, Release
from ..versions import CANARY, STABLE, Canary, CanaryWatch, Version, digest_of_agent, is_chosen

__all__ = ["Canaries"]

log = logging.getLogger(__name__)

ALL = "*"
_DAY_S = 86_400.0
_LOOK_EVERY_S = 5.0
_MAX_CALLS = 10_000


class Canaries:
    """The versions of the agents of one application.

    Args:
        canaries: The canary of all numbers, or of each called number.
        model: The name of the model, a part of the digest.
        config: The configuration of the model, a part of the digest.
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
        self._canaries = {ALL: canaries} if isinstance(canaries, Canary) else dict(canaries or {})
        self._client = client
        self._subject_of = subject_of
        self._sources = sources
        self._model = model
        self._config = config or {}
        self._versions: OrderedDict[str, Version] = OrderedDict()
        """By `CallSid`."""
        self._places: dict[str, str] = {}
        self._watches = {place: CanaryWatch(canary.rollback) for place, canary in self._canaries.items()}
        self._rolled_back: set[str] = set()
        self._looked_at: float | None = None

    def of_call(self, call_sid: str) -> Version | None:
        """Returns the version of the agent of this call. None means that it was not chosen yet."""
        return self._versions.get(call_sid)

    def source(
        self,
        agent: AgentSource,
        canary: Canary | None = None,
        prepared: Callable[[AgentSource], AgentSource] = lambda agent: agent,
    ) -> AgentSource:
        """A function that chooses the version of the agent for a call. `agent` is the present agent. `canary` is the
        canary of the number. `prepared` means that adds the facts of the number to the agent of the canary.
        """

        async def pick(info: CallInfo) -> RealtimeAgent[Any]:
            place, chosen = self._canary(info.called, canary)
            is_canary = chosen is not None and await self._takes_part(place, chosen, info.caller)
            if is_canary and chosen is not None:
                picked = await _picked(prepared(chosen.agent), info)
                original = chosen.agent
            else:
                picked, original = await _picked(agent, info), agent
            self._note(info.sid, place, original if isinstance(original, RealtimeAgent) else picked, is_canary)
            return picked

        pick.__name__ = agent.name if isinstance(agent, RealtimeAgent) else getattr(agent, "__name__", "agent")
        return pick

    def ended(self, call_sid: str, *, failed: bool) -> Version | None:
        """Counts the end of a call. If too many calls of its canary have failed, the canary is rolled back. Returns the
        version of the call, if it is known."""
        version = self._versions.get(call_sid)
        place = self._places.pop(call_sid, "")
        if version is not None and version.is_canary and (watch := self._watches.get(place)) is not None:
            reason = watch.ended(failed=failed)
            if reason and place not in self._rolled_back:
                self._rolled_back.add(place)
                log.error("The canary %s of %s is rolled back: %s.", version, place, reason)
                task = asyncio.get_running_loop().create_task(self._decide(place, reason))
                task.add_done_callback(lambda task: task.exception())
        return version

    async def _decide(self, place: str, reason: str) -> None:
        release = Release(place, ROLLED_BACK, reason, self._sources.now())
        try:
            await self._client.query(lambda records: records.releases.decide(release))
        except (RecordsUnavailable, RecordRefused) as error:
            log.error("Other processes do not know that the canary of %s was rolled back: %s", place, error)

    def _canary(self, called: str, given: Canary | None) -> tuple[str, Canary | None]:
        if given is not None:
            self._watches.setdefault(called, CanaryWatch(given.rollback))
            return called, given
        if called in self._canaries:
            return called, self._canaries[called]
        return ALL, self._canaries.get(ALL)

    async def _takes_part(self, place: str, canary: Canary, caller: str) -> bool:
        """Returns whether this caller gets the canary now."""
        await self._look()
        subject = self._subject_of(caller)
        if not subject or place in self._rolled_back:
            return False
        wanted = CANARY if is_chosen(subject, place, canary.percent) else STABLE
        try:
            key, now = f"{place} {subject}", self._sources.now()
            agreed = await self._client.query(
                lambda records: records.claim("version", key, ttl_s=_DAY_S, now=now, value=wanted)
            )
        except (RecordsUnavailable, RecordRefused):
            return wanted == CANARY
        return (agreed.value or wanted) == CANARY

    async def _look(self) -> None:
        """Reads the decisions of other processes and of commands, at most every five seconds."""
        now = asyncio.get_running_loop().time()
        if self._looked_at is not None and now < self._looked_at + _LOOK_EVERY_S:
            return
        self._looked_at = now
        try:
            found = await self._client.query(lambda records: records.releases.all())
        except (RecordsUnavailable, RecordRefused):
            return
        for each in found:
            if each.is_rolled_back:
                self._rolled_back.add(each.place)
            elif each.place in self._rolled_back:
                self._rolled_back.discard(each.place)
                if (canary := self._canaries.get(each.place)) is not None:
                    self._watches[each.place] = CanaryWatch(canary.rollback)

    def _note(self, sid: str, place: str, agent: RealtimeAgent[Any], is_canary: bool) -> None:
        digest = digest_of_agent(agent, self._model, self._config)
        self._versions[sid] = Version(agent.name, digest, is_canary)
        self._places[sid] = place
        if len(self._versions) > _MAX_CALLS:
            gone, _ = self._versions.popitem(last=False)
            self._places.pop(gone, None)


async def _picked(source: AgentSource, info: CallInfo) -> RealtimeAgent[Any]:
    if isinstance(source, RealtimeAgent):
        return source
    picked: RealtimeAgent[Any] = await user_code.call(source, info)
    return picked
