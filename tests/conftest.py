"""The tests come out the same whatever keys and settings lie in the environment."""

from __future__ import annotations

import os

OURS = ("OPENAI_", "TWILIO_", "TELEPHONY_")
SETTINGS = {"PUBLIC_URL", "DATABASE_URL", "HOST", "PORT", "LOG_LEVEL", "LOG_FORMAT"}

for name in [name for name in os.environ if name.startswith(OURS) or name in SETTINGS]:
    del os.environ[name]
