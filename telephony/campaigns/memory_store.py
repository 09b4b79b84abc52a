"""The store of campaigns in memory, for rehearsals and for tests. This store is the shortest implementation of
`CampaignStore`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ..errors import CampaignError
from ..outbound.dialing_rules import DialingRules
from ..twilio.phone_forms import forms_of_one_phone
from .campaign import Campaign, CampaignCounts, CampaignStatus, PauseReason, PersonHistory
from .contact import Attempt, Contact, ContactState, DoneReason, Outcome
from .policy import DAY, Action, Dial, Done, Hold, HoldReason, Pause, Wait, calling_hours, decide, done, settled
from .store import Funnel

__all__ = ["MemoryStore"]

_TALKED = {Outcome.REACHED, Outcome.INCOMPLETE, Outcome.CALLBACK, Outcome.OPTED_OUT, Outcome.ABANDONED}


@dataclass(slots=True)
class _StoredCampaign:
    campaign: Campaign
    contacts: dict[str, Contact]
    attempts: dict[str, Attempt] = field(default_factory=dict)


class MemoryStore:
    """Keeps campaigns in memory. The methods do not block. Only one thread at a time may call a method."""

    def __init__(self) -> None:
        self._kept: dict[str, _StoredCampaign] = {}
        self._opted_out: set[str] = set()

    # --- campaigns ---------------------------------------------------------------------------------------------------

    def add(self, campaign: Campaign, contacts: Sequence[Contact]) -> None:
        if campaign.id in self._kept:
            raise CampaignError(f"There is a campaign {campaign.id} already: choose another name.")
        self._kept[campaign.id] = _StoredCampaign(campaign, {contact.id: contact for contact in contacts})

    def campaign(self, campaign_id: str) -> Campaign | None:
        kept = self._kept.get(campaign_id)
        return None if kept is None else kept.campaign

    def campaigns(self) -> list[Campaign]:
        return sorted((kept.campaign for kept in self._kept.values()), key=lambda it: it.created_at, reverse=True)

    def set_status(
        self, campaign_id: str, status: CampaignStatus, now: datetime, *, reason: PauseReason | None = None
    ) -> Campaign:
        kept = self._of(campaign_id)
        if kept.campaign.status is CampaignStatus.STOPPED and status is not CampaignStatus.STOPPED:
            raise CampaignError(f"The campaign {campaign_id} was stopped: create another one for the other contacts.")
        resumed = now if status is CampaignStatus.RUNNING else kept.campaign.resumed_at
        kept.campaign = replace(kept.campaign, status=status, pause_reason=reason, resumed_at=resumed)
        if status is CampaignStatus.STOPPED:
            for contact in [each for each in kept.contacts.values() if each.state is ContactState.PENDING]:
                kept.contacts[contact.id] = done(contact, DoneReason.STOPPED)
        return kept.campaign

    # --- contacts ----------------------------------------------------------------------------------------------------

    def due(self, campaign_id: str, now: datetime, limit: int) -> list[Contact]:
        found = [each for each in self._pending(campaign_id) if each.next_at is None or each.next_at <= now]
        return sorted(found, key=lambda each: (each.next_at is not None, each.next_at or now))[:limit]

    def next_due(self, campaign_id: str) -> datetime | None:
        return min((each.next_at for each in self._pending(campaign_id) if each.next_at is not None), default=None)

    def contact(self, campaign_id: str, contact_id: str) -> Contact | None:
        return self._of(campaign_id).contacts.get(contact_id)

    def contacts(
        self,
        campaign_id: str,
        *,
        limit: int,
        after: str = "",
        state: ContactState | None = None,
        search: str = "",
    ) -> list[Contact]:
        found = list(self._of(campaign_id).contacts.values())
        start = next((n + 1 for n, each in enumerate(found) if each.id == after), 0)
        return [
            each
            for each in found[start:]
            if (state is None or each.state is state) and (search in each.id or search in each.number)
        ][:limit]

    def contacts_of(self, number: str) -> list[tuple[Campaign, Contact]]:
        live, forms = (CampaignStatus.RUNNING, CampaignStatus.PAUSED), set(forms_of_one_phone(number))
        return [
            (kept.campaign, contact)
            for kept in self._kept.values()
            if kept.campaign.status in live
            for contact in kept.contacts.values()
            if contact.number in forms and not contact.is_final
        ]

    def retry(self, campaign_id: str, reasons: Sequence[DoneReason], now: datetime) -> int:
        kept, never = self._of(campaign_id), (DoneReason.OPTED_OUT, DoneReason.DO_NOT_CALL)
        found = [it for it in kept.contacts.values() if it.reason in reasons and it.reason not in never]
        for contact in found:
            state = ContactState.PENDING
            kept.contacts[contact.id] = replace(contact, state=state, reason=None, next_at=now, retried_at=now)
        return len(found)

    # --- attempts ----------------------------------------------------------------------------------------------------

    def begin(
        self, campaign_id: str, contact_id: str, now: datetime, *, attempt_id: str, owner: str, rules: DialingRules
    ) -> Attempt | Action:
        kept = self._of(campaign_id)
        contact = kept.contacts[contact_id]
        if contact.state is not ContactState.PENDING or (contact.next_at is not None and contact.next_at > now):
            return Hold(HoldReason.NOT_RUNNING)
        action = decide(
            kept.campaign,
            contact,
            self.attempts(campaign_id, contact_id),
            now,
            counts=self.counts(campaign_id, now),
            person=self._person(kept, contact.number, now, rules),
            hours=calling_hours(contact, kept.campaign.config, rules),
        )
        match action:
            case Dial():
                attempt = Attempt(attempt_id, contact_id, contact.number, now, owner=owner)
                kept.attempts[attempt_id] = attempt
                kept.contacts[contact_id] = replace(contact, state=ContactState.CALLING, next_at=None)
                return attempt
            case Wait(until):
                kept.contacts[contact_id] = replace(contact, next_at=until)
            case Done(reason):
                kept.contacts[contact_id] = done(contact, reason)
            case Pause(reason):
                self.set_status(campaign_id, CampaignStatus.PAUSED, now, reason=reason)
            case Hold():
                pass
        return action

    def placed(self, attempt_id: str, sid: str) -> None:
        kept, attempt = self._open(attempt_id)
        if kept is not None and attempt is not None:
            kept.attempts[attempt_id] = replace(attempt, sid=sid)

    def end(self, ended: Attempt, now: datetime, *, rules: DialingRules) -> Contact | None:
        kept, attempt = self._open(ended.id)
        if kept is None or attempt is None:
            return None
        assert ended.outcome is not None
        kept.attempts[ended.id] = replace(ended, ended_at=ended.ended_at or now)
        if ended.outcome is Outcome.OPTED_OUT:
            self._opted_out.update(forms_of_one_phone(ended.number))
        contact = kept.contacts[ended.contact_id]
        if contact.state is not ContactState.CALLING:  # the contact rang back during the attempt
            return contact
        kept.contacts[contact.id] = settled(
            kept.campaign,
            contact,
            self.attempts(kept.campaign.id, contact.id),
            now,
            person=self._person(kept, contact.number, now, rules),
            hours=calling_hours(contact, kept.campaign.config, rules),
        )
        return kept.contacts[contact.id]

    def withdraw(
        self, attempt_id: str, *, done: DoneReason | None = None, until: datetime | None = None
    ) -> Contact | None:
        kept, attempt = self._open(attempt_id)
        if kept is None or attempt is None:
            return None
        del kept.attempts[attempt_id]
        state = ContactState.PENDING if done is None else ContactState.DONE
        if done is None and kept.campaign.status is CampaignStatus.STOPPED:
            state, done, until = ContactState.DONE, DoneReason.STOPPED, None
        contact = replace(kept.contacts[attempt.contact_id], state=state, reason=done, next_at=until)
        kept.contacts[contact.id] = contact
        return contact

    def rang_back(self, inbound: Attempt, campaign_id: str) -> Contact | None:
        kept = self._of(campaign_id)
        if inbound.id in kept.attempts:
            return None
        kept.attempts[inbound.id] = inbound
        contact = kept.contacts[inbound.contact_id]
        if not contact.is_final:
            contact = kept.contacts[contact.id] = done(contact, DoneReason.RANG_BACK)
        return contact

    def open_attempts(self, campaign_id: str | None = None) -> list[Attempt]:
        found = self._kept.values() if campaign_id is None else [self._of(campaign_id)]
        return [attempt for kept in found for attempt in kept.attempts.values() if attempt.is_open]

    def attempts(self, campaign_id: str, contact_id: str) -> list[Attempt]:
        found = [each for each in self._of(campaign_id).attempts.values() if each.contact_id == contact_id]
        return sorted(found, key=lambda each: each.started_at)

    # --- counts ------------------------------------------------------------------------------------------------------

    def counts(self, campaign_id: str, now: datetime) -> CampaignCounts:
        kept = self._of(campaign_id)
        made = [each for each in kept.attempts.values() if not each.inbound]
        ended = [each for each in made if each.ended_at is not None]
        in_day = [each.started_at for each in made if each.started_at > now - DAY]
        abandoned = [
            each.ended_at
            for each in ended
            if each.outcome is Outcome.ABANDONED and each.ended_at is not None and each.ended_at > now - DAY
        ]
        since = kept.campaign.resumed_at
        recent = sorted(
            (each.ended_at, each.id, each.outcome) for each in ended if since is None or _ended(each) > since
        )
        prices = [each.cost for each in ended if each.cost is not None]
        return CampaignCounts(
            live=len(made) - len(ended),
            calls=len(made),
            last_started_at=max((each.started_at for each in made), default=None),
            calls_in_day=len(in_day),
            oldest_in_day=min(in_day, default=None),
            minutes=sum(each.duration_s for each in ended) / 60,
            cost=sum(prices),
            priced=len(prices),
            unpriced=sum(each.cost is None and each.duration_s > 0 for each in ended),
            abandoned_in_day=len(abandoned),
            oldest_abandoned=min(abandoned, default=None),
            recent=tuple(each[2] for each in recent[-kept.campaign.config.failures_of :] if each[2] is not None),
        )

    def funnel(self, campaign_id: str) -> Funnel:
        kept = self._of(campaign_id)
        attempts = list(kept.attempts.values())
        return Funnel(
            contacts=len(kept.contacts),
            states=Counter(each.state for each in kept.contacts.values()),
            reasons=Counter(each.reason for each in kept.contacts.values() if each.reason is not None),
            outcomes=Counter(each.outcome for each in attempts if each.outcome is not None),
            attempts=len(attempts),
            answered=sum(each.outcome in _TALKED for each in attempts),
            minutes=sum(each.duration_s for each in attempts) / 60,
            cost=sum(each.cost or 0.0 for each in attempts),
            currency=next((each.currency for each in attempts if each.currency), ""),
        )

    # -----------------------------------------------------------------------------------------------------------------

    def _of(self, campaign_id: str) -> _StoredCampaign:
        if (kept := self._kept.get(campaign_id)) is None:
            raise CampaignError(f"There is no campaign {campaign_id}.")
        return kept

    def _pending(self, campaign_id: str) -> Iterator[Contact]:
        return (each for each in self._of(campaign_id).contacts.values() if each.state is ContactState.PENDING)

    def _open(self, attempt_id: str) -> tuple[_StoredCampaign | None, Attempt | None]:
        for kept in self._kept.values():
            if (attempt := kept.attempts.get(attempt_id)) is not None and attempt.is_open:
                return kept, attempt
        return None, None

    def _person(self, kept: _StoredCampaign, number: str, now: datetime, rules: DialingRules) -> PersonHistory:
        config = kept.campaign.config
        calls = [each for each in self._to(number) if not each.inbound]
        here = {each.id for each in kept.attempts.values()}
        return PersonHistory(
            listed=number in self._opted_out or rules.lists(number),
            in_call=any(each.is_open for each in calls),
            called_at=tuple(each.started_at for each in calls if each.started_at > now - config.per_person.per),
            called_here=tuple(
                it.started_at for it in calls if it.id in here and it.started_at > now - config.per_number.per
            ),
        )

    def _to(self, number: str) -> list[Attempt]:
        forms = set(forms_of_one_phone(number))
        return [it for kept in self._kept.values() for it in kept.attempts.values() if it.number in forms]


def _ended(attempt: Attempt) -> datetime:
    assert attempt.ended_at is not None
    return attempt.ended_at
