"""One browser for all tests of a process. Its start costs 0.8 s of CPU.

The fixture `browser` (tests/conftest.py) lends it to the tests of one file. Each of them opens contexts of its own,
which share nothing. `speak` sets what is said into the microphone of the pages that ask for it from then on: Chromium
reads the file again for each page.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.browser import chromium, flags, microphone

__all__ = ["end", "lent_browser", "speak"]


@dataclass
class _Shared:
    browser: Any
    loop: asyncio.AbstractEventLoop
    voice: Path
    until_the_end: ExitStack = field(default_factory=ExitStack)


_shared: _Shared | None = None


@contextmanager
def lent_browser() -> Iterator[Any]:
    """Yields the browser, and closes its contexts at the end. Meanwhile no other event loop can run in this thread: the
    synchronous interface of Playwright marks its own loop as running.
    """
    shared = _the_browser()
    asyncio._set_running_loop(shared.loop)
    try:
        yield shared.browser
        for context in shared.browser.contexts:
            context.close()
    finally:
        asyncio._set_running_loop(None)


def speak(clip: str, *, silence_s: float) -> None:
    """Sets the voice at the microphone: this clip, a silence, and again."""
    microphone(_the_browser().voice, clip, silence_s=silence_s)


def end() -> None:
    """Closes the browser, if one runs."""
    global _shared
    if _shared is not None:
        shared, _shared = _shared, None
        asyncio._set_running_loop(shared.loop)
        shared.until_the_end.close()


def _the_browser() -> _Shared:
    global _shared
    if _shared is None:
        executable = chromium()
        from playwright.sync_api import sync_playwright

        with ExitStack() as stack:
            voice = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "voice.wav"
            stack.callback(asyncio._set_running_loop, None)
            playwright = stack.enter_context(sync_playwright())
            loop = asyncio.get_running_loop()
            browser = playwright.chromium.launch(executable_path=executable, args=flags(voice))
            stack.callback(browser.close)
            _shared = _Shared(browser, loop, voice, stack.pop_all())
    return _shared
