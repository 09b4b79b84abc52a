"""The settings of one server session: requested, taken and refused by the server.

Pure. A setting counts when the server has acknowledged it (`session.updated`). Each change goes out in a
`session.update` of its own. The server takes all of an update or nothing, so a refusal concerns one change only, and no
other update repeats what was refused.

The protocol gives an acknowledgement no id. The server answers updates in order, so a `session.updated` belongs to the
oldest update under way. There is one exception: the event shows the settings of this update without the requested
change. Then the server has sent the event for a reason of its own, and it answers no update. A refusal names its update
by the event id. Without an event id it belongs to the oldest update that requests the setting named in `param`.

Source: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import RealtimeCoreError

__all__ = ["ANSWER_S", "Answered", "Change", "Due", "Fields", "Path", "Refusal", "SettingsLedger", "path_of"]

ANSWER_S = 10.0
"""The time after which an update without an answer is given up, in seconds."""
_ECHO_S = 2.0
"""An update after which a `session.updated` came without its changes counts as taken if it is not refused by then."""

Path = tuple[str, ...]
Fields = dict[Path, Any]
"""A session object flattened: `("instructions",)`, `("audio", "output", "voice")`. A value is replaced as a whole."""

Answered = Callable[[RealtimeCoreError | None], None]
"""Called once with the server's answer to a change: None where the server has taken it, else the refusal."""


@dataclass(eq=False, slots=True)
class Change:
    """Settings that are requested together. Its update repeats the settings of `named` unchanged."""

    fields: Fields
    answered: Answered | None = None
    named: tuple[Path, ...] = ()

    def settle(self, error: RealtimeCoreError | None) -> None:
        if self.answered is not None:
            self.answered(error)


@dataclass(eq=False, slots=True)
class _Update:
    """A `session.update` under way. `change` is None where the update only restores settings in force."""

    event_id: str
    fields: Fields
    sent_at: float
    change: Change | None
    given_up: bool = False
    echoed: bool = False
    """A `session.updated` has come after the update and showed none of its changes."""

    @property
    def due_at(self) -> float:
        """When the update is given up."""
        return self.sent_at + (_ECHO_S if self.echoed else ANSWER_S)


@dataclass(frozen=True, slots=True)
class Due:
    """Updates to send (event id, fields), and changes that are in force without an update."""

    updates: list[tuple[str, Fields]]
    settled: list[Change]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An update that the server has refused. `path` is the refused setting, if it is known."""

    change: Change | None
    path: Path | None


@dataclass
class SettingsLedger:
    """Changes that wait, are under way, or are taken. `now` is in seconds of any steady clock."""

    granted: Fields = field(default_factory=dict)
    """The settings that the server has taken: they are in force."""
    override: Fields = field(default_factory=dict)
    """Values that replace granted ones for a while."""
    _waiting: deque[Change] = field(default_factory=deque)
    _sent: deque[_Update] = field(default_factory=deque)
    _at_server: Fields = field(default_factory=dict)
    """The values of the updates that the server has taken, overrides included."""
    _echo: Fields = field(default_factory=dict)
    """The session as the server last described it."""
    _uncorrected: Fields = field(default_factory=dict)
    """Overrides and corrections that the server has refused: the ledger does not request them again."""

    @property
    def desired(self) -> Fields:
        """The settings in force once the server has taken all changes."""
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
        """When to call `on_time`."""
        return min((each.due_at for each in self._sent if not each.given_up), default=None)

    # Requests.

    def request(self, change: Change) -> None:
        """Requests a change; `due` returns its update."""
        self._waiting.append(change)

    def sent(self, event_id: str, change: Change, now: float) -> None:
        """Notes an update that the user has sent for the change."""
        self._sent.append(_Update(event_id, dict(change.fields), now, change))

    def due(self, ids: Callable[[], str], now: float) -> Due:
        """Returns the updates to send now. A setting that is in force, and that no update under way changes, is left
        out.
        """
        due = Due([], [])
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
        """Settings that have another value at the server than wanted."""
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
        """Handles `session.created`, which shows the session before any update."""
        self._echo = session

    def taken(self, session: Fields) -> list[Change]:
        """Handles `session.updated`, which shows the session as it is now. Returns the changes that are in force from
        now on."""
        shown = [self._shows(each, session) for each in self._sent]
        n_answered = 1
        if shown and shown[0] is False:
            # Answers come in order: an older update was answered by an earlier `session.updated` that showed no change.
            n_answered = shown.index(True) + 1 if True in shown else 0
        for each in self._sent:
            each.echoed = True
        self._echo = {**self._echo, **session}
        changes: list[Change] = []
        for _ in range(min(n_answered, len(self._sent))):
            changes += self._grant(self._sent.popleft())
        return changes

    def _shows(self, update: _Update, session: Fields) -> bool | None:
        """Returns whether the session shows a change of the update; None where it shows none of the update's settings,
        or where the update changes nothing.
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
        """Handles an error of the server. None means that it refuses no update.

        `event_id` is "" if the server names none. `path` is the setting that it names (see `path_of`).
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
        """Gives up updates without an answer. Returns the changes that count as taken, because the server has described
        its session since, and those that failed. If the server takes an update later, `due` reverts it."""
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
        """Returns the ledger of a new server session: one change requests all granted settings."""
        renewed = SettingsLedger()
        renewed.request(Change(dict(self.granted)))
        return renewed

    def succeed(self, lost: SettingsLedger) -> None:
        """Takes over the changes that a lost session has not answered, each as a change of its own."""
        known = self.desired
        missed = {path: value for path, value in lost.granted.items() if path not in known or known[path] != value}
        if missed:
            self.request(Change(missed))
        for change in lost.unanswered:
            self.request(change)
        lost._waiting.clear()
        lost._sent.clear()


def path_of(param: str) -> Path | None:
    """Returns the setting that an error's `param` names: `session.tools[0].name` is `("tools", "0", "name")`. None
    where it names no setting.
    """
    names = param.replace("[", ".").replace("]", "").split(".")
    return tuple(names[1:]) if names[0] == "session" and len(names) > 1 else None


def _overlap(one: Path, other: Path) -> bool:
    """Returns whether one of them names the other, or a part of it."""
    return all(a == b for a, b in zip(one, other, strict=False))


def _agrees(shown: Any, requested: Any) -> bool:
    """Returns whether the server shows the requested value. It may show more fields."""
    if isinstance(shown, Mapping) and isinstance(requested, Mapping):
        return all(name in shown and _agrees(shown[name], value) for name, value in requested.items())
    if _is_list(shown) and _is_list(requested):
        return len(shown) == len(requested) and all(map(_agrees, shown, requested))
    return bool(shown == requested)


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
