"""The history reducer: rows 19 to 30 of the behaviour table, and any order of events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from realtime_core.history import Added, Change, Deleted, Items, ToolOutputSent, Updated, reduce
from realtime_core.history_merge import words_within
from realtime_core.history_order import chain_end, listed
from realtime_core.items import (
    AssistantAudio,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    RealtimeItem,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserMessageItem,
)
from realtime_core.model_events import (
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelInputAudioCommittedEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelInputAudioTranscriptionFailedEvent,
    RealtimeModelItemDeletedEvent,
    RealtimeModelItemTruncatedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelOtherItemEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelOutputTextDoneEvent,
    RealtimeModelTranscriptDoneEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from realtime_core.playback import Truncation
from tests.support.session_kit import audio, call, opened, said, types


def play(*events: Any, items: Items = (), bytes_per_ms: float = 48.0) -> tuple[Items, list[Change]]:
    changes: list[Change] = []
    for event in events:
        items, changed = reduce(items, event, bytes_per_ms=bytes_per_ms)
        changes += changed
    return items, changes


def ids(items: Items) -> list[str]:
    return [item.item_id for item in items]


def shown(items: Items) -> list[str]:
    return [item.item_id for item in listed(items)]


@pytest.mark.parametrize(
    ("ended", "status"),
    [("completed", "completed"), ("cancelled", "incomplete"), ("failed", "incomplete"), ("incomplete", "incomplete")],
)
def test_the_end_of_a_response_ends_its_open_messages(ended: str, status: str) -> None:
    items, _ = play(
        RealtimeModelItemUpdatedEvent(AssistantMessageItem(item_id="a", content=[], status="completed")),
        RealtimeModelItemUpdatedEvent(UserMessageItem(item_id="u", content=[InputAudio()], status="in_progress")),
        RealtimeModelItemUpdatedEvent(AssistantMessageItem(item_id="b", content=[], status="in_progress")),
    )
    items, changes = play(RealtimeModelTurnEndedEvent(response_id="r", status=ended), items=items)
    assert [(i.item_id, i.status) for i in listed(items)] == [("a", "completed"), ("u", "in_progress"), ("b", status)]
    assert changes == [Updated(listed(items)[2])]
    late = AssistantMessageItem(item_id="b", content=[], status="completed")
    items, _ = play(RealtimeModelItemUpdatedEvent(late), items=items)
    assert listed(items)[-1].status == "completed", "what the server tells later counts"
    assert play(RealtimeModelTurnEndedEvent(response_id="r", status=ended), items=items)[1] == []


def user(item_id: str, *content: Any, **fields: Any) -> UserMessageItem:
    return UserMessageItem(item_id=item_id, content=list(content), **fields)


def agent(item_id: str, *content: Any, **fields: Any) -> AssistantMessageItem:
    return AssistantMessageItem(item_id=item_id, content=list(content), **fields)


def updated(item: RealtimeItem, previous: str | None = None) -> RealtimeModelItemUpdatedEvent:
    return RealtimeModelItemUpdatedEvent(item, previous_item_id=previous)


def only(items: Items) -> Any:
    (item,) = items
    return item


# Row 19 and 20: order


def test_an_item_goes_behind_its_previous_one() -> None:
    items, changes = play(updated(user("a")), updated(user("c"), "a"), updated(user("b"), "a"))
    assert ids(items) == ["a", "b", "c"]
    assert [type(change) for change in changes] == [Added] * 3


def test_without_a_previous_item_it_goes_to_the_end() -> None:
    items, _ = play(updated(user("a")), updated(user("b")), updated(user("c"), "unknown"))
    assert ids(items) == ["a", "b", "c"]


def test_an_empty_previous_item_means_first() -> None:
    assert ids(play(updated(user("b")), updated(user("a"), ""))[0]) == ["a", "b"]


def test_the_items_own_previous_item_counts_too() -> None:
    assert ids(play(updated(user("a")), updated(user("b")), updated(user("c", previous_item_id="a")))[0]) == list("acb")


def test_an_update_keeps_the_place() -> None:
    items, changes = play(updated(user("a")), updated(user("b")), updated(user("a", InputText(text="x"))))
    assert ids(items) == ["a", "b"]
    assert isinstance(changes[-1], Updated)


def test_a_place_that_is_learned_later_is_taken_then() -> None:
    """The transcript of a turn may come before the server says where the turn belongs."""
    items, _ = play(
        updated(user("a")),
        updated(agent("b"), "a"),
        RealtimeModelInputAudioTranscriptionCompletedEvent("x", "Hi"),
        updated(user("x", InputAudio()), "a"),
    )
    assert ids(items) == ["a", "x", "b"]


def test_a_turn_has_its_place_from_the_moment_it_is_committed() -> None:
    items, changes = play(
        updated(user("a"), ""),
        RealtimeModelInputAudioCommittedEvent("u1", "a"),
        RealtimeModelInputAudioCommittedEvent("u2", "u1"),
        updated(agent("b"), "u2"),
        RealtimeModelInputAudioTranscriptionCompletedEvent("u2", "second"),
        RealtimeModelInputAudioTranscriptionCompletedEvent("u1", "first"),
    )
    assert [(item.item_id, getattr(item, "text", "")) for item in items] == [
        ("a", ""),
        ("u1", "first"),
        ("u2", "second"),
        ("b", ""),
    ]
    assert [type(change) for change in changes] == [Added] * 4 + [Updated] * 2


@given(st.permutations(range(12)))
def test_a_chain_is_in_order_whatever_order_it_comes_in(order: list[int]) -> None:
    names = [f"i{n:02}" for n in range(12)]
    events = [updated(user(names[n]), names[n - 1] if n else "") for n in order]
    assert ids(play(*events)[0]) == names


@given(st.data())
def test_items_inserted_in_the_middle_are_where_the_server_has_them(data: st.DataObject) -> None:
    server: list[str] = []
    items: Items = ()
    for number in range(data.draw(st.integers(1, 20))):
        at = data.draw(st.integers(0, len(server)))
        items, _ = reduce(items, updated(user(f"i{number}"), server[at - 1] if at else ""))
        server.insert(at, f"i{number}")
    assert ids(items) == server


# Rows 21 to 23: what the agent says


def test_transcript_deltas_grow_one_item_and_each_is_a_change() -> None:
    items, changes = play(updated(agent("item_a"), ""), said("Good "), said("morning."))
    assert only(items).text == "Good morning."
    assert [type(change) for change in changes] == [Added, Updated, Updated]


def test_deltas_without_an_item_make_one() -> None:
    items, changes = play(said("Hi"), RealtimeModelOutputTextDeltaEvent("text", "Hello", "r"))
    assert [(item.item_id, item.text, item.status) for item in items] == [
        ("item_a", "Hi", "in_progress"),
        ("text", "Hello", "in_progress"),
    ]
    assert [type(change) for change in changes] == [Added, Added]


def test_parts_are_kept_apart() -> None:
    delta = RealtimeModelTranscriptDoneEvent("item_a", "two", "r", content_index=1)
    item = only(play(said("one"), delta, RealtimeModelTranscriptDoneEvent("item_a", "", "r", 0))[0])
    assert [part.transcript for part in item.content] == ["one", "two"]


def test_the_servers_item_without_transcript_keeps_what_was_said() -> None:
    item = only(play(said("Good morning."), updated(agent("item_a", AssistantAudio(), status="completed")))[0])
    assert (item.text, item.status) == ("Good morning.", "completed")
    item = only(play(updated(agent("item_a")), items=(item,))[0])
    assert (item.text, item.status) == ("Good morning.", "completed")


def test_the_servers_transcript_wins_over_the_deltas() -> None:
    item = only(play(said("Good mor"), updated(agent("item_a", AssistantAudio(transcript="Good morning."))))[0])
    assert item.text == "Good morning."


def test_an_item_that_is_over_does_not_begin_again() -> None:
    """Announcements of an item come with the status it had at first, in whatever order."""
    done, announced = agent("a", status="completed"), agent("a", status="in_progress")
    assert only(play(updated(done), updated(announced))[0]).status == "completed"


def test_the_same_again_is_no_change() -> None:
    item = agent("a", AssistantText(text="x"), status="completed")
    _, changes = play(updated(item), updated(item))
    assert [type(change) for change in changes] == [Added]


# Rows 24 and 25: what the caller says


def test_a_transcript_fills_the_turn_and_completes_it() -> None:
    event = RealtimeModelInputAudioTranscriptionCompletedEvent("u", "Hello.")
    item = only(play(updated(user("u", InputText(text="typed"), InputAudio(), status="in_progress")), event)[0])
    assert item.content == [InputText(text="typed"), InputAudio(transcript="Hello.")]
    assert item.status == "completed"


def test_a_transcript_without_a_turn_makes_one() -> None:
    item = only(play(RealtimeModelInputAudioTranscriptionCompletedEvent("u", "Hello."))[0])
    assert (item.role, item.content, item.status) == ("user", [InputText(text="Hello.")], "completed")
    merged = only(play(updated(user("u", InputAudio())), items=(item,))[0])
    assert merged.content == [InputAudio(transcript="Hello.")]


def test_written_text_is_not_touched_by_a_transcript() -> None:
    event = RealtimeModelInputAudioTranscriptionCompletedEvent("u", "other")
    items, changes = play(updated(user("u", InputText(text="typed"))), event)
    assert only(items).content == [InputText(text="typed")]
    assert len(changes) == 1


def test_deltas_of_a_transcript_show_early_and_the_whole_one_replaces_them() -> None:
    deltas = [RealtimeModelInputAudioTranscriptionDeltaEvent("u", text) for text in ("Hel", "lo")]
    items, _ = play(*deltas)
    assert (only(items).text, only(items).status) == ("Hello", "in_progress")
    item = only(play(RealtimeModelInputAudioTranscriptionCompletedEvent("u", "Hello!"), items=items)[0])
    assert (item.text, item.status) == ("Hello!", "completed")


def test_a_failed_transcription_marks_the_turn() -> None:
    item = only(play(updated(user("u", InputAudio())), RealtimeModelInputAudioTranscriptionFailedEvent("u", "?"))[0])
    assert (item.status, item.text) == ("incomplete", "")


def test_images_and_transcripts_that_an_update_leaves_out_stay() -> None:
    image = InputImage(image_url="https://x/y.png")
    known = user("u", image, InputAudio(transcript="Look."))
    item = only(play(updated(known), updated(user("u", InputAudio())))[0])
    assert item.content == [image, InputAudio(transcript="Look.")]
    assert only(play(updated(known), updated(user("u")))[0]).content == known.content
    item = only(play(updated(known), updated(user("u", image, InputText(text="See"), InputText(text="this"))))[0])
    assert item.content == [image, InputText(text="See"), InputText(text="this")]


def test_another_role_replaces_the_item() -> None:
    item = only(play(updated(user("x", InputText(text="u"))), updated(agent("x", AssistantText(text="a"))))[0])
    assert (item.role, item.text) == ("assistant", "a")


# Row 26: tools


def test_a_call_and_its_output_are_one_item() -> None:
    event = call("book", '{"day": "Friday"}')
    announced = RealtimeToolCallItem(
        item_id="item_call_1", call_id="call_1", name="book", arguments="", status="in_progress"
    )
    items, changes = play(updated(announced, ""), event, ToolOutputSent("call_1", "done"), updated(announced))
    item = only(items)
    assert (item.item_id, item.status, item.arguments, item.output) == (
        "item_call_1",
        "completed",
        '{"day": "Friday"}',
        "done",
    )
    assert [type(change) for change in changes] == [Added, Updated, Updated]


def test_a_call_without_an_item_id_is_found_by_its_call_id() -> None:
    item = only(
        play(
            replace(call("book"), id=None),
            updated(RealtimeToolCallItem(item_id="item_9", call_id="call_1", name="book", arguments="{}")),
        )[0]
    )
    assert item.item_id == "item_9"


def test_an_output_of_an_unknown_call_is_nothing() -> None:
    assert play(ToolOutputSent("call_9", "x")) == ((), [])


# Row 27: deletion


def test_deletion() -> None:
    items, changes = play(updated(user("a")), updated(user("b")), RealtimeModelItemDeletedEvent("a"))
    assert (ids(items), changes[-1]) == (["b"], Deleted("a"))
    assert play(RealtimeModelItemDeletedEvent("x"), items=items) == (items, [])


# The small print of each event


def test_a_committed_turn_is_in_progress_behind_its_predecessor() -> None:
    items, _ = play(updated(user("a")), updated(user("b")), RealtimeModelInputAudioCommittedEvent("u", "a"))
    assert ids(items) == ["a", "u", "b"] and items[1] == user(
        "u", InputAudio(), status="in_progress", previous_item_id="a"
    )


def test_a_tool_call_goes_behind_its_predecessor() -> None:
    items, _ = play(updated(user("a")), updated(user("b")), replace(call("book"), previous_item_id="a"))
    assert ids(items) == ["a", "item_call_1", "b"]


@pytest.mark.parametrize("event", [
    RealtimeModelInputAudioTranscriptionCompletedEvent("u", "Two.", content_index=1),
    RealtimeModelInputAudioTranscriptionDeltaEvent("u", "Two.", content_index=1),
])  # fmt: skip
def test_a_transcript_belongs_to_the_part_that_it_names(event: Any) -> None:
    item = only(play(updated(user("u", InputAudio(transcript="One."), InputAudio())), event)[0])
    assert item.content == [InputAudio(transcript="One."), InputAudio(transcript="Two.")]


def test_a_delta_of_a_turn_that_is_complete_does_not_reopen_it() -> None:
    delta = RealtimeModelInputAudioTranscriptionDeltaEvent("u", "Hel")
    item = only(play(updated(user("u", InputAudio(), status="completed")), delta)[0])
    assert (item.content, item.status) == ([InputAudio(transcript="Hel")], "completed")


def test_an_item_that_becomes_listed_keeps_the_place_that_it_had() -> None:
    other = RealtimeModelOtherItemEvent("o", "message", previous_item_id="a")
    items, changes = play(updated(user("a")), updated(user("b")), other, updated(user("o")))
    assert ids(items) == ["a", "o", "b"] and changes[-1] == Added(user("o", previous_item_id="a"))


def test_an_item_that_is_not_listed_moves_to_a_place_that_is_learned_later() -> None:
    other = RealtimeModelOtherItemEvent("o", "mcp_list_tools")
    items, _ = play(updated(user("a")), updated(user("b")), other, replace(other, previous_item_id="a"))
    assert ids(items) == ["a", "o", "b"]


def test_an_item_that_is_not_listed_keeps_its_place_when_it_is_reported_without_one() -> None:
    other = RealtimeModelOtherItemEvent("o", "mcp_list_tools", previous_item_id="a")
    items, _ = play(updated(user("a")), updated(user("b")), other, replace(other, previous_item_id=None))
    assert ids(items) == ["a", "o", "b"]


def test_a_chain_ends_before_the_first_item_that_names_another_predecessor() -> None:
    items = (user("a"), user("b", previous_item_id="a"), user("c", previous_item_id="x"), user("d"))
    assert [chain_end(items, start) for start in range(4)] == [2, 2, 3, 4]


def test_a_deleted_output_makes_its_call_pending_again() -> None:
    output = RealtimeModelOtherItemEvent("o", "function_call_output", call_id="call_1", output="done")
    items, changes = play(call("book"), output, RealtimeModelItemDeletedEvent("o"))
    assert (only(items).output, only(items).status) == (None, "in_progress")
    assert changes[-1] == Updated(only(items))


def test_text_and_speech_replace_a_part_of_the_other_kind() -> None:
    item = only(play(updated(agent("item_a", AssistantText(text="x"))), said("Hi"))[0])
    assert item.content == [AssistantAudio(transcript="Hi")]
    item = only(
        play(RealtimeModelOutputTextDeltaEvent("a", "Hel", "r"), RealtimeModelOutputTextDeltaEvent("a", "lo", "r"))[0]
    )
    assert item.content == [AssistantText(text="Hello")]
    item = only(play(RealtimeModelOutputTextDoneEvent("a", "Hello!", "r"), items=(item,))[0])
    assert item.content == [AssistantText(text="Hello!")]


def test_received_audio_is_counted_as_pcm16_by_default() -> None:
    items, _ = reduce((agent("item_a"),), audio(1000))
    assert only(items).content == [AssistantAudio(received_ms=1000.0)]


def test_an_interruption_at_the_first_millisecond_is_a_cut() -> None:
    items, _ = play(said("one two"), audio(1000))
    item = only(play(RealtimeModelAudioInterruptedEvent("item_a", 0, audio_end_ms=1), items=items)[0])
    assert item.content[0].heard_ms == 1


def test_each_cut_part_is_a_change() -> None:
    _, changes = play(
        said("one", "p"), audio(10, "p"), said("two", "q"), audio(10, "q"), interrupted(("p", 5), ("q", 0))
    )
    assert [type(change) for change in changes] == [Added, Added, Updated, Updated]


def test_a_truncation_of_text_changes_nothing() -> None:
    items = (agent("a", AssistantText(text="x")),)
    assert reduce(items, RealtimeModelItemTruncatedEvent("a", 0, 5)) == (items, ())


def test_a_confirmation_after_more_text_does_not_count_the_text_as_heard() -> None:
    items, _ = play(said("one two"), audio(1000), interrupted(("item_a", 500)), said(" three four"))
    assert reduce(items, RealtimeModelItemTruncatedEvent("item_a", 0, 500)) == (items, ())
    assert only(items).heard_text == "one"


@pytest.mark.parametrize(("heard_ms", "heard"), [(0, ""), (1, "one two")])
def test_of_a_part_whose_audio_was_not_counted_all_or_nothing_was_heard(heard_ms: int, heard: str) -> None:
    items, _ = play(said("one two"), interrupted(("item_a", heard_ms)))
    assert only(items).content[0].heard_transcript == heard


def test_an_output_that_came_before_its_call_completes_it() -> None:
    output = RealtimeModelOtherItemEvent("o", "function_call_output", call_id="call_1", output="done")
    items, _ = play(output, call("book"))
    (item,) = listed(items)
    assert isinstance(item, RealtimeToolCallItem) and (item.output, item.status) == ("done", "completed")


@pytest.mark.parametrize("known", [
    RealtimeToolCallItem(item_id="c", call_id="call_1", name="book", arguments="{}", output="mine"),
    RealtimeToolCallItem(item_id="c", call_id="", name="book", arguments="{}"),
    RealtimeToolCallItem(item_id="c", call_id=None, name="book", arguments="{}"),
])  # fmt: skip
def test_another_output_is_not_taken(known: RealtimeToolCallItem) -> None:
    """The call has its own output, or no id by which an output could belong to it."""
    others = [
        RealtimeModelOtherItemEvent(f"o{number}", "function_call_output", call_id=call_id, output="other")
        for number, call_id in enumerate(("call_1", "", None))
    ]
    items, _ = play(*others, updated(known))
    assert listed(items) == [known]


def test_followers_in_front_of_their_predecessor_move_behind_it() -> None:
    items, _ = play(updated(user("c"), "b"), updated(user("a")), updated(user("d")), updated(user("b"), "a"))
    assert ids(items) == ["a", "b", "c", "d"]


def test_only_followers_of_a_deleted_item_get_another_predecessor() -> None:
    items, _ = play(
        updated(user("a"), ""), updated(user("b"), "a"), updated(user("c"), "b"), updated(user("d"), "c"),
        RealtimeModelItemDeletedEvent("b"),
    )  # fmt: skip
    assert [(item.item_id, item.previous_item_id) for item in items] == [("a", ""), ("c", "a"), ("d", "c")]


# Row 28 and 5c: what was heard, without any audio being kept


def interrupted(*cuts: tuple[str, int]) -> RealtimeModelAudioInterruptedEvent:
    truncations = tuple(Truncation(item_id, 0, ms) for item_id, ms in cuts)
    return RealtimeModelAudioInterruptedEvent(cuts[0][0], 0, audio_end_ms=cuts[0][1], truncations=truncations)


def test_said_and_heard_are_both_kept() -> None:
    items, changes = play(said("one two three four"), audio(1000), audio(1000), interrupted(("item_a", 1000)))
    (part,) = only(items).content
    assert (part.transcript, part.heard_transcript, part.heard_ms, part.received_ms) == (
        "one two three four",
        "one two",
        1000,
        2000.0,
    )
    assert (only(items).text, only(items).heard_text) == ("one two three four", "one two")
    assert isinstance(changes[-1], Updated)


def test_what_was_not_cut_was_heard() -> None:
    assert only(play(said("all of it"), audio(10))[0]).heard_text == "all of it"


def test_the_playing_item_is_cut_and_the_queued_one_is_unheard() -> None:
    items, _ = play(
        said("playing now", "p"),
        audio(1000, "p"),
        said("queued", "q"),
        audio(500, "q"),
        interrupted(("p", 999), ("q", 0)),
    )
    assert [item.heard_text for item in items] == ["playing", ""]


def test_text_that_comes_after_the_cut_was_not_heard() -> None:
    items, _ = play(said("one two"), audio(1000), interrupted(("item_a", 1000)), said(" three"))
    assert (only(items).text, only(items).heard_text) == ("one two three", "one two")


def test_the_heard_text_waits_for_the_text() -> None:
    items, _ = play(updated(agent("item_a")), audio(1000), interrupted(("item_a", 500)))
    assert only(items).heard_text == ""
    assert only(play(said("one two"), items=items)[0]).heard_text == "one"


def test_g711_has_eight_bytes_in_a_millisecond() -> None:
    items, _ = play(said("one two"), audio(1000), interrupted(("item_a", 3000)), bytes_per_ms=8)
    assert only(items).content[0].received_ms == 6000
    assert only(items).heard_text == "one"


def test_the_servers_confirmation_changes_nothing_and_a_foreign_truncation_counts() -> None:
    items, _ = play(said("one two"), audio(1000), interrupted(("item_a", 500)))
    assert reduce(items, RealtimeModelItemTruncatedEvent("item_a", 0, 500)) == (items, ())
    items, _ = play(RealtimeModelItemTruncatedEvent("item_a", 0, 0), items=items)
    assert only(items).heard_text == ""


def test_an_interruption_without_truncations_uses_its_own_position_if_it_has_one() -> None:
    items, _ = play(said("one two"), audio(1000))
    assert (
        only(play(RealtimeModelAudioInterruptedEvent("item_a", 0, audio_end_ms=500), items=items)[0]).heard_text
        == "one"
    )
    assert play(RealtimeModelAudioInterruptedEvent("item_a", 0), items=items) == (items, [])


def test_the_servers_item_after_a_truncation_keeps_both_texts() -> None:
    items, _ = play(said("one two"), audio(1000), interrupted(("item_a", 500)))
    item = only(play(updated(agent("item_a", AssistantAudio(), status="incomplete")), items=items)[0])
    assert (item.text, item.heard_text, item.content[0].heard_ms) == ("one two", "one", 500)


def test_nothing_is_kept_of_the_audio() -> None:
    item = only(play(updated(agent("item_a")), audio(10_000))[0])
    assert len(repr(item)) < 500
    assert play(updated(agent("item_a")), audio(10_000))[1] == [Added(agent("item_a"))]


@given(st.text(alphabet="ab ", max_size=30), st.floats(0, 1.5))
def test_words_within_gives_whole_words_from_the_start(text: str, fraction: float) -> None:
    heard = words_within(text, fraction)
    assert text.startswith(heard)
    assert heard == text or (len(heard) <= len(text) * fraction and text[len(heard)].isspace()) or heard == ""
    assert heard == text or heard == heard.rstrip()


def test_events_that_say_nothing_of_the_conversation() -> None:
    items = (user("a"),)
    assert reduce(items, RealtimeModelTurnStartedEvent(response_id="r")) == (items, ())


# Any order of events

IDS = st.sampled_from(["a", "b", "c", "d"])
PREVIOUS = st.sampled_from([None, "", "a", "b", "c", "d", "z"])


@pytest.mark.parametrize("is_listed", [True, False])
def test_items_that_another_item_moves_are_reported(is_listed: bool) -> None:
    """The item `b` came before its predecessor `x`. Then `x` is found to be the first item of the conversation."""
    items, _ = reduce((), updated(agent("a")))
    items, _ = reduce(items, updated(agent("b"), "x"))
    items, _ = reduce(items, updated(agent("c")))
    a, b, _ = listed(items)
    first = updated(agent("x"), "") if is_listed else RealtimeModelOtherItemEvent("x", "reasoning", previous_item_id="")
    items, changes = reduce(items, first)
    assert shown(items) == [*["x"] * is_listed, "b", "a", "c"]
    assert changes[is_listed:] == (Updated(b), Updated(a))


def test_an_item_is_reported_once_if_it_moves_and_changes() -> None:
    items, _ = reduce((), updated(agent("a")))
    items, _ = reduce(items, updated(agent("b")))
    a, _ = listed(items)
    items, changes = reduce(items, updated(agent("b", status="completed"), ""))
    assert shown(items) == ["b", "a"]
    assert changes == (Updated(listed(items)[0]), Updated(a))


def test_items_behind_a_new_item_have_not_moved() -> None:
    items, _ = reduce((), updated(agent("a")))
    items, _ = reduce(items, updated(agent("c")))
    items, changes = reduce(items, updated(agent("b"), "a"))
    assert shown(items) == ["a", "b", "c"]
    assert changes == (Added(listed(items)[1]),)


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.items: Items = ()
        self.known: list[str] = []

    def do(self, event: Any) -> None:
        before = self.items
        frozen = repr(before)
        self.items, changes = reduce(self.items, event)
        assert repr(before) == frozen
        for change in changes:
            match change:
                case Added(item):
                    assert item.item_id not in self.known
                    self.known.append(item.item_id)
                case Updated(item):
                    assert item.item_id in self.known
                    assert item in self.items
                case Deleted(item_id):
                    self.known.remove(item_id)
        old, new = shown(before), shown(self.items)
        moved = zip([x for x in old if x in new], [x for x in new if x in old], strict=True)
        reported = {change.item.item_id for change in changes if not isinstance(change, Deleted)}
        assert reported >= {item_id for other, item_id in moved if item_id != other}

    @rule(item_id=IDS, previous=PREVIOUS, status=st.sampled_from(["in_progress", "completed", None]))
    def user_item(self, item_id: str, previous: str | None, status: Any) -> None:
        self.do(updated(user(item_id, InputAudio(), status=status), None if previous == item_id else previous))

    @rule(item_id=IDS, previous=PREVIOUS)
    def agent_item(self, item_id: str, previous: str | None) -> None:
        self.do(updated(agent(item_id), None if previous == item_id else previous))

    @rule(item_id=IDS, previous=PREVIOUS)
    def committed(self, item_id: str, previous: str | None) -> None:
        self.do(RealtimeModelInputAudioCommittedEvent(item_id, None if previous == item_id else previous))

    @rule(item_id=IDS, text=st.sampled_from(["one ", "two "]))
    def says(self, item_id: str, text: str) -> None:
        self.do(said(text, item_id))

    @rule(item_id=IDS)
    def audio(self, item_id: str) -> None:
        self.do(audio(100, item_id))

    @rule(item_id=IDS)
    def transcribed(self, item_id: str) -> None:
        self.do(RealtimeModelInputAudioTranscriptionCompletedEvent(item_id, "said"))

    @rule(item_id=IDS, ms=st.integers(0, 500))
    def cut(self, item_id: str, ms: int) -> None:
        self.do(interrupted((item_id, ms)))

    @rule(item_id=st.sampled_from(["a", "b", "x", "y"]), previous=PREVIOUS, output=st.sampled_from([None, "out"]))
    def not_listed(self, item_id: str, previous: str | None, output: str | None) -> None:
        place = None if previous == item_id else previous
        self.do(RealtimeModelOtherItemEvent(item_id, "x", previous_item_id=place, call_id="call_a", output=output))

    @rule(item_id=st.sampled_from(["a", "b", "c", "d", "x", "y"]))
    def deleted(self, item_id: str) -> None:
        self.do(RealtimeModelItemDeletedEvent(item_id))

    @rule(item_id=IDS)
    def called(self, item_id: str) -> None:
        self.do(replace(call("tool", call_id=f"call_{item_id}"), id=item_id))
        self.do(ToolOutputSent(f"call_{item_id}", "out"))

    @invariant()
    def each_item_is_there_once(self) -> None:
        assert sorted(shown(self.items)) == sorted(self.known)
        assert len(set(ids(self.items))) == len(self.items)

    @invariant()
    def heard_is_the_beginning_of_what_was_said(self) -> None:
        for item in self.items:
            if isinstance(item, AssistantMessageItem):
                for part in item.content:
                    if isinstance(part, AssistantAudio) and part.heard is not None:
                        assert (part.transcript or "").startswith(part.heard)


TestAnyOrder = AnyOrder.TestCase


# In a session


@pytest.mark.virtual_time
async def test_a_session_keeps_the_history_and_emits_its_changes() -> None:
    async with opened() as kit:
        item = user("u", InputText(text="Hi"))
        kit.emit(updated(item, ""), said("Hel"), said("lo"), RealtimeModelItemDeletedEvent("u"))
        assert kit.types == [
            "history_updated",
            "history_added",
            "transcript_delta",
            "history_added",
            "transcript_delta",
            "history_updated",
            "history_updated",
        ]
        added = kit.of("history_added")[0].item
        assert (added.item_id, added.previous_item_id, added.content) == ("u", "", item.content)
        assert [i.item_id for i in kit.session.history] == ["item_a"]
        assert kit.of("history_updated")[-1].history == kit.session.history
        kit.session.history.clear()
        assert len(kit.session.history) == 1


@pytest.mark.virtual_time
async def test_a_session_knows_the_length_of_its_audio() -> None:
    config: Any = {"initial_model_settings": {"output_audio_format": "g711_ulaw"}}
    async with opened(model_config=config) as kit:
        kit.emit(said("one two"), audio(1000), interrupted(("item_a", 3000)))
        assert kit.session.history[0].heard_text == "one"
        assert types(kit.events)[-1] == "history_updated"


def test_system_items_are_kept_as_they_are() -> None:
    item = SystemMessageItem(item_id="s", content=[InputText(text="Be brief.")])
    assert only(play(updated(item, ""))[0]).text == "Be brief."
