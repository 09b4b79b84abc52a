"""Settings that are requested, taken, refused or never answered."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import RealtimeCoreError, ServerRejected
from realtime_core.openai_realtime.settings_ledger import ANSWER_S, Change, DueUpdates, Fields, SettingsLedger, path_of

A: Fields = {("instructions",): "A", ("voice",): "ash"}


class Log:
    """A ledger, and the answers that it gave to requests."""

    def __init__(self, granted: Fields = A) -> None:
        self.ledger = SettingsLedger()
        self.answers: dict[str, list[RealtimeCoreError | None]] = {}
        numbers = itertools.count(1)
        self.ids = lambda: f"evt_{next(numbers)}"
        self.ask("first", granted)
        self.due()
        self.taken()

    def ask(self, name: str, fields: Fields) -> None:
        self.ledger.request(Change(fields, self.answers.setdefault(name, []).append))

    def due(self, now: float = 0.0) -> list[tuple[str, Fields]]:
        due: DueUpdates = self.ledger.due(self.ids, now)
        for change in due.settled:
            change.settle(None)
        return due.updates

    def taken(self, **session: Any) -> None:
        for change in self.ledger.taken({(name,): value for name, value in session.items()}):
            change.settle(None)

    def refused(self, event_id: str, param: str = "") -> str | None:
        """Returns the refused setting: "" if it is not known, and None if nothing is refused."""
        refusal = self.ledger.refused(event_id, path_of(param))
        if refusal is None:
            return None
        if refusal.change is not None:
            refusal.change.settle(ServerRejected("no"))
        return ".".join(refusal.path or ())

    def outcome(self, name: str) -> str:
        answers = self.answers[name]
        assert len(answers) < 2, "there is one answer"
        return "open" if not answers else "taken" if answers[0] is None else "refused"


def test_a_setting_counts_when_it_is_taken() -> None:
    log = Log()
    log.ask("b", {("instructions",): "B"})
    assert log.due() == [("evt_2", {("instructions",): "B"})]
    assert log.ledger.granted == A and log.ledger.desired[("instructions",)] == "B" and log.outcome("b") == "open"
    log.taken(instructions="B")
    assert log.ledger.granted[("instructions",)] == "B" and log.outcome("b") == "taken" and not log.due()


def test_a_refused_change_is_forgotten_and_rides_with_no_other() -> None:
    log = Log()
    log.ask("bad", {("instructions",): "B", ("speed",): 9})
    log.ask("good", {("tool_choice",): "none"})
    assert [fields for _, fields in log.due()] == [
        {("instructions",): "B", ("speed",): 9},
        {("tool_choice",): "none"},
    ], "each in an update of its own"
    assert log.refused("evt_2", "session.speed") == "speed"
    log.taken(tool_choice="none")
    assert (log.outcome("bad"), log.outcome("good")) == ("refused", "taken")
    assert log.ledger.granted == A | {("tool_choice",): "none"} and not log.due()
    assert log.refused("evt_2", "session.speed") is None, "an error that comes twice"


def test_what_an_update_under_way_asks_for_is_not_relied_on() -> None:
    log = Log()
    log.ask("bad", {("instructions",): "B", ("speed",): 9})
    log.ask("same", {("instructions",): "B"})
    log.ask("back", {("instructions",): "A"})
    assert [fields for _, fields in log.due()][1:] == [{("instructions",): "B"}, {("instructions",): "A"}]
    log.refused("evt_2", "session.speed")
    log.taken(instructions="B")
    log.taken(instructions="A")
    assert (log.outcome("same"), log.outcome("back"), log.ledger.granted) == ("taken", "taken", A)


def test_what_is_in_force_needs_no_update() -> None:
    log = Log()
    log.ask("same", {("instructions",): "A"})
    assert not log.due() and log.outcome("same") == "taken"


def test_refusals_without_an_event_id() -> None:
    log = Log()
    log.ask("one", {("instructions",): "B"})
    log.ask("two", {("audio", "output", "voice"): "x", ("speed",): 2})
    log.due()
    assert log.refused("", "session.audio.output.voice.id") == "audio.output.voice" and log.outcome("one") == "open"
    assert log.refused("", "session.audio.output.voice") is None, "it comes twice"
    assert log.refused("", "response.metadata") == "instructions", "the caller knows that it means an update"
    assert log.refused("") is None


def test_a_session_updated_that_shows_no_change_answers_nothing() -> None:
    log = Log()
    log.ask("b", {("instructions",): "B"})
    log.taken(instructions="A", voice="ash")  # nothing is under way
    log.due()
    log.taken(instructions="A", voice="ash")
    assert log.outcome("b") == "open"
    assert log.refused("evt_2") == "instructions" and log.outcome("b") == "refused" and log.ledger.granted == A


def test_a_session_updated_that_comes_twice_answers_one_update() -> None:
    log = Log()
    log.taken(instructions="A", voice="ash")
    log.ask("b", {("instructions",): "B"})
    log.ask("c", {("voice",): "verse"})
    log.due()
    log.taken(instructions="B", voice="ash")
    log.taken(instructions="B", voice="ash")
    assert (log.outcome("b"), log.outcome("c")) == ("taken", "open")


def test_servers_may_describe_the_session_in_their_own_words() -> None:
    log = Log()
    log.taken(instructions="A", tools=[])
    cases: list[tuple[str, dict[tuple[str, ...], Any], dict[str, Any]]] = [
        ("trimmed", {("instructions",): " B "}, {"instructions": "B"}),
        ("completed", {("tools",): [{"name": "x"}]}, {"tools": [{"name": "x", "strict": False}]}),
        ("ids only", {("voice",): "verse"}, {"id": "sess_1"}),
        ("nothing", {("voice",): "ash"}, {}),
    ]
    for name, requested, shown in cases:
        log.ask(name, requested)
        log.due()
        log.taken(**shown)
        assert log.outcome(name) == "taken", name


def test_a_server_that_ignores_a_setting_does_not_hold_up_the_next() -> None:
    log = Log()
    log.taken(instructions="A", speed=1.0)
    log.ask("ignored", {("speed",): 1.2})
    log.ask("next", {("instructions",): "B"})
    log.due()
    log.taken(instructions="A", speed=1.0)
    log.taken(instructions="B", speed=1.0)
    assert (log.outcome("ignored"), log.outcome("next")) == ("taken", "taken")
    log.ask("alone", {("speed",): 1.3})
    log.due()
    log.taken(instructions="B", speed=1.0)
    assert log.ledger.deadline == 2.0, "a server that describes another session than it has costs no long silence"
    assert log.ledger.on_time(1.9) == ([], [])
    taken, failed = log.ledger.on_time(2.0)
    assert [each.fields for each in taken] == [{("speed",): 1.3}] and not failed


def test_an_unanswered_update_is_given_up_and_reverted_if_it_is_taken_late() -> None:
    log = Log()
    log.ask("b", {("instructions",): "B"})
    log.due(1.0)
    assert log.ledger.deadline == 1.0 + ANSWER_S and log.ledger.on_time(ANSWER_S) == ([], [])
    _, (failed,) = log.ledger.on_time(1.0 + ANSWER_S)
    assert failed.fields == {("instructions",): "B"} and log.ledger.deadline is None
    assert log.ledger.desired == A and not log.due()
    log.taken(instructions="B")
    assert log.outcome("b") == "open", "it was told already"
    assert log.due() == [("evt_3", {("instructions",): "A"})]
    log.taken(instructions="A")
    assert not log.due()


def test_an_override_is_lifted_and_a_refused_one_is_not_requested_again() -> None:
    log = Log()
    log.ledger.override = {("voice",): "quiet"}
    assert log.due() == [("evt_2", {("voice",): "quiet"})]
    log.taken()
    assert not log.due() and log.ledger.granted == A
    log.ledger.override = {}
    assert log.due() == [("evt_3", {("voice",): "ash"})]
    log.taken()
    log.ledger.override = {("voice",): "?"}
    log.due()
    assert log.refused("evt_4") == "voice" and not log.due()


def test_a_new_session_gets_the_granted_settings_and_then_each_other_change() -> None:
    log = Log()
    log.ask("bad", {("speed",): 9})
    log.due()
    old, log.ledger = log.ledger, log.ledger.renewed()
    log.ledger.override = {}
    assert log.due() == [("evt_3", A)], "nothing that could be refused"
    log.taken()
    old.request(Change({("instructions",): "B"}, log.answers.setdefault("later", []).append))
    log.ledger.succeed(old)
    assert [fields for _, fields in log.due()] == [{("speed",): 9}, {("instructions",): "B"}]
    log.refused("evt_4")
    log.taken()
    assert (log.outcome("bad"), log.outcome("later")) == ("refused", "taken")
    assert not old.unanswered


def test_a_change_taken_while_the_new_session_began_is_requested_there() -> None:
    log = Log()
    log.ask("b", {("instructions",): "B"})
    log.due()
    new = log.ledger.renewed()
    log.taken()
    new.succeed(log.ledger)
    requested: Fields = {}
    for _, fields in new.due(log.ids, 0.0).updates:
        requested |= fields
    assert requested == {**A, ("instructions",): "B"}


values = st.sampled_from(["A", "B", "C"])
changes = st.dictionaries(st.sampled_from([("instructions",), ("voice",), ("tool_choice",)]), values, min_size=1)


@given(st.lists(st.one_of(changes, st.sampled_from(["take", "refuse", "refuse without id", "volunteer"])), max_size=30))
def test_ledger_and_server_agree_whatever_is_taken_and_refused(steps: list[Any]) -> None:
    """The server accepts an update completely or not at all. After every answer, the granted settings are those of the
    server.
    """
    log = Log(A | {("tool_choice",): "auto"})
    server = dict(log.ledger.granted)
    under_way: list[tuple[str, str, Fields]] = []
    expected: dict[str, str] = {}
    log.taken(**{path[0]: value for path, value in server.items()})

    def answer(how: str) -> None:
        event_id, name, fields = under_way.pop(0)
        if how == "take":
            server.update(fields)
            log.taken(**{path[0]: value for path, value in server.items()})
        else:
            log.refused("" if how == "refuse without id" else event_id)
        expected[name] = "taken" if how == "take" else "refused"

    for number, step in enumerate(steps):
        if isinstance(step, dict):
            log.ask(f"{number}", step)
            updates = log.due()
            under_way += [(event_id, f"{number}", fields) for event_id, fields in updates]
            expected[f"{number}"] = "open" if updates else "taken"
        elif step == "volunteer":
            log.taken(**{path[0]: value for path, value in server.items()})
        elif under_way:
            answer(step)
        if not under_way:
            assert log.ledger.granted == server
    while under_way:
        answer("take")
    assert log.ledger.granted == server
    if "volunteer" not in steps:  # a refusal that comes after one is a refusal of what is in force anyway
        assert {name: log.outcome(name) for name in expected} == expected
