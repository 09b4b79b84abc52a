"""The store of campaigns in the database, for all processes together. All times are in UTC.

`begin` and `end` lock the row of their campaign, so the limits of a campaign apply to all processes together. The row
also has the counts that grow with each attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from ..errors import CampaignError
from ..outbound.dialing_rules import DialingRules
from ..records.database_opt_outs import opt_out
from ..records.opt_outs import OptOut, OptOutSource
from ..records.schema import attempts, campaigns, contacts, processes
from ..twilio.phone_forms import subjects_of_phone
from . import queries
from .campaign import Campaign, CampaignCounts, CampaignStatus, PauseReason
from .changes import Changes, count_end, person_of, put_contact
from .contact import Attempt, Contact, ContactState, DoneReason, Outcome
from .policy import Action, Dial, Hold, HoldReason, calling_hours, decide, done
from .rows import AT_ONCE, attempt_of, attempt_row, campaign_of, campaign_row, contact_of, contact_row, utc
from .store import Funnel

__all__ = ["DatabaseStore"]

_BATCH = 1000
_NEVER = (DoneReason.OPTED_OUT, DoneReason.DO_NOT_CALL)
_CALLING = ContactState.CALLING.value

Transaction = Callable[..., AbstractContextManager[Connection]]


class DatabaseStore:
    """The implementation of `CampaignStore` in a database. `transaction` begins a transaction of `DatabaseRecords`.
    `subject_of` returns the hash of a number. If `announces` is True, messages about contacts and campaigns are put
    into the outbox. If `shows_numbers` is True, these messages contain the full numbers. In a simulation, an opt-out
    changes no list of real people.
    """

    def __init__(
        self,
        transaction: Transaction,
        subject_of: Callable[[str], str],
        *,
        announces: bool = False,
        shows_numbers: bool = False,
        is_simulation: bool = False,
    ) -> None:
        self._transaction = transaction
        self._is_simulation = is_simulation
        self._subject_of = subject_of
        self._changes = Changes(announces, shows_numbers)

    # --- campaigns ---------------------------------------------------------------------------------------------------

    def add(self, campaign: Campaign, contacts_: Sequence[Contact]) -> None:
        with self._transaction() as connection:
            if queries.find(connection, campaign.id) is not None:
                raise CampaignError(f"There is a campaign {campaign.id} already: choose another name.")
            connection.execute(insert(campaigns).values(campaign_row(campaign, campaign.created_at)))
            rest = iter(enumerate(contacts_))
            while some := list(islice(rest, _BATCH)):
                rows = [
                    contact_row(campaign.id, each, position, self._subject(each), campaign.created_at)
                    for position, each in some
                ]
                connection.execute(insert(contacts), rows)

    def campaign(self, campaign_id: str) -> Campaign | None:
        with self._transaction(reads=True) as connection:
            row = queries.find(connection, campaign_id)
        return None if row is None else campaign_of(row)

    def campaigns(self) -> list[Campaign]:
        listed = select(campaigns).order_by(campaigns.c.created_at.desc(), campaigns.c.id)
        with self._transaction(reads=True) as connection:
            return [campaign_of(row) for row in connection.execute(listed).mappings()]

    def running(self) -> list[Campaign]:
        """Returns the campaigns that run, the oldest first."""
        these = campaigns.c.status == CampaignStatus.RUNNING.value
        with self._transaction(reads=True) as connection:
            rows = connection.execute(select(campaigns).where(these).order_by(campaigns.c.created_at)).mappings()
            return [campaign_of(row) for row in rows]

    def set_status(
        self, campaign_id: str, status: CampaignStatus, now: datetime, *, reason: PauseReason | None = None
    ) -> Campaign:
        with self._transaction() as connection:
            campaign = campaign_of(queries.locked(connection, campaign_id))
            if campaign.status is CampaignStatus.STOPPED and status is not CampaignStatus.STOPPED:
                raise CampaignError(
                    f"The campaign {campaign_id} was stopped: create another one for the other contacts."
                )
            if campaign.status is CampaignStatus.STOPPED:
                reason = PauseReason.HANG_UP
                values = {"pause_reason": reason.value, "updated_at": now}
                connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(values))
                return replace(campaign, pause_reason=reason)
            return self._changes.set_status(connection, campaign, status, now, reason)

    def to_hang_up(self, owner: str) -> list[str]:
        """Returns the ids of the attempts of the process `owner` whose calls must be hung up: the attempts in progress
        of campaigns that a user has stopped twice. Calls continue after the first stop.
        """
        twice = select(campaigns.c.id).where(campaigns.c.pause_reason == PauseReason.HANG_UP.value)
        condition = (attempts.c.owner == owner) & attempts.c.campaign.in_(twice)
        with self._transaction(reads=True) as connection:
            return list(connection.execute(select(attempts.c.id).where(condition, queries.IN_PROGRESS)).scalars())

    def finish(self, campaign_id: str, now: datetime) -> bool:
        """Sets the status of a running campaign to `FINISHED`, if the campaign has no pending contact and no call in
        progress. Returns whether the status was changed.
        """
        with self._transaction() as connection:
            row = queries.locked(connection, campaign_id)
            campaign, condition = campaign_of(row), contacts.c.campaign == campaign_id
            if campaign.status is not CampaignStatus.RUNNING or row["live"]:
                return False
            if connection.execute(select(contacts.c.id).where(condition, queries.PENDING).limit(1)).first() is not None:
                return False
            self._changes.set_status(connection, campaign, CampaignStatus.FINISHED, now)
            return True

    # --- contacts ----------------------------------------------------------------------------------------------------

    def due(self, campaign_id: str, now: datetime, limit: int) -> list[Contact]:
        with self._transaction(reads=True) as connection:
            return [contact_of(row) for row in connection.execute(queries.due(campaign_id, now, limit)).mappings()]

    def queue(self, campaign_id: str, now: datetime, limit: int, *, for_s: float) -> list[int]:
        """Marks at most `limit` due contacts as queued for `for_s` seconds. Returns their positions in the list of
        contacts (the first is 0). During this time no other process gets these contacts. If the attempt of a contact is
        lost in the queue, the contact is due again when that time is over.
        """
        with self._transaction() as connection:
            found = queries.due(campaign_id, now, limit).with_only_columns(contacts.c.position)
            positions = list(connection.execute(found.with_for_update(skip_locked=True)).scalars())
            if positions:
                these = (contacts.c.campaign == campaign_id) & contacts.c.position.in_(positions)
                until = now + timedelta(seconds=for_s)
                connection.execute(update(contacts).where(these).values(queued_until=until))
            return positions

    def to_call(self, attempt_id: str, campaign_id: str, position: int) -> tuple[Campaign, Contact] | None:
        """Returns the campaign, and the contact at this position in the list of contacts (the first is 0). Returns None
        if the campaign may not call the person: the attempt has already begun, or the data of the person was deleted.
        """
        this = (contacts.c.campaign == campaign_id) & (contacts.c.position == position)
        with self._transaction(reads=True) as connection:
            if connection.execute(select(attempts.c.id).where(attempts.c.id == attempt_id)).first() is not None:
                return None
            campaign = queries.find(connection, campaign_id)
            row = connection.execute(select(contacts).where(this)).mappings().first()
        return None if campaign is None or row is None else (campaign_of(campaign), contact_of(row))

    def unqueue(self, campaign_id: str, contact_id: str) -> None:
        """Takes a contact out of the queue, because its call was not begun. The contact is due again, so it can be put
        into the queue and called later.
        """
        this = (contacts.c.campaign == campaign_id) & (contacts.c.id == contact_id)
        with self._transaction() as connection:
            connection.execute(update(contacts).where(this, queries.PENDING).values(queued_until=None))

    def next_due(self, campaign_id: str) -> datetime | None:
        later = contacts.c.next_at > AT_ONCE
        first = select(func.min(contacts.c.next_at)).where(contacts.c.campaign == campaign_id, queries.PENDING, later)
        with self._transaction(reads=True) as connection:
            return utc(connection.execute(first).scalar())

    def contact(self, campaign_id: str, contact_id: str) -> Contact | None:
        with self._transaction(reads=True) as connection:
            row = queries.find_contact(connection, campaign_id, contact_id)
        return None if row is None else contact_of(row)

    def contacts(
        self,
        campaign_id: str,
        *,
        limit: int,
        after: str = "",
        state: ContactState | None = None,
        search: str = "",
    ) -> list[Contact]:
        wanted: list[ColumnElement[bool]] = [contacts.c.campaign == campaign_id]
        if state is not None:
            wanted.append(contacts.c.state == state.value)
        if search:
            wanted.append(or_(contacts.c.id.contains(search, autoescape=True),
                              contacts.c.number.contains(search, autoescape=True)))  # fmt: skip
        with self._transaction(reads=True) as connection:
            queries.existing(connection, campaign_id)
            if after and (last := queries.find_contact(connection, campaign_id, after)) is not None:
                wanted.append(contacts.c.position > last["position"])
            listed = select(contacts).where(*wanted).order_by(contacts.c.position).limit(limit)
            return [contact_of(row) for row in connection.execute(listed).mappings()]

    def contacts_of(self, number: str) -> list[tuple[Campaign, Contact]]:
        live = [CampaignStatus.RUNNING.value, CampaignStatus.PAUSED.value]
        open_states = [ContactState.PENDING.value, _CALLING]
        condition = (contacts.c.subject.in_(self._subjects(number)), contacts.c.state.in_(open_states))
        with self._transaction(reads=True) as connection:
            rows = connection.execute(select(contacts).where(*condition)).mappings().all()
            if not rows:
                return []
            ids = {row["campaign"] for row in rows}
            these = select(campaigns).where(campaigns.c.id.in_(ids), campaigns.c.status.in_(live))
            running = {row["id"]: campaign_of(row) for row in connection.execute(these).mappings()}
        return [(running[row["campaign"]], contact_of(row)) for row in rows if row["campaign"] in running]

    def retry(self, campaign_id: str, reasons: Sequence[DoneReason], now: datetime) -> int:
        values = [reason.value for reason in reasons if reason not in _NEVER]
        again = {"state": ContactState.PENDING.value, "reason": "", "next_at": now, "retried_at": now}
        with self._transaction() as connection:
            campaign = campaign_of(queries.locked(connection, campaign_id))
            these = and_(contacts.c.campaign == campaign_id, contacts.c.reason.in_(values))
            changes = update(contacts).where(these).values(queued_until=None, updated_at=now, **again)
            count = connection.execute(changes).rowcount
            if count and campaign.status is CampaignStatus.FINISHED:
                self._changes.set_status(connection, campaign, CampaignStatus.RUNNING, now)
            return count

    # --- attempts ----------------------------------------------------------------------------------------------------

    def begin(
        self, campaign_id: str, contact_id: str, now: datetime, *, attempt_id: str, owner: str, rules: DialingRules
    ) -> Attempt | Action:
        with self._transaction() as connection:
            campaign_row_ = queries.locked(connection, campaign_id)
            campaign, row = (
                campaign_of(campaign_row_),
                queries.find_contact(connection, campaign_id, contact_id, lock=True),
            )
            if row is None:
                return Hold(HoldReason.NOT_RUNNING)
            contact = contact_of(row)
            is_due = contact.next_at is None or contact.next_at <= now
            if contact.state is not ContactState.PENDING or not is_due:
                return Hold(HoldReason.NOT_RUNNING)
            action = decide(
                campaign,
                contact,
                queries.attempts_for(connection, campaign_id, contact_id),
                now,
                counts=queries.counts_of(connection, campaign_row_, campaign, now),
                person=person_of(
                    connection,
                    campaign,
                    self._subjects(contact.number, row["subject"]),
                    contact.number,
                    now,
                    rules,
                    attempt_id,
                ),
                hours=calling_hours(contact, campaign.config, rules),
            )
            if not isinstance(action, Dial):
                queries.let_go(connection, attempt_id)
                self._changes.not_called(connection, campaign, contact, action, now)
                return action
            attempt = Attempt(attempt_id, contact_id, contact.number, now, owner=owner)
            values = attempt_row(campaign_id, attempt, row["subject"])
            connection.execute(insert(attempts).values(**values, requests=0))
            counts = {"live": campaigns.c.live + 1, "calls": campaigns.c.calls + 1, "last_started_at": now}
            connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(counts))
            put_contact(connection, campaign_id, replace(contact, state=ContactState.CALLING, next_at=None), now)
            return attempt

    def requested(self, attempt_id: str, owner: str, *, at_most: int) -> bool:
        """Must be called immediately before the process `owner` asks Twilio to make the call of an attempt. Counts the
        request. Returns False if the process must not ask Twilio: the attempt already has `at_most` requests, the
        attempt has ended, or another process owns the attempt.
        """
        own_attempt = and_(
            attempts.c.id == attempt_id, attempts.c.owner == owner, queries.IN_PROGRESS, attempts.c.requests < at_most
        )
        with self._transaction() as connection:
            noting = update(attempts).where(own_attempt).values(requests=attempts.c.requests + 1)
            return connection.execute(noting).rowcount == 1

    def requests(self, attempt_id: str) -> int:
        """Returns the number of times that Twilio may have been asked to make the call."""
        with self._transaction(reads=True) as connection:
            return connection.execute(select(attempts.c.requests).where(attempts.c.id == attempt_id)).scalar() or 0

    def placed(self, attempt_id: str, sid: str) -> None:
        with self._transaction() as connection:
            connection.execute(update(attempts).where(attempts.c.id == attempt_id, queries.IN_PROGRESS).values(sid=sid))

    def end(self, ended: Attempt, now: datetime, *, rules: DialingRules) -> Contact | None:
        assert ended.outcome is not None
        with self._transaction() as connection:
            if (found := queries.open_attempt(connection, ended.id)) is None:
                return None
            campaign_row_ = queries.locked(connection, found["campaign"])
            campaign = campaign_of(campaign_row_)
            values = attempt_row(campaign.id, replace(ended, ended_at=ended.ended_at or now), found["subject"])
            del values["owner"], values["id"]
            ending = update(attempts).where(attempts.c.id == ended.id, queries.IN_PROGRESS).values(values)
            if connection.execute(ending).rowcount == 0:
                return None
            count_end(connection, campaign.id, ended)
            queries.let_go(connection, ended.id)
            if ended.outcome is Outcome.OPTED_OUT and not self._is_simulation:
                opt_out(connection, OptOut(found["subject"], ended.number, OptOutSource.PHONE, now))
            subjects = self._subjects(ended.number, found["subject"])
            return self._changes.settle(connection, campaign, ended.contact_id, subjects, now, rules)

    def withdraw(
        self,
        attempt_id: str,
        *,
        done: DoneReason | None = None,
        until: datetime | None = None,
        owner: str | None = None,
    ) -> Contact | None:
        """Removes an attempt for which no call was made. If `done` is given, no further attempt to reach the contact is
        made, for this reason. Otherwise the contact is pending and is not called before the time `until` (None: the
        contact may be called immediately). If `owner` is given, the attempt is removed only if the process `owner`
        makes the attempt. Returns the changed contact, or None if no attempt was removed.
        """
        with self._transaction() as connection:
            found = queries.open_attempt(connection, attempt_id)
            if found is None or owner not in (None, found["owner"]):
                return None
            campaign = campaign_of(queries.locked(connection, found["campaign"]))
            this = and_(attempts.c.id == attempt_id, attempts.c.owner == found["owner"], queries.IN_PROGRESS)
            if connection.execute(delete(attempts).where(this)).rowcount == 0:
                return None
            counts = {"live": campaigns.c.live - 1, "calls": campaigns.c.calls - 1}
            connection.execute(update(campaigns).where(campaigns.c.id == campaign.id).values(counts))
            queries.let_go(connection, attempt_id)
            row = queries.find_contact(connection, campaign.id, found["contact"], lock=True)
            if row is None:
                return None
            now = utc(found["started_at"]) or AT_ONCE
            state = ContactState.PENDING if done is None else ContactState.DONE
            contact = replace(contact_of(row), state=state, reason=done, next_at=until)
            if done is None and campaign.status is CampaignStatus.STOPPED:
                contact = replace(contact, state=ContactState.DONE, reason=DoneReason.STOPPED, next_at=None)
            put_contact(connection, campaign.id, contact, now)
            self._changes.announce(connection, campaign, contact, now)
            return contact

    def rang_back(self, inbound: Attempt, campaign_id: str) -> Contact | None:
        now = inbound.ended_at or inbound.started_at
        with self._transaction() as connection:
            campaign = campaign_of(queries.locked(connection, campaign_id))
            if connection.execute(select(attempts.c.id).where(attempts.c.id == inbound.id)).first() is not None:
                return None
            row = queries.find_contact(connection, campaign_id, inbound.contact_id, lock=True)
            if row is None:
                return None
            connection.execute(insert(attempts).values(**attempt_row(campaign_id, inbound, row["subject"]), requests=0))
            contact = contact_of(row)
            if not contact.is_final:
                contact = done(contact, DoneReason.RANG_BACK)
                put_contact(connection, campaign_id, contact, now)
                self._changes.announce(connection, campaign, contact, now)
            return contact

    def open_attempts(self, campaign_id: str | None = None) -> list[Attempt]:
        wanted = select(attempts).where(queries.IN_PROGRESS).order_by(attempts.c.started_at)
        if campaign_id is not None:
            wanted = wanted.where(attempts.c.campaign == campaign_id)
        with self._transaction(reads=True) as connection:
            return [attempt_of(row) for row in connection.execute(wanted).mappings()]

    def orphans(self, now: datetime, owner: str) -> list[tuple[str, Attempt]]:
        """Returns the attempts in progress that may have no process: those of a process that no longer counts as alive
        (it did not renew its lease), and those of the asking process `owner`, which itself knows on which of them it
        still works. Each entry is (id of the campaign, attempt).
        """
        leases = select(processes.c.id).where(processes.c.expires_at > now, processes.c.id != owner)
        wanted = select(attempts).where(queries.IN_PROGRESS, attempts.c.owner.not_in(leases))
        with self._transaction(reads=True) as connection:
            return [(row["campaign"], attempt_of(row)) for row in connection.execute(wanted).mappings()]

    def take_over(self, attempt: Attempt, owner: str) -> bool:
        """Makes the process `owner` the owner of an attempt in progress. Returns False if another process has taken
        over the attempt, or if the attempt has ended.
        """
        these = and_(attempts.c.id == attempt.id, attempts.c.owner == attempt.owner, queries.IN_PROGRESS)
        with self._transaction() as connection:
            return connection.execute(update(attempts).where(these).values(owner=owner)).rowcount == 1

    def attempt(self, attempt_id: str) -> Attempt | None:
        with self._transaction(reads=True) as connection:
            row = connection.execute(select(attempts).where(attempts.c.id == attempt_id)).mappings().first()
        return None if row is None else attempt_of(row)

    def attempts(self, campaign_id: str, contact_id: str) -> list[Attempt]:
        with self._transaction(reads=True) as connection:
            return queries.attempts_for(connection, campaign_id, contact_id)

    def attempts_of(self, campaign_id: str, contact_ids: Sequence[str]) -> dict[str, list[Attempt]]:
        """Returns the attempts to call these contacts of a campaign: for each id in `contact_ids`, the list of the
        contact's attempts, the oldest first. The list is empty if there was no attempt.
        """
        found: dict[str, list[Attempt]] = {each: [] for each in contact_ids}
        rest = iter(contact_ids)
        with self._transaction(reads=True) as connection:
            while some := list(islice(rest, 500)):
                these = and_(attempts.c.campaign == campaign_id, attempts.c.contact.in_(some))
                rows = connection.execute(select(attempts).where(these).order_by(attempts.c.started_at)).mappings()
                for row in rows:
                    found[row["contact"]].append(attempt_of(row))
        return found

    # --- counts ------------------------------------------------------------------------------------------------------

    def counts(self, campaign_id: str, now: datetime) -> CampaignCounts:
        with self._transaction(reads=True) as connection:
            row = queries.existing(connection, campaign_id)
            return queries.counts_of(connection, row, campaign_of(row), now)

    def funnel(self, campaign_id: str) -> Funnel:
        with self._transaction(reads=True) as connection:
            return queries.funnel(connection, campaign_id)

    def calls_by_hour(self, campaign_id: str, since: datetime) -> Counter[datetime]:
        """Returns the number of attempts that began in each hour (in UTC) since the time `since`."""
        began = select(attempts.c.started_at).where(
            attempts.c.campaign == campaign_id, attempts.c.started_at >= since, ~attempts.c.inbound
        )
        with self._transaction(reads=True) as connection:
            starts = [utc(at) for at in connection.execute(began).scalars()]
        return Counter(at.replace(minute=0, second=0, microsecond=0) for at in starts if at is not None)

    # -----------------------------------------------------------------------------------------------------------------

    def _subjects(self, number: str, stored: str = "") -> list[str]:
        """Returns the hashes of a number in all its forms, and the hash that is stored with the number, if any. The
        stored hash may have been made with another key.
        """
        found = subjects_of_phone(number, self._subject_of)
        return found if not stored or stored in found else [*found, stored]

    def _subject(self, contact: Contact) -> str:
        return "" if contact.state is ContactState.INVALID else self._subject_of(contact.number)
