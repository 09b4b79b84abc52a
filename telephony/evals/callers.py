"""The simulated callers of evals. `PersonaCaller` plays a persona (the description of a caller), and `RecordedCaller`
repeats the caller of a recording. Each caller writes its actions and its words to a `CallerLog`. The stand-in for the
speech model cannot understand speech, so the stand-in reads the words in the `CallerLog`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from random import Random

from ..errors import CallerTimeout
from ..journal.audio import CallAudio
from ..journal.recorded import RecordedCall
from ..replay.callers import last_words, turns_of, wait_for
from ..simulator import Handset
from .caller_actions import CallerAction, CallerActionKind
from .persona import Persona
from .players import Player
from .speech import Voice
from .word_values import is_backchannel

__all__ = ["CallerLog", "PersonaCaller", "RecordedCaller"]

_GAP_S = 0.8
"""The length in seconds of a silence of the agent after which the agent's turn has ended."""
_AFTER_MHM_S = 1.6
"""The length in seconds of a silence of the agent after which the agent's turn has ended, if the caller has said "mhm".
The value is larger, because the agent may continue after an "mhm".
"""
_HURRIED_GAP_S = 0.5
_LAST_WORDS_S = 6.0
_MAX_CALL_S = 300.0


class CallerLog:
    """Collects what the simulated caller said and did in one call. `take` returns the words that were said since the
    last call of `take`. `acts` has all actions.
    """

    def __init__(self) -> None:
        self.acts: list[CallerAction] = []
        self._words: list[str] = []

    def said(self, text: str) -> None:
        if text:
            self._words.append(text)

    def take(self) -> str:
        words, self._words = " ".join(self._words), []
        return words

    def note(self, phone: Handset, kind: CallerActionKind, text: str = "") -> None:
        self.acts.append(CallerAction(round(phone.now * 1000, 1), kind, text, phone.hears_voice))


class PersonaCaller:
    """A simulated caller that acts as its `persona` (the description of a caller) says. `player` chooses the next words
    of the caller, for example with a text model, and `voice` converts them into speech. `agent_words` returns the words
    of the agent that the caller has heard since the last call of `agent_words`. `random` decides when the caller
    interrupts, hesitates and says "mhm".
    """

    def __init__(
        self,
        persona: Persona,
        player: Player,
        voice: Voice,
        caller_log: CallerLog,
        agent_words: Callable[[], str],
        random: Random,
    ) -> None:
        self._persona = persona
        self._player = player
        self._voice = voice
        self._caller_log = caller_log
        self._agent_words = agent_words
        self._random = random

    async def __call__(self, phone: Handset) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MAX_CALL_S):
                await self._talk(phone)
        phone.hang_up()

    async def _talk(self, phone: Handset) -> None:
        while True:
            if not await self._listen(phone):
                self._caller_log.note(phone, CallerActionKind.GIVES_UP)
                return
            move = await asyncio.to_thread(self._player.next, self._agent_words())
            if move.say:
                await self._say(phone, move.say)
            for key in move.keys:
                self._caller_log.note(phone, CallerActionKind.KEY, key)
                phone.press(key)
                await asyncio.sleep(0.3)
            if move.hang_up:
                if move.say and not move.gives_up:
                    with contextlib.suppress(CallerTimeout):
                        await phone.agent_speaks(within_s=_LAST_WORDS_S)
                        await phone.agent_silent(_GAP_S, within_s=3 * _LAST_WORDS_S)
                self._caller_log.note(phone, CallerActionKind.GIVES_UP if move.gives_up else CallerActionKind.HANGS_UP)
                return

    async def _listen(self, phone: Handset) -> bool:
        """Listens until the agent has ended its turn, or interrupts the agent. The caller may say "mhm". Returns False
        if the agent was silent for longer than `patience_s`.
        """
        persona, random = self._persona, self._random
        interrupts, agrees = random.random() < persona.interrupts, random.random() < persona.backchannels
        after_s, gap_s = random.uniform(0.8, 1.6), _GAP_S
        try:
            await phone.agent_speaks(within_s=persona.patience_s)
        except CallerTimeout:
            if not self._caller_log.acts or self._caller_log.acts[-1].text != "Hello?":
                await self._say(phone, "Hello?")
                return await self._listen(phone)
            return False
        if (agrees or interrupts) and await self._talks_for(phone, after_s):
            if interrupts:
                return True  # the next words are said while the agent speaks
            await self._utter(phone, "Mhm.", CallerActionKind.BACKCHANNEL)
            gap_s = _AFTER_MHM_S
        with contextlib.suppress(CallerTimeout):
            await phone.agent_silent(gap_s, within_s=60.0)
        return True

    async def _talks_for(self, phone: Handset, seconds: float) -> bool:
        """Returns whether the agent is heard for this long before its turn ends."""
        with contextlib.suppress(CallerTimeout):
            return await phone.heard_or_silent(seconds, _HURRIED_GAP_S, within_s=60.0)
        return False

    async def _say(self, phone: Handset, text: str) -> None:
        kind = CallerActionKind.INTERRUPTS if phone.hears_voice else CallerActionKind.SAYS
        words = text.split()
        if len(words) < 4 or self._random.random() >= self._persona.hesitates:
            await self._utter(phone, text, kind)
            return
        middle = len(words) // 2
        await self._utter(phone, " ".join(words[:middle]) + ", uh,", kind)
        await asyncio.sleep(self._random.uniform(0.3, 0.9))
        await self._utter(phone, " ".join(words[middle:]), kind)

    async def _utter(self, phone: Handset, text: str, kind: CallerActionKind) -> None:
        clip = await asyncio.to_thread(self._voice.speak, text, self._persona.language)
        self._caller_log.note(phone, kind, text)
        self._caller_log.said(text)
        await phone.say(clip)


class RecordedCaller:
    """A simulated caller that repeats the caller of a recording: in each turn, the caller says the recorded words or
    presses the recorded key. Digits are masked in recordings, so a masked key is sent as 0.
    """

    def __init__(self, call: RecordedCall, audio: CallAudio, caller_log: CallerLog) -> None:
        self._turns = list(zip(turns_of(call, audio), _texts(call), strict=True))
        self._caller_log = caller_log

    async def __call__(self, phone: Handset) -> None:
        speeches = 0
        for turn, text in self._turns:
            await wait_for(phone, turn, speeches)
            speeches = phone.speeches
            if turn.key:
                self._caller_log.note(phone, CallerActionKind.KEY, turn.key)
                phone.press(turn.key)
                continue
            self._caller_log.note(phone, self._kind(phone, text), text)
            self._caller_log.said(text)
            await phone.say(turn.voice)
        await last_words(phone)
        self._caller_log.note(phone, CallerActionKind.HANGS_UP)
        phone.hang_up()

    def _kind(self, phone: Handset, text: str) -> CallerActionKind:
        if not phone.hears_voice:
            return CallerActionKind.SAYS
        return CallerActionKind.BACKCHANNEL if is_backchannel(text) else CallerActionKind.INTERRUPTS


def _texts(call: RecordedCall) -> list[str]:
    """Returns the words of each turn of `turns_of`, in the same order. The text is empty for a key."""
    moments = [(call.ms(key.t), "") for key in call.keys]
    moments += [(speech.start_ms, speech.text) for speech in call.speech]
    return [text for _, text in sorted(moments, key=lambda moment: moment[0])]
