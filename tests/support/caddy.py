"""Caddy on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

__all__ = ["caddy", "caddyfile"]


def caddy() -> str:
    if (path := shutil.which("caddy")) is None:
        pytest.skip("no caddy on PATH (Debian: apt-get install caddy)")
    return path


def caddyfile(text: str) -> str:
    """As this machine's Caddy takes it: before 2.7 streams outlive no reload."""
    version = subprocess.run([caddy(), "version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.findall(r"\d+", version)[:2]
    return re.sub(r"\tstream_close_delay .*\n", "", text) if (int(major), int(minor)) < (2, 7) else text
