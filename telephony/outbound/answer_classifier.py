"""Who has answered, and what to do about it. Pure: told what is heard and what Twilio says, it answers with a move.

Until the first word, a verdict or a limit the agent is silent. A person says a short hello and waits; a machine says
much at once, and then it beeps. Twilio's verdict comes late and is now and then wrong, so: `human` and `unknown` are
never hung up on, and `machine_*` counts only as long as nobody has conversed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from .plan import AnsweredBy
from .tone_detector import Sound

__all__ = ["AnswerClassifier", "Move"]

Move = Literal["", "talk", "message", "screen", "hang up"]
"""`talk`: greet, and let the agent answer from now on. `message`: the machine listens now. `screen`: say name and
reason, and wait."""

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


@dataclass(slots=True)
class AnswerClassifier:
    """`begun_at`: the stream's start, in seconds on any steady clock. Each method returns a `Move`."""

    begun_at: float
    leaves_message: bool = True
    first_word_s: float = 4.0
    """After so long without a word the agent speaks first."""
    hello_s: float = 1.2
    """So short is a hello: it is answered at once."""
    after_sentence_s: float = 0.7
    """After more than a hello it may go on: a breath is waited for."""
    long_s: float = 3.0
    """Nobody greets for longer than this before they wait for an answer."""
    after_long_s: float = 2.5
    """Nor is anybody silent for so long after having said so much, without a beep to come."""
    beep_s: float = 45.0
    """For so long a machine's beep is waited for."""
    after_machine_s: float = 4.0
    """A machine that has been silent for so long has no beep."""
    screening_s: float = 45.0
    """For so long after each of our answers a screening is waited for."""
    unheard_s: float = 2.5
    """Whoever speaks after a screening and is not understood for so long is spoken to: it may be the person."""
    answered_by: AnsweredBy = ""
    deadline: float = math.inf
    _state: Literal["listening", "machine", "talking", "screening", "over"] = "listening"
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

    # --- what is heard -----------------------------------------------------------------------------------------------

    def sound(self, sound: Sound, now: float) -> Move:
        match sound.kind:
            case "speech":
                self._speaking = True
                self._answering = self._greeted
                if self._state == "listening":
                    self.deadline = now + self.beep_s
                elif self._state == "screening":
                    self.deadline = self._screened_until
            case "pause":
                return self._pause(sound.seconds, now)
            case "beep":
                machine = self._state == "machine" or (self._state == "listening" and self._spoke_long)
                if machine or (self._state == "talking" and not self.conversed):
                    self._beeped = True
                    return self._message()
                if self._state == "over" and self.answered_by == "machine":
                    return self._message_again()
            case "fax" | "busy":
                if self._state != "over" and not self.conversed:
                    return self._end("fax" if sound.kind == "fax" else "unknown")
        return ""

    def _pause(self, seconds: float, now: float) -> Move:
        self._speaking = False
        self._heard = True
        self._spoke_long = self._spoke_long or seconds > self.long_s
        if self._state == "machine":
            self.deadline = min(self.deadline, now + self.after_machine_s)
        elif self._state == "screening":
            self._unheard = True
            self.deadline = min(self._screened_until, now + self.unheard_s)
        elif self._state == "talking" and self._answering:
            self._conversed = True
        elif self._state == "listening":
            if seconds <= self.hello_s:
                return self._talk("human")
            if not self._spoke_long:
                self.deadline = now + self.after_sentence_s
            else:
                self.deadline = now + (self.after_sentence_s if self._verdict == "human" else self.after_long_s)
        return ""

    def transcript(self, text: str, now: float) -> Move:
        """What the callee said, in words. Late, and not always there."""
        if self._state in ("listening", "machine") or (self._state == "talking" and not self.conversed):
            if _SCREENING.search(text):
                return self._screen(now)
            if _VOICEMAIL.search(text):
                self._wait_for_beep(now)
        elif self._state == "screening":
            self._unheard, self.deadline = False, self._screened_until
            if _SCREENING.search(text):
                return self._screen(now)
            if not _PLEASE_WAIT.search(text):
                return self._talk("human")
        return ""

    def verdict(self, answered_by: str, now: float) -> Move:
        """Twilio's: `human`, `machine_start`, `machine_end_beep`, `fax`, `unknown`..."""
        self._verdict = answered_by
        if self._state in ("over", "screening") or self.conversed:
            return ""
        if answered_by == "fax":
            return self._end("fax")
        if answered_by.startswith("machine_end"):
            self._beeped = answered_by == "machine_end_beep"
            return self._message()
        if answered_by.startswith("machine"):
            self._wait_for_beep(now)
        elif self._state == "listening" and not self._speaking:
            return self._talk("human" if answered_by == "human" else "unknown")
        elif self._state == "machine" and answered_by == "human":
            self._state = "listening"
        return ""

    # --- time and what we did ----------------------------------------------------------------------------------------

    def on_time(self, now: float) -> Move:
        """The deadline has come."""
        if now < self.deadline:
            return ""
        self.deadline = math.inf
        match self._state:
            case "listening":
                spoke = self._heard and not self._spoke_long
                return self._talk("human" if spoke or self._verdict == "human" else "unknown")
            case "machine":
                return self._message()
            case "screening" if self._unheard and now < self._screened_until:
                return self._talk("human")
            case "screening":
                return self._end("screening")
        return ""

    def greeted(self) -> None:
        """The agent has said its first words; what the callee begins to say from here on is an answer."""
        self._greeted = self._state == "talking"

    @property
    def conversed(self) -> bool:
        """Has somebody answered us?"""
        return self._state == "talking" and self._conversed

    @property
    def undecided(self) -> bool:
        return self._state in ("listening", "machine")

    # -----------------------------------------------------------------------------------------------------------------

    def _talk(self, who: AnsweredBy) -> Move:
        self._state, self.answered_by, self.deadline = "talking", who, math.inf
        return "talk"

    def _wait_for_beep(self, now: float) -> None:
        if self._state != "machine":
            self._state, self.answered_by, self.deadline = "machine", "machine", now + self.beep_s

    def _message(self) -> Move:
        self._state, self.answered_by, self.deadline = "over", "machine", math.inf
        return "message" if self.leaves_message else "hang up"

    def _message_again(self) -> Move:
        """What was said before the beep is on no tape: leave it from its beginning."""
        if self._beeped or not self.leaves_message:
            return ""
        self._beeped = True
        return "message"

    def _screen(self, now: float) -> Move:
        """Asked again, it is told again, once."""
        self._state, self.answered_by, self._screened = "screening", "screening", self._screened + 1
        if self._screened > 2:
            return ""
        self.deadline = self._screened_until = now + self.screening_s
        return "screen"

    def _end(self, who: AnsweredBy) -> Move:
        self._state, self.answered_by, self.deadline = "over", who, math.inf
        return "hang up"
