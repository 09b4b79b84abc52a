"""The order of items, with servers that name the predecessor always, sometimes or never."""

from __future__ import annotations

import pytest

from realtime_core.openai_realtime.server_events import Committed, ItemAdded, ItemDone
from realtime_core.openai_realtime.server_session.item_places import ItemPlaces


def test_a_named_item_counts() -> None:
    places = ItemPlaces()
    places.requested("b", "root")
    assert places.previous(ItemAdded, "b", "a") == "a"


def test_null_is_first_for_the_first_item_that_comes_and_means_nothing_after_it() -> None:
    places = ItemPlaces()
    assert [places.previous(ItemAdded, item_id, "") for item_id in "abab"] == ["", None, "", None]


@pytest.mark.parametrize("event", [ItemAdded, ItemDone, Committed])
def test_null_is_first_in_events_in_which_the_server_names_others(event: type) -> None:
    places = ItemPlaces()
    places.previous(event, "a", "")
    assert places.previous(event, "b", "") is None
    places.previous(event, "c", "a")
    assert places.previous(event, "b", "") == ""
    others = {ItemAdded, ItemDone, Committed} - {event}
    assert [places.previous(other, "b", "") for other in others] == [None, None]


def test_an_item_whose_place_is_left_out_is_not_the_first() -> None:
    assert ItemPlaces().previous(ItemAdded, "a", None) is None


@pytest.mark.parametrize("named", ["", None])
def test_the_requested_place_counts_where_the_server_names_none(named: str | None) -> None:
    places = ItemPlaces()
    places.previous(ItemAdded, "a", "")
    places.requested("b", "root")
    places.requested("c", "a")
    assert [places.previous(ItemAdded, item_id, named) for item_id in "bcd"] == ["", "a", None]


def test_null_is_not_the_first_where_another_session_came_before() -> None:
    places = ItemPlaces()
    places.goes_on = True
    places.previous(ItemAdded, "b", "a")
    assert [places.previous(ItemAdded, item_id, "") for item_id in "abc"] == [None, None, None]
    places.requested("d", "root")
    assert places.previous(ItemAdded, "d", "") == ""
