"""The tests come out the same whatever keys and settings lie in the environment."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# A busy machine breaks deadlines; and what CI runs is the same each time: whoever develops looks for new examples.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

OURS = ("OPENAI_", "TWILIO_", "TELEPHONY_")
SETTINGS = {"PUBLIC_URL", "DATABASE_URL", "HOST", "PORT", "LOG_LEVEL", "LOG_FORMAT"}

for name in [name for name in os.environ if name.startswith(OURS) or name in SETTINGS]:
    del os.environ[name]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Browsers hear and speak by the clock: with pytest-xdist they take turns, as processes do."""
    if item.get_closest_marker("browser") is not None:
        item.add_marker(pytest.mark.xdist_group("processes"))
