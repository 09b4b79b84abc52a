"""Estimates the cost of an eval before its calls are made, and says it in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from realtime_core.usage import ModalityTokens, Usage

from ..cost import PriceList
from ..journal.reader import read_journal
from ..replay.call import HeardCall
from .call import LIVE
from .cases import Case, CaseKind
from .criteria import Criteria, Family
from .run import ChatSettings

__all__ = ["expected_cost"]

_MODEL = "gpt-realtime"
_PERSONA_S = 90.0
"""The assumed length of a call whose length is not known."""
_IN_PER_S, _OUT_PER_S = 10.0, 20.0
"""Tokens of audio for each second: of the caller, and of the agent's speech (Realtime API, managing costs)."""
_AGENT_SHARE = 0.5
_TURN_S = 10.0
_TOKENS_PER_CALL_TEXT = 1_200


def expected_cost(
    cases: Sequence[Case], criteria: Criteria, model: str, chat: ChatSettings, *, calls: int, repeat: int, sides: int
) -> str:
    """Returns the expected cost of the calls and of the text model, as a sentence."""
    parts = []
    if model == LIVE:
        seconds = sum(_seconds(case) for case in cases) * repeat * sides
        price = PriceList().cost(_MODEL, _usage(seconds, calls))
        parts.append(
            f"about {seconds / 60:.0f} minutes of calls, about "
            + (f"{price:.2f} USD at the prices of {_MODEL}" if price is not None else "an unknown price")
        )
    else:
        parts.append("no cost for the speech model, which is embedded")
    if chat.url is not None:
        votes = sum(each.votes for each in criteria.of(Family.JUDGED)) * calls
        turns = sum(case.kind is CaseKind.PERSONA for case in cases) * repeat * sides * 8
        tokens = (votes + turns) * _TOKENS_PER_CALL_TEXT
        text = PriceList().cost(chat.model, Usage(requests=1, input_tokens=tokens, output_tokens=votes * 80))
        cost = f"about {text:.2f} USD" if text is not None else "a price that is not known"
        parts.append(f"about {votes + turns} requests to {chat.model}, {cost}")
    return f"Expected: {'; '.join(parts)}."


def _seconds(case: Case) -> float:
    if case.kind is not CaseKind.RECORDED:
        return _PERSONA_S
    return HeardCall(lambda: read_journal(case.path)).duration_ms / 1000


def _usage(seconds: float, calls: int) -> Usage:
    """Returns the tokens of the speech model for these calls. Each answer reads the whole earlier conversation again,
    mostly from the cache.
    """
    turns = seconds / calls / _TURN_S if calls else 0.0
    heard = round(seconds * _IN_PER_S * (1 + turns / 2))
    spoken = round(seconds * _AGENT_SHARE * _OUT_PER_S)
    half = round(heard * 0.5)
    return Usage(
        requests=1,
        input_tokens=heard,
        output_tokens=spoken,
        input_tokens_details=ModalityTokens(audio=heard, cached_audio=half, cached_tokens=half),
        output_tokens_details=ModalityTokens(audio=spoken),
    )
