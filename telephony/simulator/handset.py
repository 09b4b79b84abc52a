"""The handset of a simulated caller or callee. A caller is a coroutine function: `async def caller(phone)`.

```python
async def impatient(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.heard(2.0)              # two seconds of the agent's speech
    await phone.say("sorry_hours")      # ... and over it
    await phone.agent_silent(1.0)
    phone.press("1")
    await phone.agent_speaks()
    phone.hang_up()                     # a caller that returns also hangs up
```
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from realtime_core.audio import g711

from ..audio.files import Clip, load_ulaw
from ..errors import CallerTimeout
from . import clips
from .playout import FRAME, RATE, SILENCE
from .tones import beep

__all__ = ["FRAME_S", "KEYS", "Handset"]

FRAME_S = FRAME / RATE
KEYS = frozenset("0123456789*#ABCD")

_LOUD = 400
"""The magnitude (of 32124) above which a sample is loud. A frame with this share of loud samples contains a voice."""
_VOICED_SHARE = 0.1
_BREATH_FRAMES = 15
"""The maximum length of a pause within speech: 15 frames (300 ms)."""
_MAX_RECEIVED = 600 * RATE

_IS_LOUD = bytes(abs(int.from_bytes(g711.decode(bytes([code])), "little", signed=True)) > _LOUD for code in range(256))


class Handset:
    """The phone of one simulated caller or callee. The person uses the handset to say clips, press keys, hang up, and
    wait for the agent's speech. A handset may be used for several media streams, `<Say>` verbs or conferences in
    succession.

    The methods that wait measure time in received audio frames of 20 ms, not on a clock. If the wait lasts longer than
    `within_s` seconds, the method raises `CallerTimeout`.

    Args:
        on_press: Called with each key.
        on_hang_up: Called when the person hangs up.
        on_say: Called when a clip begins, with the name of the clip (`""` for audio without a name) and its number of
            samples.
        now: A function that returns the seconds since the handset was picked up. By default the function returns the
            seconds since the handset was created, by the event loop's clock.
    """

    def __init__(
        self,
        *,
        on_press: Callable[[str], None],
        on_hang_up: Callable[[], None],
        on_say: Callable[[str, int], None] = lambda name, samples: None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.received = bytearray()
        """What was played to the handset, at most ten minutes: mu-law, 0xFF where nothing played."""
        self.tones = ""
        """The keys whose tones were played to it."""
        self.beeped = asyncio.Event()
        """Set after the beep of a voicemail."""
        self._now = now or _stopwatch()
        self._other: Handset | None = None
        self._from_other: deque[bytes] = deque(maxlen=50)
        self._relayed = 0
        self._on_say = on_say
        self._on_press = on_press
        self._on_hang_up = on_hang_up
        self._words: deque[tuple[str, bytes, asyncio.Future[None]]] = deque()
        self._said = 0
        self._frames = 0
        self._voiced_in_a_row = 0
        self._silent_in_a_row = 0
        self._speech_frames = 0
        self._speeches = 0
        self._waits: list[tuple[Callable[[], bool], int, asyncio.Future[None], str]] = []

    # --- for the caller ------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The time in seconds on the handset's clock. The clock starts with the media stream. For a handset without a
        media stream, the clock starts when the handset is picked up.
        """
        return self._now()

    @property
    def hears_voice(self) -> bool:
        """Whether the handset received a voice within the last 300 ms."""
        return self._speech_frames > 0 and self._silent_in_a_row <= _BREATH_FRAMES

    @property
    def speeches(self) -> int:
        """How many times the other side (usually the agent) has begun to speak. A voice after more than 300 ms of
        silence counts as a new start.
        """
        return self._speeches

    def say(self, clip: str | Clip) -> asyncio.Future[None]:
        """Queues a clip: by name (see `clips`), or as audio that `telephony.audio.files.load_ulaw` accepts. The future
        is done when the clip has been said.
        """
        name, ulaw = (clip, clips.load(clip)) if isinstance(clip, str) else ("", load_ulaw(clip))
        said: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._words.append((name, ulaw, said))
        return said

    def press(self, digit: str) -> None:
        """Presses one key (0-9, *, #, A-D). Raises `ValueError` for any other character."""
        if digit not in KEYS:
            raise ValueError(f"{digit!r} is not a key; the keys are 0-9, *, # and A-D.")
        self._on_press(digit)

    def hang_up(self) -> None:
        """Ends the call, as the person on the phone."""
        self._on_hang_up()

    async def beep(self) -> None:
        """Plays the beep of a voicemail to the other side."""
        await self.say(beep())
        self.beeped.set()

    async def agent_speaks(self, *, within_s: float = 60.0) -> None:
        """Waits until the handset has received 40 ms of a voice. Returns immediately if a voice is audible now. Raises
        `CallerTimeout` after `within_s` seconds.
        """
        await self._until(lambda: self._voiced_in_a_row >= 2, within_s, "the agent to speak")

    async def agent_silent(self, for_s: float = 0.8, *, within_s: float = 120.0) -> None:
        """Waits until no voice was audible for `for_s` seconds. Raises `CallerTimeout` after `within_s` seconds."""
        frames = round(for_s / FRAME_S)
        await self._until(lambda: self._silent_in_a_row >= frames, within_s, f"{for_s} s of silence")

    async def heard(self, seconds: float, *, within_s: float = 120.0) -> None:
        """Waits until `seconds` more seconds of the agent's speech were heard, including its short pauses. Raises
        `CallerTimeout` after `within_s` seconds.
        """
        target = self._speech_frames + round(seconds / FRAME_S)
        await self._until(lambda: self._speech_frames >= target, within_s, f"{seconds} s of the agent's speech")

    async def heard_or_silent(self, seconds: float, silent_s: float, *, within_s: float = 120.0) -> bool:
        """Waits until `seconds` more seconds of the agent's speech were heard, or until no voice was audible for
        `silent_s` seconds. Returns whether the speech was heard. Raises `CallerTimeout` after `within_s` seconds.
        """
        target = self._speech_frames + round(seconds / FRAME_S)
        silent = max(1, round(silent_s / FRAME_S))
        await self._until(
            lambda: self._speech_frames >= target or self._silent_in_a_row >= silent, within_s,
            f"{seconds} s of the agent's speech, or {silent_s} s of silence",
        )  # fmt: skip
        return self._speech_frames >= target

    @contextmanager
    def joined(self, other: Handset) -> Iterator[None]:
        """Connects this handset to another handset during this block. The audio and the keys that one handset receives
        from its call are sent into the call of the other handset.
        """
        self._other, other._other = other, self
        self._relayed, other._relayed = len(self.tones), len(other.tones)
        try:
            yield
        finally:
            self._other = other._other = None

    # --- for the line --------------------------------------------------------------------------------------------

    def speak(self) -> bytes:
        """Returns the next 20 ms of the caller's speech (mu-law), or silence."""
        if self._other is not None and not self._words:
            return self._from_other.popleft() if self._from_other else SILENCE * FRAME
        if not self._words:
            return SILENCE * FRAME
        name, ulaw, said = self._words[0]
        if self._said == 0:
            self._on_say(name, len(ulaw))
        frame = ulaw[self._said : self._said + FRAME]
        self._said += FRAME
        if self._said >= len(ulaw):
            self._words.popleft()
            self._said = 0
            if not said.done():
                said.set_result(None)
        return frame.ljust(FRAME, SILENCE)

    def hear(self, frame: bytes) -> None:
        """Receives the next 20 ms of audio that the line plays to the person (mu-law)."""
        if len(self.received) < _MAX_RECEIVED:
            self.received += frame
        self._frames += 1
        if self._other is not None:
            self._other._from_other.append(frame)
            while self._relayed < len(self.tones):
                self._other.press(self.tones[self._relayed])
                self._relayed += 1
        if frame.translate(_IS_LOUD).count(1) >= _VOICED_SHARE * FRAME:
            self._voiced_in_a_row += 1
            if self._silent_in_a_row > _BREATH_FRAMES or not self._speeches:
                self._speeches += 1
            if self._silent_in_a_row <= _BREATH_FRAMES:
                self._speech_frames += self._silent_in_a_row
            self._silent_in_a_row = 0
            self._speech_frames += 1
        else:
            self._voiced_in_a_row = 0
            self._silent_in_a_row += 1
        if self._waits:
            self._waits = [wait for wait in self._waits if not self._settle(*wait)]

    def hear_beep(self) -> None:
        """Sets `beeped` of this handset, and of the handset that is joined with it, because the line has played the
        beep of a voicemail.
        """
        self.beeped.set()
        if self._other is not None:
            self._other.beeped.set()

    async def play(self, ulaw: bytes) -> None:
        """Plays audio (mu-law) to the handset in real time. Speech of the person during this time is dropped, as during
        `<Say>`.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, at in enumerate(range(0, len(ulaw), FRAME), 1):
            await asyncio.sleep(start + number * FRAME_S - loop.time())
            self.speak()
            self.hear(ulaw[at : at + FRAME].ljust(FRAME, SILENCE))

    async def _until(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        if condition():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waits.append((condition, self._frames + round(within_s / FRAME_S), future, what))
        await future

    def _settle(self, condition: Callable[[], bool], last: int, future: asyncio.Future[None], what: str) -> bool:
        if future.done():
            return True
        if condition():
            future.set_result(None)
        elif self._frames >= last:
            future.set_exception(CallerTimeout(f"The caller waited too long for {what}."))
        return future.done()


def _stopwatch() -> Callable[[], float]:
    loop = asyncio.get_running_loop()
    start = loop.time()
    return lambda: loop.time() - start
