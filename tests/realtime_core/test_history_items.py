"""The history has items of every type: tool calls that users add, outputs, hosted tools, and items that are not listed.
The tests use the embedded server, and servers that report less.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import (
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeRunner,
    RealtimeSession,
    ReconnectPolicy,
    Sources,
)
from realtime_core.connection import Connection
from realtime_core.history import Items, reduce
from realtime_core.history_edits import history_edits
from realtime_core.history_order import OtherItem, listed
from realtime_core.items import InputText, RealtimeItem, RealtimeToolCallItem, UserMessageItem
from realtime_core.local import LocalRealtimeServer
from realtime_core.model_events import (
    RealtimeModelItemDeletedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelOtherItemEvent,
)
from tests.support.realtime_peer import Peer, settle

pytestmark = pytest.mark.virtual_time


def user(item_id: str, text: str = "x") -> UserMessageItem:
    return UserMessageItem(item_id=item_id, content=[InputText(text=text)], status="completed")


def called(item_id: str, output: str | None = None, **fields: Any) -> RealtimeToolCallItem:
    status: Any = "in_progress" if output is None else "completed"
    call_id = fields.pop("call_id", f"call_{item_id}")
    return RealtimeToolCallItem(
        item_id=item_id, call_id=call_id, name="find", arguments='{"n": 1}', status=status, output=output, **fields
    )


def brief(items: Any) -> list[tuple[str, str | None]]:
    """Of each item its id, and its text or output."""
    return [(each.item_id, each.output if isinstance(each, RealtimeToolCallItem) else each.text) for each in items]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  virtual time
            await asyncio.sleep(0.01)


class Talk:
    """A session with the embedded server, and all that the two say to each other."""

    def __init__(self, session: RealtimeSession, links: list[Connection]) -> None:
        self.session = session
        self.links = links
        self.events: list[Any] = []
        session.add_handler(self.events.append)

    def of(self, type: str) -> list[Any]:
        return [event for event in self.events if event.type == type]

    async def becomes(self, *wanted: tuple[str, str | None]) -> None:
        try:
            await until(lambda: brief(self.session.history) == list(wanted))
        except TimeoutError:
            assert brief(self.session.history) == list(wanted)

    async def server_has(self) -> list[str]:
        """The ids of the server's own conversation, in order: it names the item before each one."""
        await settle(0.5)
        order: list[str] = []
        for event in self.of("raw_model_event"):
            data = event.data.data if event.data.type == "raw_server_event" else {}
            if data.get("type") == "conversation.item.added":
                previous = data["previous_item_id"]
                order.insert(order.index(previous) + 1 if previous else 0, data["item"]["id"])
            elif data.get("type") == "conversation.item.deleted":
                order.remove(data["item_id"])
        return order


@asynccontextmanager
async def talk(**reconnect: Any) -> AsyncIterator[Talk]:
    links: list[Connection] = []

    def tap(connection: Connection) -> Connection:
        links.append(connection)
        return connection

    async with LocalRealtimeServer(in_memory=True) as server:
        model = OpenAIRealtimeWebSocketModel(sources=Sources(1), reconnect=ReconnectPolicy(**reconnect))
        runner = RealtimeRunner(RealtimeAgent(name="Desk"), model=model)
        options: Any = {**server.model_config, "tap": tap}
        session = await runner.run(model_config=options)
        result = Talk(session, links)
        async with session:
            yield result
            assert not result.of("error")


# Put in by hand, changed and deleted


async def test_restored_tool_calls_are_in_the_history_with_their_outputs() -> None:
    restored: list[RealtimeItem] = [user("a"), called("t", "found"), called("p"), user("b")]
    async with talk() as t:
        await t.session.update_history(restored)
        await t.becomes(("a", "x"), ("t", "found"), ("p", None), ("b", "x"))
        found, pending = t.session.history[1:3]
        assert isinstance(found, RealtimeToolCallItem) and isinstance(pending, RealtimeToolCallItem)
        assert (found.status, found.call_id, found.name, found.arguments) == (
            "completed", "call_t", "find", '{"n": 1}',
        )  # fmt: skip
        assert pending.status == "in_progress"
        assert await t.server_has() == ["a", "t", "t_out", "p", "b"]
        assert not t.of("tool_start") and not t.of("tool_end"), "nothing runs because of that"


async def test_a_restored_call_of_a_hosted_tool_stays_one_and_runs_nothing() -> None:
    async with talk() as t:
        await t.session.update_history([called("m", "found", server_label="shop", call_id="m"), user("a")])
        await t.becomes(("m", "found"), ("a", "x"))
        item = t.session.history[0]
        assert isinstance(item, RealtimeToolCallItem) and (item.server_label, item.status) == ("shop", "completed")
        await settle(2.0)
        assert not t.of("tool_start") and not t.of("agent_start"), "nobody asked for an answer"


EDITS: dict[str, tuple[list[RealtimeItem], list[str]]] = {
    "another output": ([user("a"), called("t", "lost"), user("b")], ["a", "t", "t_out", "b"]),
    "no output any more": ([user("a"), called("t"), user("b")], ["a", "t", "b"]),
    "without the call": ([user("a"), user("b")], ["a", "b"]),
    "the call alone": ([called("t", "found")], ["t", "t_out"]),
    "moved to the end": ([user("a"), user("b"), called("t", "found")], ["a", "b", "t", "t_out"]),
    "moved to the front": ([called("t", "found"), user("a"), user("b")], ["t", "t_out", "a", "b"]),
    "something behind it": (
        [user("a"), called("t", "found"), user("c"), user("b")], ["a", "t", "t_out", "c", "b"],
    ),
    "another call before it": (
        [user("a"), called("s", "first"), called("t", "found"), user("b")], ["a", "s", "s_out", "t", "t_out", "b"],
    ),
    "nothing": ([], []),
}  # fmt: skip


@pytest.mark.parametrize("how", EDITS)
async def test_edits_of_tool_calls_reach_the_server_and_the_history(how: str) -> None:
    wanted, server = EDITS[how]
    async with talk() as t:
        await t.session.update_history([user("a"), called("t", "found"), user("b")])
        await t.becomes(("a", "x"), ("t", "found"), ("b", "x"))
        await t.session.update_history(wanted)
        await t.becomes(*brief(wanted))
        assert await t.server_has() == server
        await t.becomes(*brief(wanted))


async def test_an_output_that_is_put_in_later_completes_its_call() -> None:
    async with talk() as t:
        await t.session.update_history([called("t"), user("a")])
        await t.becomes(("t", None), ("a", "x"))
        await t.session.update_history([called("t", "found"), user("a")])
        await t.becomes(("t", "found"), ("a", "x"))
        assert await t.server_has() == ["t", "t_out", "a"]


ITEMS = st.lists(st.sampled_from("abcd"), unique=True).flatmap(
    lambda ids: st.tuples(
        *[st.sampled_from([user(i, "x"), user(i, "y"), called(i), called(i, "found"), called(i, "lost")]) for i in ids]
    ).map(list)
)


def kept_by_server(items: list[RealtimeItem]) -> Items:
    """Returns the items that the history has for a conversation with these items."""
    known: Items = ()
    for edit in history_edits((), items):
        known = confirmed(known, edit)
    return known


def confirmed(known: Items, edit: Any) -> Items:
    """The history after the server has confirmed an edit."""
    fields = edit["other_data"]
    if edit["type"] == "conversation.item.delete":
        return reduce(known, RealtimeModelItemDeletedEvent(fields["item_id"]))[0]
    item, previous = fields["item"], fields.get("previous_item_id")
    assert item["id"] not in {each.item_id for each in known}, "the server refuses an id that it has"
    place = "" if previous == "root" or not known else known[-1].item_id if previous is None else previous
    assert not place or place in {each.item_id for each in known}, "the server refuses an unknown place"
    if item["type"] == "function_call_output":
        assert any(getattr(each, "call_id", None) == item["call_id"] for each in known)
        result = RealtimeModelOtherItemEvent(
            item["id"], item["type"], previous_item_id=place, call_id=item["call_id"], output=item["output"]
        )
        return reduce(known, result)[0]
    shown: RealtimeItem = (
        called(item["id"], call_id=item["call_id"])
        if item["type"] == "function_call"
        else user(item["id"], item["content"][0]["text"])
    )
    return reduce(known, RealtimeModelItemUpdatedEvent(shown, previous_item_id=place))[0]


@given(ITEMS, ITEMS)
def test_edits_lead_from_any_conversation_to_any_other(old: list[RealtimeItem], new: list[RealtimeItem]) -> None:
    known = kept_by_server(old)
    assert brief(listed(known)) == brief(old)
    for edit in history_edits(known, listed(known)):
        raise AssertionError(f"Nothing has changed, and yet: {edit}")
    for edit in history_edits(known, new):
        known = confirmed(known, edit)
    assert brief(listed(known)) == brief(new)
    outputs = [each for each in known if isinstance(each, OtherItem)]
    assert len(outputs) == sum(isinstance(each, RealtimeToolCallItem) and each.output is not None for each in new)


# Any order of what the server tells


def placed(order: list[str]) -> list[Any]:
    """A conversation with everything in it, as events: each names the item before it."""
    kinds: dict[str, Callable[[str | None], Any]] = {
        "a": lambda p: RealtimeModelItemUpdatedEvent(user("a"), previous_item_id=p),
        "l": lambda p: RealtimeModelOtherItemEvent("l", "mcp_list_tools", previous_item_id=p),
        "t": lambda p: RealtimeModelItemUpdatedEvent(called("t"), previous_item_id=p),
        "o": lambda p: RealtimeModelOtherItemEvent(
            "o", "function_call_output", previous_item_id=p, call_id="call_t", output="found"
        ),
        "r": lambda p: RealtimeModelOtherItemEvent("r", "reasoning", previous_item_id=p),
        "b": lambda p: RealtimeModelItemUpdatedEvent(user("b"), previous_item_id=p),
    }
    return [kinds[item_id](order[i - 1] if i else "") for i, item_id in enumerate(order)]


@given(st.permutations("alotrb"), st.permutations(range(6)), st.sampled_from([None, *"alotrb"]))
def test_items_that_are_not_listed_keep_the_order(order: list[str], arrival: list[int], gone: str | None) -> None:
    events = placed(order)
    items: Items = ()
    for i in (*arrival, *arrival):  # all of it comes twice
        items, _ = reduce(items, events[i])
    assert [item.item_id for item in items] == order
    shown = listed(items)
    assert [item.item_id for item in shown] == [i for i in order if i in "atb"]
    assert dict(brief(shown))["t"] == "found"
    if gone is not None:
        items, _ = reduce(items, RealtimeModelItemDeletedEvent(gone))
        assert [item.item_id for item in items] == [i for i in order if i != gone]
        assert dict(brief(listed(items))).get("t") == (None if gone in "ot" else "found")


# Servers that tell less


class ReportedConversation:
    """A session with a server that sends the events which the test gives it."""

    def __init__(self, session: RealtimeSession, peer: Peer) -> None:
        self.session, self.peer = session, peer
        self.events: list[Any] = []
        session.add_handler(self.events.append)

    def of(self, type: str) -> list[Any]:
        return [event for event in self.events if event.type == type]

    @property
    def ids(self) -> list[str]:
        return [item.item_id for item in self.session.history]

    def item(self, item: dict[str, Any], previous: str | None, *kinds: str) -> None:
        for kind in kinds or ("added", "done"):
            self.peer.emit(f"conversation.item.{kind}", previous_item_id=previous, item=item)


@asynccontextmanager
async def conversation() -> AsyncIterator[ReportedConversation]:
    peer = Peer()
    model = OpenAIRealtimeWebSocketModel(sources=Sources(1))
    session = await RealtimeRunner(RealtimeAgent(name="Desk"), model=model).run(model_config=peer.config)
    t = ReportedConversation(session, peer)
    async with session:
        yield t


def message(item_id: str, role: str = "user", **fields: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": item_id}]
    return {"id": item_id, "type": "message", "role": role, "status": "completed", "content": content, **fields}


CALL = {"id": "t", "type": "function_call", "name": "find", "call_id": "c", "arguments": "{}", "status": "completed"}
OUTPUT = {"id": "o", "type": "function_call_output", "call_id": "c", "output": "found"}


@pytest.mark.parametrize("committed", [None, "named"])
async def test_a_server_that_names_no_place_gives_the_order_of_arrival(committed: str | None) -> None:
    async with conversation() as t:
        for i, item in enumerate([message("a"), message("b", "assistant"), CALL, OUTPUT, message("c")]):
            if item["id"] == "c":
                t.peer.emit("input_audio_buffer.committed", item_id="c", previous_item_id=committed and "o")
            t.item(item, None)
            if i:
                t.item(item, None)
        await settle()
        assert t.ids == ["a", "b", "t", "c"]


async def test_null_means_first_where_the_server_names_other_places() -> None:
    async with conversation() as t:
        t.item(message("b"), "a")
        t.item(message("c"), "b")
        t.item(message("a"), None)
        t.item(message("x"), None)
        await settle()
        assert t.ids == ["x", "a", "b", "c"]


async def test_a_place_that_the_client_requested_counts_where_the_server_names_none() -> None:
    async with conversation() as t:
        t.item(message("a"), None)
        t.item(message("b"), None)
        await settle()
        c, d = user("c"), user("d")
        await t.session.update_history(lambda known: [c, known[0], d, known[1]])
        t.item(message("c"), None)
        t.item(message("d"), None)
        await settle()
        assert t.ids == ["c", "a", "d", "b"]


async def test_the_first_item_of_a_new_session_is_not_the_first_of_the_conversation() -> None:
    async with conversation() as t:
        t.item(message("a"), None)
        await settle()
        assert t.peer.connection is not None
        t.peer.connection.break_()
        await settle(2.0)
        t.item(message("b"), None)
        t.item(message("c"), "b")
        t.item(message("b"), None)
        await settle()
        assert t.ids == ["a", "b", "c"]


@pytest.mark.parametrize(
    "other",
    [
        {"type": "mcp_list_tools", "server_label": "s", "tools": []},
        {"type": "mcp_approval_response", "approval_request_id": "q", "approve": True},
        {"type": "mcp_approval_request", "server_label": "s", "name": "find", "arguments": "{}"},
        {"type": "reasoning", "content": []},
        {"type": "of_next_year", "role": "user"},
        {"type": "message", "role": "narrator", "content": []},
        CALL | {"status": "incomplete"},
        {},
    ],
    ids=lambda each: str(each.get("type")),
)
async def test_an_item_that_is_not_listed_breaks_no_order(other: dict[str, Any]) -> None:
    async with conversation() as t:
        t.item(message("a"), None)
        t.item({**other, "id": "x"}, "a")
        t.item(message("c"), "x")
        t.item(message("b"), "x")
        await settle()
        assert t.ids == ["a", "b", "c"]
        t.peer.emit("conversation.item.deleted", item_id="x")
        t.item(message("d"), "c")
        await settle()
        assert t.ids == ["a", "b", "c", "d"]


@pytest.mark.parametrize("gone", ["t", "o", "both"])
@pytest.mark.parametrize("output_first", [True, False])
async def test_a_call_or_its_output_that_the_server_deletes_is_gone(gone: str, output_first: bool) -> None:
    async with conversation() as t:
        t.item(message("a"), None)
        places = [(CALL, "a"), (OUTPUT, "t")]
        for item, previous in reversed(places) if output_first else places:
            t.item(item, previous)
        t.item(message("b"), "o")
        await settle()
        assert brief(t.session.history) == [("a", "a"), ("t", "found"), ("b", "b")]
        for item_id in ("t", "o") if gone == "both" else (gone,):
            t.peer.emit("conversation.item.deleted", item_id=item_id)
        await settle()
        rest: list[tuple[str, str | None]] = [("t", None)] if gone == "o" else []
        assert brief(t.session.history) == [("a", "a"), *rest, ("b", "b")]


async def test_a_retrieved_tool_call_and_output_are_listed() -> None:
    async with conversation() as t:
        t.peer.emit("conversation.item.retrieved", item=CALL)
        t.peer.emit("conversation.item.retrieved", item=OUTPUT)
        await settle()
        assert brief(t.session.history) == [("t", "found")]


@pytest.mark.parametrize("kind", ["message", "function_call", "mcp_call"])
async def test_what_only_the_end_of_the_response_tells_counts(kind: str) -> None:
    item = {
        "message": message("t", "assistant"),
        "function_call": CALL,
        "mcp_call": {"id": "t", "type": "mcp_call", "server_label": "s", "name": "n", "arguments": "{}", "output": "t"},
    }[kind]
    async with conversation() as t:
        t.peer.respond()
        t.peer.done(output=[item])
        await settle()
        (known,) = t.session.history
        assert (known.item_id, known.status) == ("t", "completed")
        ends = t.of("tool_end")
        assert [event.call_id for event in ends] == {"message": [], "function_call": [], "mcp_call": ["t"]}[kind]


# After a reconnect


@pytest.mark.parametrize("memory", ["summary", "items"])
async def test_a_new_session_gets_restored_calls_and_takes_edits(memory: str) -> None:
    async with talk(memory=memory, first_delay_s=0.01) as t:
        await t.session.update_history([user("a", "Hello"), called("t", "found"), user("b", "Thanks")])
        await t.becomes(("a", "Hello"), ("t", "found"), ("b", "Thanks"))
        t.events.clear()
        t.links[-1].break_()  # type: ignore[attr-defined]
        await until(lambda: len(t.links) == 2 and t.session.status == "connected")
        await settle(0.5)
        raw = [e.data.data for e in t.of("raw_model_event") if e.data.type == "raw_server_event"]
        added = [data["item"] for data in raw if data["type"] == "conversation.item.added"]
        if memory == "summary":
            (note,) = added
            assert 'Tool find({"n": 1}): found' in note["content"][0]["text"]
        else:
            assert [item["id"] for item in added] == ["a", "t", "t_out", "b"]
        await t.becomes(("a", "Hello"), ("t", "found"), ("b", "Thanks"))
        await t.session.update_history([user("a", "Hello"), called("t", "lost"), user("n", "New")])
        await t.becomes(("a", "Hello"), ("t", "lost"), ("n", "New"))
        await settle(0.5)
        await t.becomes(("a", "Hello"), ("t", "lost"), ("n", "New"))
        assert await t.server_has() == ["a", "t", "t_out", "n"], "and no summary that says otherwise"
