"""A placed call has the controls of a live call, once it is answered."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from telephony import Call
from telephony.errors import CallError
from telephony.outbound.live_controls import LiveControls
from telephony.outbound.placed import PlacedCall

OWN = {"sid", "hang_up"}
"""A placed call has these itself: both are there before it is answered."""
MEMBERS = sorted({name for name in vars(Call) if not name.startswith("_")} - OWN | {"info", "data"})


@pytest.mark.parametrize("name", MEMBERS)
def test_every_public_member_of_a_call_is_there_with_its_signature(name: str) -> None:
    ours, its = inspect.getattr_static(LiveControls, name), inspect.getattr_static(Call, name, None)
    if callable(its):
        assert inspect.signature(ours) == inspect.signature(its)
        assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(its)
    else:
        assert isinstance(ours, property)


async def use(member: Any) -> Any:
    """Call the member, if it can be called, with a text for each argument that it needs."""
    if not callable(member):
        return member
    parameters = inspect.signature(member).parameters.values()
    needed = [each for each in parameters if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    done = member(*["1" for _ in needed])
    return await done if inspect.isawaitable(done) else done


@pytest.mark.parametrize("name", MEMBERS)
async def test_before_the_answer_each_member_says_what_to_wait_for(name: str) -> None:
    with pytest.raises(CallError, match=f"{name}: the call has not been answered yet; .await call.answered"):
        await use(getattr(LiveControls(), name))


class Recorded:
    """In place of a live call: returns what was used, and how."""

    def __getattr__(self, name: str) -> Any:
        value = inspect.getattr_static(Call, name, None)
        if not callable(value):
            return name

        def done(*positional: Any, **named: Any) -> Any:
            return name, positional

        async def done_later(*positional: Any, **named: Any) -> Any:
            return name, positional

        return done_later if inspect.iscoroutinefunction(value) else done


@pytest.mark.parametrize("name", MEMBERS)
async def test_after_the_answer_each_member_is_that_of_the_live_call(name: str) -> None:
    controls = LiveControls()
    controls.live = Recorded()  # type: ignore[assignment]
    used = await use(getattr(controls, name))
    assert (used if isinstance(used, str) else used[0]) == name


def test_the_public_type_shows_its_methods() -> None:
    assert issubclass(PlacedCall, LiveControls)
    assert not hasattr(PlacedCall, "__getattr__")
