"""A placed call has the controls of a live call, once it is answered."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from telephony import Call
from telephony.errors import CallError
from telephony.outbound.live_controls import LiveControls
from telephony.outbound.placed_call import PlacedCall

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


@pytest.mark.virtual_time
@pytest.mark.parametrize("name", MEMBERS)
async def test_before_the_answer_each_member_says_what_to_wait_for(name: str) -> None:
    with pytest.raises(CallError, match=f"{name}: the call has not been answered yet; .await call.answered"):
        await use(getattr(LiveControls(), name))


class Live:
    """Replaces a live call, and stores its uses."""

    def __init__(self) -> None:
        self.used: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.used.append(name)
        value = inspect.getattr_static(Call, name, None)

        async def done(*positional: Any, **named: Any) -> None:
            pass

        return done if inspect.iscoroutinefunction(value) else lambda *positional, **named: None


@pytest.mark.virtual_time
@pytest.mark.parametrize("name", MEMBERS)
async def test_after_the_answer_each_member_is_that_of_the_live_call(name: str) -> None:
    controls, live = LiveControls(), Live()
    controls.live = live  # type: ignore[assignment]
    await use(getattr(controls, name))
    assert live.used == [name]


def test_the_public_type_shows_its_methods() -> None:
    assert issubclass(PlacedCall, LiveControls)
    assert not hasattr(PlacedCall, "__getattr__")
