"""A persona: a caller with a goal, facts and a manner, from a TOML file. Pure.

```toml
name = "Ada, in a hurry"
goal = "Book a table for two on Friday at seven."
facts = { day = "Friday", people = "two", time = "seven", name = "Ada" }
manner = "Short sentences, a little impatient."
language = "en"
opening = ""                 # empty: the text model chooses the first words
max_turns = 12               # after that the caller says goodbye
patience_s = 8               # the caller hangs up after this much silence of the agent
interrupts = 0.2             # the chance that the caller interrupts an answer
backchannels = 0.5           # ... says "mhm" while the agent talks
hesitates = 0.2              # ... pauses in the middle of a sentence

[line]
round_trip_ms = 120
jitter_ms = 30
loss = 0.01
noise = "street"             # white, street, babble, music or none
noise_dbfs = -60
speakerphone = false
level_db = 0                 # how much louder or quieter the caller is
```
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import EvalError
from .criteria import problems_of

__all__ = ["LineProfile", "NoiseKind", "Persona", "load_persona"]

Chance = Annotated[float, Field(ge=0, le=1)]


class NoiseKind(StrEnum):
    """The kinds of noise on the caller's side."""

    NONE = "none"
    WHITE = "white"
    STREET = "street"
    BABBLE = "babble"
    MUSIC = "music"


class LineProfile(BaseModel):
    """The quality of a simulated caller's phone line, and the noise around the caller."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    round_trip_ms: Annotated[float, Field(ge=0, le=5000)] = 80.0
    jitter_ms: Annotated[float, Field(ge=0, le=2000)] = 10.0
    loss: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The probability that a frame (20 ms) of the caller's audio is lost."""
    noise: NoiseKind = NoiseKind.NONE
    noise_dbfs: Annotated[float, Field(ge=-90, le=-10)] = -60.0
    """The level of the noise (RMS) relative to full scale, in decibels. The speech detector of the embedded model
    reports street noise or babble as speech if the level is higher than about -50.
    """
    speakerphone: bool = False
    """Whether the caller uses a speakerphone. The agent's voice then returns into the microphone, 46 dB quieter and 60
    ms later.
    """
    level_db: Annotated[float, Field(ge=-40, le=12)] = 0.0


class Persona(BaseModel):
    """The description of a simulated caller of an eval. A text model writes what the caller says. `interrupts`,
    `backchannels` and `hesitates` are the probabilities with which the caller interrupts the agent, says words such as
    "mm-hm" while the agent speaks, and hesitates. Random numbers decide when this happens, and not the text model.
    Therefore the same seed gives the same behaviour.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    goal: Annotated[str, Field(min_length=1)]
    facts: Mapping[str, str | int | float | bool] = Field(default_factory=dict)
    manner: str = "Friendly and brief."
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")] = "en"
    opening: str = ""
    max_turns: Annotated[int, Field(ge=1, le=60)] = 12
    patience_s: Annotated[float, Field(gt=0, le=120)] = 8.0
    interrupts: Chance = 0.0
    backchannels: Chance = 0.0
    hesitates: Chance = 0.0
    line: LineProfile = LineProfile()


def load_persona(path: Path) -> Persona:
    """Reads a persona from a TOML file. Raises `EvalError` with the reason if the file is invalid."""
    try:
        return Persona.model_validate(tomllib.loads(path.read_text("utf-8-sig")))
    except (OSError, UnicodeDecodeError) as error:
        raise EvalError(f"{path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise EvalError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise EvalError(f"{path}: {problems_of(error)}") from error
