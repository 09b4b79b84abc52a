"""A pytest plugin for coroutine tests in virtual or real time. It is installed with the package.

```python
@pytest.mark.virtual_time                      # or (seed=7, watchdog_s=10); `pytestmark = ...` for a whole module
async def test_a_call_of_ten_minutes(sources: Sources) -> None:
    await asyncio.sleep(600)                   # takes no time

@pytest.mark.real_time                         # asyncio.run: for real sockets
async def test_over_a_socket() -> None: ...

def test_by_hand(run_virtual) -> None:         # virtual_time.run with this test's seed
    assert run_virtual(main()) == 3
```

- `virtual_time(seed=0, watchdog_s=60)`: the test runs under `realtime_core.testing.virtual_time.run`. The
  marker does not affect plain functions. Hypothesis's `@given` works on coroutines.
- `real_time`: the test runs under `asyncio.run`.
- Fixture `sources`: a `Sources` with the marker's seed (without a marker: 0).
- Fixture `run_virtual`: `virtual_time.run` with the marker's arguments.

pytest and other plugins run coroutine functions without a marker. There are no coroutine fixtures: use `async with` in
the test to open and close objects in the loop.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..sources import Sources

__all__ = ["run_virtual", "sources"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_time(seed=0, watchdog_s=60): run the coroutine test in virtual time")
    config.addinivalue_line("markers", "real_time: run the coroutine test with asyncio.run")


@pytest.fixture
def sources(request: pytest.FixtureRequest) -> Sources:
    """Returns a `Sources`, which creates ids, tokens and random numbers, and returns the wall-clock time. The seed is
    that of the test's `virtual_time` marker, or 0, so each run of the test gets the same values.
    """
    from ..sources import Sources

    return Sources(_arguments(request.node)["seed"])


@pytest.fixture
def run_virtual(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Returns a function that runs a coroutine in virtual time: `virtual_time.run` with the seed and the time limit of
    the test's `virtual_time` marker.
    """
    from . import virtual_time

    return functools.partial(virtual_time.run, **_arguments(request.node))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    test = pyfuncitem.obj
    inner = test.hypothesis.inner_test if getattr(test, "is_hypothesis_test", False) else test
    if not inspect.iscoroutinefunction(inner):
        return
    run = _runner(pyfuncitem)
    if run is None:
        return

    @functools.wraps(inner)
    def call(*args: Any, **kwargs: Any) -> None:
        run(inner(*args, **kwargs))

    if inner is test:
        pyfuncitem.obj = call
    else:
        test.hypothesis.inner_test = call


def _runner(item: pytest.Item) -> Callable[[Any], object] | None:
    virtual, real = item.get_closest_marker("virtual_time"), item.get_closest_marker("real_time")
    if virtual is not None and real is not None:
        pytest.fail("A test cannot have both markers, virtual_time and real_time. Remove one.", pytrace=False)
    if virtual is not None:
        from . import virtual_time

        return functools.partial(virtual_time.run, **_arguments(item))
    return asyncio.run if real is not None else None


def _arguments(item: pytest.Item) -> dict[str, Any]:
    marker = item.get_closest_marker("virtual_time")
    given = dict(marker.kwargs) if marker is not None else {}
    if marker is not None and (marker.args or given.keys() - {"seed", "watchdog_s"}):
        pytest.fail("virtual_time takes only the keywords seed and watchdog_s.", pytrace=False)
    return {"seed": 0, **given}
