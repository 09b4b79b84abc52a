"""The settings of one server session: requested settings, and settings that the server accepted or refused.

Pure. A setting is in effect when the server has acknowledged it (`session.updated`). Each change is sent in a separate
`session.update`. The server accepts or refuses a whole update, so a refusal concerns only one change, and no other
update repeats the refused setting.

An acknowledgement in the protocol has no id. The server answers updates in order, so a `session.updated` belongs to the
oldest update without an answer. There is one exception: a `session.updated` that shows the old values of the settings
that this update changes. The server has sent such an event for another reason, so the event answers no update. A
refusal contains the event id of its update. Without an event id, the refusal belongs to the oldest update that requests
the setting in `param`.

Source: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import RealtimeCoreError

__all__ = ["ANSWER_S", "Answered", "Change", "DueUpdates", "Fields", "Path", "Refusal", "SettingsLedger", "path_of"]

ANSWER_S = 10.0
"""The time in seconds to wait for the server's answer to a `session.update`. After this time the update counts as
failed.
"""
_ECHO_S = 2.0
"""The time in seconds in which an update must be refused if a `session.updated` without its changes has arrived. After
this time the update counts as accepted.
"""

Path = tuple[str, ...]
Fields = dict[Path, Any]
"""A flattened session object: `("instructions",)`, `("audio", "output", "voice")`. A changed value is sent as a whole,
and never in part.
"""

Answered = Callable[[RealtimeCoreError | None], None]
"""A function that is called once with the server's answer to a change: None if the server has accepted the change, or
the refusal.
"""


@dataclass(eq=False, slots=True)
class Change:
    """Settings that are changed together in one `session.update`. `fields` are the changed settings. `named` has the
    names of further settings that the update repeats with the values that the server has accepted. Without them, a
    server could reset these settings to their defaults.
    """

    fields: Fields
    answered: Answered | None = None
    named: tuple[Path, ...] = ()

    def settle(self, error: RealtimeCoreError | None) -> None:
        if self.answered is not None:
            self.answered(error)


@dataclass(eq=False, slots=True)
class _Update:
    """A pending `session.update`. `change` is None if the update only restores settings in effect."""

    event_id: str
    fields: Fields
    sent_at: float
    change: Change | None
    given_up: bool = False
    echoed: bool = False
    """Whether a `session.updated` without the changes of this update has arrived after the update."""

    @property
    def due_at(self) -> float:
        """The time at which the update is given up."""
        return self.sent_at + (_ECHO_S if self.echoed else ANSWER_S)


@dataclass(frozen=True, slots=True)
class DueUpdates:
    """The changes of the session settings that are due now (see `SettingsLedger.due`). `updates` has the
    `session.update` events to send, each as a pair (event id, fields). `settled` has the changes for which nothing is
    sent, because the settings have these values already. These changes count as accepted.
    """

    updates: list[tuple[str, Fields]]
    settled: list[Change]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A `session.update` that the server has refused. `change` has the refused settings, or is None if the update only
    restored earlier settings. `path` is the setting that caused the refusal, or None if it is not known.
    """

    change: Change | None
    path: Path | None


@dataclass
class SettingsLedger:
    """Keeps the changes of the session settings (such as instructions and tools): changes that wait to be sent, changes
    that were sent and not yet answered by the server, and changes that the server has accepted. `now` is in seconds on
    any steady clock.
    """

    granted: Fields = field(default_factory=dict)
    """The settings that the server has accepted, so they are in effect."""
    override: Fields = field(default_factory=dict)
    """Values that temporarily replace accepted settings on the server, for example while a tool runs."""
    _waiting: deque[Change] = field(default_factory=deque)
    _sent: deque[_Update] = field(default_factory=deque)
    _at_server: Fields = field(default_factory=dict)
    """The values of the updates that the server has accepted, including overrides."""
    _echo: Fields = field(default_factory=dict)
    """The session as last reported by the server."""
    _uncorrected: Fields = field(default_factory=dict)
    """The overrides and corrections that the server has refused. These are not requested again."""

    @property
    def desired(self) -> Fields:
        """The settings that will be in effect when the server has accepted all changes."""
        desired = dict(self.granted)
        for change in self.unanswered:
            desired |= change.fields
        return desired

    @property
    def unanswered(self) -> list[Change]:
        """The changes without an answer, the oldest first."""
        under_way = [each.change for each in self._sent if each.change is not None and not each.given_up]
        return [*under_way, *self._waiting]

    @property
    def under_way(self) -> bool:
        """Whether an update waits for the server's answer."""
        return any(not each.given_up for each in self._sent)

    @property
    def deadline(self) -> float | None:
        """The time at which `on_time` must be called, because the server has not answered a `session.update` by then.
        None if no answer is expected.
        """
        return min((each.due_at for each in self._sent if not each.given_up), default=None)

    # Requests.

    def request(self, change: Change) -> None:
        """Requests a change of settings. `due` then returns the `session.update` for the change."""
        self._waiting.append(change)

    def sent(self, event_id: str, change: Change, now: float) -> None:
        """Adds a `session.update` that users' code has sent itself as a raw message, so the server's answer to this
        update is recognised. `event_id` is the id of the sent event, and `change` has its settings.
        """
        self._sent.append(_Update(event_id, dict(change.fields), now, change))

    def due(self, ids: Callable[[], str], now: float) -> DueUpdates:
        """Returns the `session.update` events that must be sent at the time `now` for the changes that were requested.
        A setting that already has the requested value is left out, unless a pending update changes it. `ids` is a
        function that returns a new event id.
        """
        due = DueUpdates([], [])
        while self._waiting:
            change = self._waiting.popleft()
            fields = {path: value for path, value in change.fields.items() if not self._holds(path, value)}
            if fields:
                steady = [path for path in change.named if path in self.granted and not self._is_changing(path)]
                named = {path: self.granted[path] for path in steady}
                due.updates.append(self._send(ids(), named | fields, change, now))
            else:
                self.granted |= change.fields
                due.settled.append(change)
        if fields := self._corrections():
            due.updates.append(self._send(ids(), fields, None, now))
        return due

    def _send(self, event_id: str, fields: Fields, change: Change | None, now: float) -> tuple[str, Fields]:
        self._sent.append(_Update(event_id, fields, now, change))
        return event_id, fields

    def _holds(self, path: Path, value: Any) -> bool:
        return path in self.granted and self.granted[path] == value and not self._is_changing(path)

    def _is_changing(self, path: Path) -> bool:
        return any(path in each.fields and each.fields[path] != self.granted.get(path) for each in self._sent)

    def _is_touched(self, path: Path) -> bool:
        return any(path in each.fields for each in self._sent)

    def _corrections(self) -> Fields:
        """Returns the settings whose value at the server differs from the wanted value."""
        wanted = self.granted | self.override
        return {
            path: wanted[path]
            for path, value in self._at_server.items()
            if path in wanted
            and value != wanted[path]
            and not self._is_touched(path)
            and (path not in self._uncorrected or self._uncorrected[path] != wanted[path])
        }

    # Answers.

    def created(self, session: Fields) -> None:
        """Stores the settings that the server event `session.created` reports: the settings of the session before any
        update. Later reports are compared with these settings, to find out which updates the server has applied.
        """
        self._echo = session

    def taken(self, session: Fields) -> list[Change]:
        """Handles the server event `session.updated`. `session` has the settings that the event reports. Returns the
        changes that are in effect from now on.
        """
        shown = [self._shows(each, session) for each in self._sent]
        n_answered = 1
        if shown and shown[0] is False:
            # Answers arrive in order. An older update was answered by an earlier `session.updated` that showed no
            # change.
            n_answered = shown.index(True) + 1 if True in shown else 0
        for each in self._sent:
            each.echoed = True
        self._echo = {**self._echo, **session}
        changes: list[Change] = []
        for _ in range(min(n_answered, len(self._sent))):
            changes += self._grant(self._sent.popleft())
        return changes

    def _shows(self, update: _Update, session: Fields) -> bool | None:
        """Returns whether the session shows a change of the update. Returns None if the session contains none of the
        update's settings, or if the update changes nothing.
        """
        news = [
            path
            for path in update.fields
            if path in session and (path not in self._echo or not _agrees(self._echo[path], update.fields[path]))
        ]
        if not news:
            return None
        return any(path not in self._echo or session[path] != self._echo[path] for path in news)

    def _grant(self, update: _Update) -> list[Change]:
        self._at_server |= update.fields
        if update.change is None or update.given_up:
            return []
        self.granted |= update.change.fields
        return [update.change]

    def refused(self, event_id: str, path: Path | None = None) -> Refusal | None:
        """Handles an error event of the server. If the error refuses a `session.update`, the changes of this update do
        not take effect, and the refusal is returned. Otherwise returns None.

        `event_id` is "" if the error has no event id. `path` is the setting that the error names (see `path_of`).
        """
        update = next((each for each in self._sent if self._is_meant(each, event_id, path)), None)
        if update is None:
            return None
        self._sent.remove(update)
        if update.change is None:
            self._uncorrected |= update.fields
        fields = update.fields if update.change is None else update.change.fields
        refused = next((each for each in fields if path is not None and _overlap(each, path)), None)
        if refused is None and len(fields) == 1:
            refused = next(iter(fields))
        return Refusal(None if update.given_up else update.change, refused)

    @staticmethod
    def _is_meant(update: _Update, event_id: str, path: Path | None) -> bool:
        if event_id:
            return update.event_id == event_id
        return path is None or any(_overlap(each, path) for each in update.fields)

    def on_time(self, now: float) -> tuple[list[Change], list[Change]]:
        """Stops waiting for updates that the server has not answered in time. Returns two lists: the changes that count
        as accepted, because a `session.updated` has arrived since the update was sent, and the changes that failed. If
        the server accepts a failed update later, `due` returns an update that reverts it.
        """
        taken: list[Change] = []
        failed: list[Change] = []
        for update in [each for each in self._sent if not each.given_up and now >= each.due_at]:
            if update.echoed:
                self._sent.remove(update)
                taken += self._grant(update)
            else:
                update.given_up = True
                failed += [update.change] if update.change is not None else []
        return taken, failed

    # A new session.

    def renewed(self) -> SettingsLedger:
        """Returns a new ledger for a new server session. The new session has none of the accepted settings (`granted`),
        so these settings wait in the new ledger as one `Change`. The next call of `due` returns the `session.update`
        for this change.
        """
        renewed = SettingsLedger()
        renewed.request(Change(dict(self.granted)))
        return renewed

    def succeed(self, lost: SettingsLedger) -> None:
        """Continues after a lost connection: this ledger belongs to the new server session, and `lost` is the ledger of
        the old one. Requests the settings that were in effect in the old session and differ here, and, each separately,
        the changes that the server had not answered. Empties the waiting changes of `lost`.
        """
        known = self.desired
        missed = {path: value for path, value in lost.granted.items() if path not in known or known[path] != value}
        if missed:
            self.request(Change(missed))
        for change in lost.unanswered:
            self.request(change)
        lost._waiting.clear()
        lost._sent.clear()


def path_of(param: str) -> Path | None:
    """Returns the path of the setting in an error's `param`: `session.tools[0].name` gives `("tools", "0", "name")`.
    Returns None if `param` names no setting.
    """
    names = param.replace("[", ".").replace("]", "").split(".")
    return tuple(names[1:]) if names[0] == "session" and len(names) > 1 else None


def _overlap(one: Path, other: Path) -> bool:
    """Returns whether one path is equal to the other path, or is a prefix of it."""
    return all(a == b for a, b in zip(one, other, strict=False))


def _agrees(shown: Any, requested: Any) -> bool:
    """Returns whether the server reports the requested value. The reported value may have more fields."""
    if isinstance(shown, Mapping) and isinstance(requested, Mapping):
        return all(name in shown and _agrees(shown[name], value) for name, value in requested.items())
    if _is_list(shown) and _is_list(requested):
        return len(shown) == len(requested) and all(map(_agrees, shown, requested))
    return bool(shown == requested)


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
