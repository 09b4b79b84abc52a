"""Decides who answered a call, and what the agent does next. Pure: the input is sounds, words and Twilio's verdict, and
the output is moves (what the agent does next).

The agent is silent until the first word, a verdict or a time limit. A person says a short hello and waits. A machine
speaks for longer and then beeps. Twilio's verdict comes late and is sometimes wrong. Therefore a call with the verdict
`human` or `unknown` is never hung up, and a verdict `machine_*` is ignored if the callee has already answered the
agent.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum

from .plan import AnsweredBy
from .tone_detector import Sound, SoundKind

__all__ = ["AnswerClassifier", "Move"]


class Move(Enum):
    """The possible next actions of the agent on a placed call, after it was decided who answered. The journal contains
    the values.
    """

    TALK = "talk"
    """The agent greets the callee, and answers from now on."""
    MESSAGE = "message"
    """The agent leaves the message of the call's plan, because a voicemail or another machine records now."""
    SCREEN = "screen"
    """The agent tells the call screening service the name of the caller and the reason of the call, and waits."""
    HANG_UP = "hang up"


_SCREENING = re.compile(
    r"(say|state|tell)[^.]*your name|who(?:'s| is| are you)[^.]*call|reason (?:for|why)|why (?:you are|you're) calling"
    r"|screening|google assistant",
    re.IGNORECASE,
)
_VOICEMAIL = re.compile(
    r"leave (?:me |us )?a message|after the (?:tone|beep)|voice ?mail|mailbox|not available|can't (?:take|come)"
    r"|cannot (?:take|come)|at the tone",
    re.IGNORECASE,
)
_PLEASE_WAIT = re.compile(r"hold|wait|one moment|connect|checking|trying", re.IGNORECASE)


class _State(Enum):
    LISTENING = "listening"
    MACHINE = "machine"
    TALKING = "talking"
    SCREENING = "screening"
    OVER = "over"


@dataclass(slots=True)
class AnswerClassifier:
    """Decides what the agent does at the beginning of one placed call. There is a method for each kind of input:
    sounds, words, the result of Twilio's machine detection (the verdict), and the time. Each of these methods returns
    the next `Move`, or None if the agent does nothing new. `begun_at` is the start of the stream, in seconds on any
    steady clock.
    """

    begun_at: float
    leaves_message: bool = True
    first_word_s: float = 4.0
    """The time in seconds after which the agent speaks first if the callee has said no word."""
    hello_s: float = 1.2
    """The maximum length of a hello in seconds. The agent answers a hello immediately."""
    after_sentence_s: float = 0.7
    """The pause in seconds for which the agent waits after an utterance that is longer than a hello, before it speaks.
    The callee may continue after a breath.
    """
    long_s: float = 3.0
    """The maximum length of a person's greeting in seconds. After a longer greeting the callee may be a machine, so the
    agent waits for a longer pause (`after_long_s`).
    """
    after_long_s: float = 2.5
    """The time in seconds for which the agent waits after a greeting of more than `long_s` seconds, because the beep of
    a machine may follow. Without a beep in this time, the agent speaks: the callee is taken for a person, or for a
    machine without a beep.
    """
    beep_s: float = 45.0
    """The maximum time in seconds to wait for the beep of a machine."""
    after_machine_s: float = 4.0
    """The time in seconds for which the agent waits for the beep after a machine has paused. Without a beep in this
    time, the agent leaves its message or hangs up.
    """
    screening_s: float = 45.0
    """The maximum time in seconds to wait for a call screening service (software that asks who calls) after each answer
    that the agent gives to it.
    """
    unheard_s: float = 2.5
    """After a call screening, the maximum time in seconds to wait for the transcript of speech. Without a transcript
    the agent talks, because the person may have spoken.
    """
    answered_by: AnsweredBy = ""
    deadline: float = math.inf
    _state: _State = _State.LISTENING
    _speaking: bool = False
    _heard: bool = False
    _spoke_long: bool = False
    _greeted: bool = False
    _answering: bool = False
    _conversed: bool = False
    _verdict: str = ""
    _beeped: bool = False
    _screened: int = 0
    _screened_until: float = math.inf
    _unheard: bool = False

    def __post_init__(self) -> None:
        self.deadline = self.begun_at + self.first_word_s

    # --- sounds and words --------------------------------------------------------------------------------------------

    def sound(self, sound: Sound, now: float) -> Move | None:
        match sound.kind:
            case SoundKind.SPEECH:
                self._speaking = True
                self._answering = self._greeted
                if self._state is _State.LISTENING:
                    self.deadline = now + self.beep_s
                elif self._state is _State.SCREENING:
                    self.deadline = self._screened_until
            case SoundKind.PAUSE:
                return self._pause(sound.seconds, now)
            case SoundKind.BEEP:
                machine = self._state is _State.MACHINE or (self._state is _State.LISTENING and self._spoke_long)
                if machine or (self._state is _State.TALKING and not self.conversed):
                    self._beeped = True
                    return self._message()
                if self._state is _State.OVER and self.answered_by == "machine":
                    return self._message_again()
            case SoundKind.FAX | SoundKind.BUSY:
                if self._state is not _State.OVER and not self.conversed:
                    return self._end("fax" if sound.kind is SoundKind.FAX else "unknown")
        return None

    def _pause(self, seconds: float, now: float) -> Move | None:
        self._speaking = False
        self._heard = True
        self._spoke_long = self._spoke_long or seconds > self.long_s
        if self._state is _State.MACHINE:
            self.deadline = min(self.deadline, now + self.after_machine_s)
        elif self._state is _State.SCREENING:
            self._unheard = True
            self.deadline = min(self._screened_until, now + self.unheard_s)
        elif self._state is _State.TALKING and self._answering:
            self._conversed = True
        elif self._state is _State.LISTENING:
            if seconds <= self.hello_s:
                return self._talk("human")
            if not self._spoke_long:
                self.deadline = now + self.after_sentence_s
            else:
                self.deadline = now + (self.after_sentence_s if self._verdict == "human" else self.after_long_s)
        return None

    def transcript(self, text: str, now: float) -> Move | None:
        """Uses the transcript of words that the callee said, to recognise the announcements of voicemails and of call
        screening services. Returns what the agent does next, or None if the agent does nothing new. The classifier does
        not wait for a transcript if the audio alone is sufficient for a decision, because a transcript arrives late or
        not at all.
        """
        if self._state in (_State.LISTENING, _State.MACHINE) or (self._state is _State.TALKING and not self.conversed):
            if _SCREENING.search(text):
                return self._screen(now)
            if _VOICEMAIL.search(text):
                self._wait_for_beep(now)
        elif self._state is _State.SCREENING:
            self._unheard, self.deadline = False, self._screened_until
            if _SCREENING.search(text):
                return self._screen(now)
            if not _PLEASE_WAIT.search(text):
                return self._talk("human")
        return None

    def verdict(self, answered_by: str, now: float) -> Move | None:
        """Uses Twilio's verdict about who answered the call, such as `human`, `machine_start`, `machine_end_beep`,
        `fax` or `unknown`. Returns what the agent does next (for example greet the callee, leave the message, or hang
        up), or None if the agent does nothing new.
        """
        self._verdict = answered_by
        if self._state in (_State.OVER, _State.SCREENING) or self.conversed:
            return None
        if answered_by == "fax":
            return self._end("fax")
        if answered_by.startswith("machine_end"):
            self._beeped = answered_by == "machine_end_beep"
            return self._message()
        if answered_by.startswith("machine"):
            self._wait_for_beep(now)
        elif self._state is _State.LISTENING and not self._speaking:
            return self._talk("human" if answered_by == "human" else "unknown")
        elif self._state is _State.MACHINE and answered_by == "human":
            self._state = _State.LISTENING
        return None

    # --- time and our own speech -------------------------------------------------------------------------------------

    def on_time(self, now: float) -> Move | None:
        """Returns what the agent does next if `deadline` has passed at the time `now`. Returns None if the agent does
        nothing new.
        """
        if now < self.deadline:
            return None
        self.deadline = math.inf
        match self._state:
            case _State.LISTENING:
                spoke = self._heard and not self._spoke_long
                return self._talk("human" if spoke or self._verdict == "human" else "unknown")
            case _State.MACHINE:
                return self._message()
            case _State.SCREENING if self._unheard and now < self._screened_until:
                return self._talk("human")
            case _State.SCREENING:
                return self._end("screening")
        return None

    def greeted(self) -> None:
        """Counts speech of the callee that begins later as an answer to the agent (see `conversed`). Must be called
        when the agent has said its first words.
        """
        self._greeted = self._state is _State.TALKING

    @property
    def conversed(self) -> bool:
        """Whether the callee has answered the agent."""
        return self._state is _State.TALKING and self._conversed

    @property
    def undecided(self) -> bool:
        return self._state in (_State.LISTENING, _State.MACHINE)

    # -----------------------------------------------------------------------------------------------------------------

    def _talk(self, who: AnsweredBy) -> Move | None:
        self._state, self.answered_by, self.deadline = _State.TALKING, who, math.inf
        return Move.TALK

    def _wait_for_beep(self, now: float) -> None:
        if self._state is not _State.MACHINE:
            self._state, self.answered_by, self.deadline = _State.MACHINE, "machine", now + self.beep_s

    def _message(self) -> Move | None:
        self._state, self.answered_by, self.deadline = _State.OVER, "machine", math.inf
        return Move.MESSAGE if self.leaves_message else Move.HANG_UP

    def _message_again(self) -> Move | None:
        """Returns the move to leave the message again, because the machine did not record speech before the beep."""
        if self._beeped or not self.leaves_message:
            return None
        self._beeped = True
        return Move.MESSAGE

    def _screen(self, now: float) -> Move | None:
        """Returns the move to answer a screening service. Also answers one repetition of the question."""
        self._state, self.answered_by, self._screened = _State.SCREENING, "screening", self._screened + 1
        if self._screened > 2:
            return None
        self.deadline = self._screened_until = now + self.screening_s
        return Move.SCREEN

    def _end(self, who: AnsweredBy) -> Move | None:
        self._state, self.answered_by, self.deadline = _State.OVER, who, math.inf
        return Move.HANG_UP
