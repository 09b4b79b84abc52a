"""Describes the cost of an eval in a sentence: the expected cost before the calls, and the actual cost after the
calls.
"""

from __future__ import annotations

from collections.abc import Sequence

from realtime_core.usage import ModalityTokens, Usage

from ..cost import PriceList
from ..journal.reader import read_journal
from ..replay.call import HeardCall
from .call import LIVE
from .cases import Case, CaseKind
from .comparison import CallResult
from .criteria import Criteria, Family
from .run import ChatSettings
from .text_model_usage import TextModelUsage

__all__ = ["actual_cost", "expected_cost"]

_MODEL = "gpt-realtime"
_PERSONA_S = 90.0
"""The assumed length in seconds of a call whose length is not known."""
_IN_PER_S, _OUT_PER_S = 10.0, 20.0
"""The number of audio tokens per second: of the caller's audio, and of the agent's speech (Realtime API, managing
costs).
"""
_AGENT_SHARE = 0.5
_TURN_S = 10.0
_PERSONA_TURNS = 8
_TOKENS_IN, _TOKENS_OUT = 1_200, 80
"""The number of input and output tokens of one request to the text model."""


def expected_cost(
    cases: Sequence[Case], criteria: Criteria, model: str, chat: ChatSettings, *, calls: int, repeat: int, sides: int
) -> str:
    """Returns a sentence with the expected cost of an eval: of the speech model and of the text model. `sides` is the
    number of agents that are called, `repeat` is the number of calls of each case for each side, and `calls` is the
    number of all calls.
    """
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
        turns = sum(case.kind is CaseKind.PERSONA for case in cases) * repeat * sides * _PERSONA_TURNS
        if votes + turns:
            spent = TextModelUsage(votes + turns, (votes + turns) * _TOKENS_IN, (votes + turns) * _TOKENS_OUT)
            parts.append(f"about {_requests(turns, votes)} to {chat.model}, {_price(spent, chat)}")
    return f"Expected: {'; '.join(parts)}."


def actual_cost(calls: Sequence[CallResult], judged: TextModelUsage, model: str, chat: ChatSettings) -> str:
    """Returns the cost of the calls of an eval as a sentence: the speech model, and the text model that plays the
    callers and judges the calls. `judged` has the requests and tokens of the judge.
    """
    parts = []
    if model == LIVE:
        costs = [call.evidence.measures.get("cost_usd") for call in calls]
        known = [cost for cost in costs if cost is not None]
        unknown = len(costs) - len(known)
        parts.append(f"speech model {sum(known):.2f} USD{f' (not known for {unknown} calls)' if unknown else ''}")
    else:
        parts.append("no cost for the speech model, which is embedded")
    if chat.url is not None:
        played = sum((call.texts for call in calls), TextModelUsage())
        parts.append(f"{_requests(played.requests, judged.requests)} to {chat.model}, {_price(played + judged, chat)}")
    return f"Cost: {'; '.join(parts)}."


def _requests(personas: int, judge: int) -> str:
    return f"{personas + judge} requests ({personas} of personas, {judge} of the judge)"


def _price(spent: TextModelUsage, chat: ChatSettings) -> str:
    usage = Usage(requests=spent.requests, input_tokens=spent.input_tokens, output_tokens=spent.output_tokens)
    price = PriceList(base_url=chat.url).cost(chat.model, usage) if spent.input_tokens else None
    tokens = f"{spent.input_tokens} tokens in and {spent.output_tokens} out"
    return f"{tokens}, {f'{price:.2f} USD' if price is not None else 'at a price that is not known'}"


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
