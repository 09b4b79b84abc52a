"""The facts that a server session has reported already."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from realtime_core.openai_realtime.server_session.known_facts import KnownFacts, RecentEntries, RepeatedMessages


def event(event_id: str | None, **fields: object) -> str:
    return json.dumps({"type": "x", **({} if event_id is None else {"event_id": event_id}), **fields})


def test_a_fact_is_news_once_and_again_when_it_is_another() -> None:
    known = KnownFacts()
    assert known.add("a", "kind", 1) and not known.add("a", "kind", 1)
    assert known.add("b", "kind", 1) and known.add("a", "kind", 2)
    assert known.value("kind", 1) == "b" and known.has("kind", 2) and not known.has("kind", 3)
    known.forget("kind", 1)
    known.forget("kind", 1)
    assert known.value("kind", 1) is None and known.add("b", "kind", 1)


def test_memory_is_bounded() -> None:
    recent = RecentEntries(3)
    for key in "abcd":
        recent[key] = 1
    assert list(recent) == ["b", "c", "d"]


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_message_that_comes_twice_is_recognised_by_its_id(as_bytes: bool) -> None:
    messages = RepeatedMessages()

    def is_repeated(message: str, event_id: str | None) -> bool:
        return messages.is_repeated(message.encode() if as_bytes else message, event_id)

    assert not is_repeated(event("e1"), "e1")
    assert not is_repeated(event("e2", delta="la"), "e2")
    assert is_repeated(event("e2", delta="la"), "e2") and is_repeated(event("e1"), None), "the id need not be read"
    assert not is_repeated(event("e3", delta="la"), "e3"), "another id is another event"


def test_from_a_server_whose_ids_tell_nothing_every_message_counts() -> None:
    messages = RepeatedMessages()
    assert not messages.is_repeated(event("e", n=1), "e")
    assert not messages.is_repeated(event("e", n=2), "e")
    assert not messages.is_repeated(event("e", n=2), "e")


def test_a_message_is_remembered_for_512_others() -> None:
    messages = RepeatedMessages()
    sent = [(event(f"e{number}"), f"e{number}") for number in range(513)]
    assert not any(messages.is_repeated(*each) for each in sent)
    assert all(messages.is_repeated(*each) for each in sent[1:])


def test_a_message_that_comes_again_much_later_leaves_the_others_recognised() -> None:
    """Audio has no id that was read, so more ids than messages could be remembered."""
    messages = RepeatedMessages()
    first, second = (event("e1"), "e1"), (event("e2"), "e2")
    for message in (first, *[(event(f"d{number}"), None) for number in range(2000)], second, first):
        assert not messages.is_repeated(*message)
    assert messages.is_repeated(*second)


def test_remembering_messages_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        messages = RepeatedMessages()
        for number in range(2000):
            messages.is_repeated(event(f"event_{number:021}"), f"event_{number:021}")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000


def test_an_event_without_an_id_counts_each_time() -> None:
    messages = RepeatedMessages()
    for number in range(3):
        messages.is_repeated(event(f"e{number}"), f"e{number}")
    assert not messages.is_repeated(event(None, key="5"), None)
    assert not messages.is_repeated(event(None, key="5"), None)
