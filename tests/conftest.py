"""For all tests."""

from __future__ import annotations

from hypothesis import settings

# A deadline per example measures how busy the machine is.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
