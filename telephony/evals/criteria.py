"""The criteria of an eval, from a TOML file. Pure.

```toml
margin = 0.1                 # a difference of pass rates below this does not matter: "same"
alpha = 0.05                 # the error level of "better" and "worse", for all criteria together

[[criterion]]                # measured at the caller's ear
name = "answers quickly"
measure = "response_latency_p95_ms"
max = 1500
min_pass_rate = 0.9          # the command fails if the new agent passes less often

[[criterion]]                # checked: a tool, its arguments and its result
name = "books the table"
tool = "book_table"
arguments = { people = 2 }   # these arguments have these values; others may have any
result_contains = "Booked"

[[criterion]]
name = "confirms before it books"
order = ["says: is that right", "tool: book_table"]

[[criterion]]
name = "promises no discount"
forbidden = ["discount", "free"]

[[criterion]]
name = "the result is complete"
result = { day = "Friday" }

[[criterion]]                # judged: a text model answers yes or no, with a quote
name = "stays polite"
judge = "Is the agent polite, also when the caller is not?"
votes = 3
```

A text value may contain a fact of the case in braces: `{ day = "{day}" }`. A fact that the case does not have makes the
result unknown.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import EvalError
from .measures import MEASURES

__all__ = ["Criteria", "Criterion", "Family", "load_criteria", "parse_criteria"]


class Family(StrEnum):
    """The ways to decide a criterion: measured, checked, or judged by a text model. Each report shows the judged
    criteria separately.
    """

    MEASURED = "measured"
    CHECKED = "checked"
    JUDGED = "judged"


_CHECKS = ("tool", "no_tool", "says", "forbidden", "order", "result", "ended", "same_tools")


class Criterion(BaseModel):
    """One criterion of an eval. A criterion has exactly one of these fields: `measure`, `tool`, `no_tool`, `says`,
    `forbidden`, `order`, `result`, `ended`, `same_tools`, `judge`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    measure: str | None = None
    """The name of the measurement of the call that this criterion limits, from `measures.MEASURES`. The call passes if
    the measured value is at least `min` and at most `max`.
    """
    max: float | None = None
    min: float | None = None
    tool: str | None = None
    """The name of a tool that the agent must call."""
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    result_contains: str | None = None
    no_tool: str | None = None
    """The name of a tool that the agent must not call."""
    says: Sequence[str] = ()
    """Words or phrases that the caller must hear."""
    forbidden: Sequence[str] = ()
    """Words or phrases that the caller must not hear."""
    order: Sequence[str] = ()
    """Events that must happen in this order in the call: `tool: NAME` (the agent calls a tool), `says: WORDS` (the
    caller hears these words of the agent), `caller: WORDS` (the caller says these words).
    """
    result: Mapping[str, Any] | None = None
    """Fields with their values that the result object of the call must have. The agent fills in the result object with
    a tool.
    """
    ended: Literal["hung up", "agent hung up"] | None = None
    """The side that must end the call. `hung up` means that the caller ends the call."""
    same_tools: bool = False
    """Whether the agent must call the same tools with the same arguments as in the recorded call, in any order."""
    judge: str | None = None
    """A question about the call. The answer must be yes for a good call."""
    votes: Annotated[int, Field(ge=1, le=15)] = 3
    min_pass_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    may_be_worse: bool = False
    """Whether `telephony eval` succeeds even if the new agent meets this criterion less often than the baseline (the
    agent to compare with).
    """

    @model_validator(mode="after")
    def _has_one_kind(self) -> Self:
        kinds = [name for name in ("measure", "judge", *_CHECKS) if getattr(self, name)]
        if len(kinds) != 1:
            raise ValueError(
                f"{self.name!r} has {' and '.join(kinds) or 'no kind'}: give exactly one of "
                f"{', '.join(('measure', *_CHECKS, 'judge'))}"
            )
        if self.measure is not None and self.measure not in MEASURES:
            raise ValueError(f"{self.name!r}: {self.measure!r} is no measure; the measures are {', '.join(MEASURES)}")
        if (self.measure is not None) != (self.max is not None or self.min is not None):
            raise ValueError(f"{self.name!r}: `measure` needs `max` or `min`, and only `measure` has them")
        if self.tool is None and (self.arguments or self.result_contains is not None):
            raise ValueError(f"{self.name!r}: `arguments` and `result_contains` belong to `tool`")
        for step in self.order:
            if step.partition(":")[0].strip() not in ("tool", "says", "caller"):
                raise ValueError(f"{self.name!r}: {step!r} is none of `tool: NAME`, `says: WORDS`, `caller: WORDS`")
        return self

    @property
    def family(self) -> Family:
        if self.judge is not None:
            return Family.JUDGED
        return Family.MEASURED if self.measure is not None else Family.CHECKED


class Criteria(BaseModel):
    """All criteria of an eval, with the settings of the statistics."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: Annotated[float, Field(gt=0, lt=1)] = 0.1
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    criterion: Annotated[tuple[Criterion, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [each.name for each in self.criterion]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two criteria have the name {sorted(twice)[0]!r}")
        return self

    def of(self, family: Family) -> list[Criterion]:
        return [each for each in self.criterion if each.family is family]


def parse_criteria(text: str, where: str = "criteria") -> Criteria:
    """Reads criteria from TOML text. Raises `EvalError` with the place and the reason of a problem."""
    try:
        return Criteria.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise EvalError(f"{where} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise EvalError(f"{where}: {problems_of(error)}") from error


def load_criteria(path: Path) -> Criteria:
    """Reads the criteria of an eval from a TOML file. Raises `EvalError` if the file cannot be read or is invalid."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EvalError(f"{path} cannot be read: {error}") from error
    return parse_criteria(text, str(path))


def problems_of(error: ValidationError) -> str:
    """Returns the problems that pydantic found, in one line."""
    return "; ".join(
        " ".join(filter(None, [".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")]))
        for each in error.errors()[:5]
    )
