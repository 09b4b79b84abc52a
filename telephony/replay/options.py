"""The options of a replayed call, taken from the header of the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, cast

from realtime_core import OpenAIRealtimeWebSocketModel, RealtimeModel, RealtimeModelConfig, RealtimeRunConfig
from realtime_core.sources import Sources
from realtime_core.turn_policy import OurTurns

from ..call.call import CallInfo
from ..call.consent import Consent
from ..call.options import CallOptions
from ..call.pacing.policy import CallPolicy
from ..call.pacing.silence_prompts import SilencePolicy
from ..call.screening import Emergency, Screening
from ..call.simulation import Simulation
from ..journal.memory import MemoryJournal
from ..locales.locale import SHIPPED, shipped
from ..outbound.opening import Opening
from ..outbound.plan import CallPlan
from ..twilio import media_stream
from .recording import Recording
from .request_player import SOME_NUMBER
from .twilio import RecordedTwilio

__all__ = ["call_info", "options_of", "replay_opening"]


def options_of(recording: Recording, journal: MemoryJournal, seed: int) -> CallOptions:
    """Returns the options with which the recorded call is replayed. `journal` gets the records of the replay, and
    `seed` is its random seed. Options that are not in the journal's header have their defaults.
    """
    config = recording.config
    model_config = RealtimeModelConfig(url="ws://recorded", api_key="recorded")
    if settings := _known((config.get("model_config") or {}).get("initial_model_settings") or {}):
        model_config["initial_model_settings"] = settings
    options = CallOptions(
        greeting=_greeting(recording, config.get("greeting")),
        ambience=_clip(recording, config.get("ambience")),
        model_config=model_config,
        run_config=cast("RealtimeRunConfig", _known(config.get("run_config") or {})),
        journal=lambda info: journal,
        admit=lambda start: call_info(recording, start),
        sources=RecordedSources(seed, str(recording.header.get("started_at", ""))),
        simulation=Simulation(),
        transcribes_supervisors=False,
    )
    for name in ("digits_to_model", "noise_suppression", "reattach_s"):
        if name in config:
            setattr(options, name, config[name])
    if isinstance(policy := config.get("policy"), dict):
        options.policy = _policy(policy)
    if isinstance(consent := config.get("consent"), dict):
        options.consent = _consent(recording, consent)
    if isinstance(screening := config.get("screening"), dict):
        options.screening = _screening(recording, screening)
    twilio = RecordedTwilio(recording)
    options.control = twilio if config.get("has_control") else None
    if config.get("has_way_back", len(recording.streams) > 1):
        options.addresses = twilio
    options.model = _model(recording.model_class.get("turn_policy"))
    options.own_number = SOME_NUMBER if config.get("has_own_number", True) else None
    options.fallback = SOME_NUMBER if config.get("has_fallback") else None
    if (language := config.get("language")) in SHIPPED:
        options.locale = shipped(language)
    return options


def call_info(recording: Recording, start: media_stream.Start) -> CallInfo:
    """Returns the data of the recorded call, such as its numbers, from `start`, the first message of its media stream.
    The direction of the call comes from the journal's header.
    """
    return replace(CallInfo.of(start), direction=str(recording.header.get("direction") or "inbound"))


def replay_opening(recording: Recording, options: CallOptions) -> None:
    """Changes the options so that the replay of an outgoing call detects again who answers. Twilio's machine detection
    gives its recorded results. Does nothing for an inbound call.
    """
    placed = recording.config.get("placed")
    if not isinstance(placed, dict):
        return
    opening = Opening(CallPlan.from_journal(placed))
    options.placed = placed
    opening.attach(options)
    loop = asyncio.get_running_loop()
    for t, answered_by in recording.verdicts:
        loop.call_later(t, opening.verdict, answered_by)


def _model(policy: Any) -> Callable[[], RealtimeModel] | None:
    """Returns a function that returns a model with the recorded turn policy, or None if the default model has this
    policy.
    """
    match policy:
        case {"type": "OurTurns", "minimum_speech_s": float(minimum_s), "silence_s": float(silence_s)}:
            duck_db = policy.get("duck_db")
            return lambda: OpenAIRealtimeWebSocketModel(
                turn_policy=OurTurns(minimum_s, silence_s=silence_s, duck_db=duck_db)
            )
    return None


def _greeting(recording: Recording, greeting: Any) -> str | bytes | None:
    return greeting if isinstance(greeting, str) else _clip(recording, greeting)


def _clip(recording: Recording, named: Any) -> bytes | None:
    return recording.clips.get(str(named.get("clip"))) if isinstance(named, dict) else None


def _consent(recording: Recording, values: dict[str, Any]) -> Consent:
    """Returns the recorded consent policy. The journal does not contain the number for transfers."""
    known = {each.name: values[each.name] for each in fields(Consent) if each.name in values}
    lines = [(str(line.get("text") or ""), line.get("clip")) for line in values.get("lines") or ()]
    heard = [recording.clips.get(str(clip), text) if clip else text for text, clip in lines]
    notice = heard[-1] if len(heard) > bool(values.get("discloses_ai")) else None
    disclosure = heard[0] if values.get("discloses_ai") and heard else None
    texts = {"notice": notice, "disclosure": disclosure, "text": lines[-1][0] if lines else ""}
    return Consent(**{**known, **texts, "transfer_to": SOME_NUMBER})


def _screening(recording: Recording, values: dict[str, Any]) -> Screening:
    """Returns the recorded screening rules that apply during a call."""
    emergency = None
    if isinstance(given := values.get("emergency"), dict):
        line = given.get("line") or ""
        words = line if isinstance(line, str) else _clip(recording, line) or ""
        number = SOME_NUMBER if given.get("transfers") else ""
        emergency = Emergency(number, words, given.get("phrases") or ["\0"])
    return Screening(silent_s=values.get("silent_s"), emergency=emergency)


def _policy(values: dict[str, Any]) -> CallPolicy:
    """Returns the recorded call policy. Fields that are not in the journal have their defaults."""
    silence = values.get("silence")
    known = {each.name: values[each.name] for each in fields(CallPolicy) if each.name in values}
    if isinstance(silence, dict):
        known["silence"] = SilencePolicy(
            **{each.name: silence[each.name] for each in fields(SilencePolicy) if each.name in silence}
        )
    return CallPolicy(**known)


def _known(values: Any) -> Any:
    """Returns the values without functions and objects, because the header contains only the types of these values."""
    return {name: value for name, value in values.items() if not (isinstance(value, dict) and "$type" in value)}


class RecordedSources(Sources):
    """The source of ids and dates in a replay. The ids come from a random seed. The dates are those of the recorded
    call. A random waiting time, for example before a new attempt to connect, is always the shortest possible time. The
    recorded message that follows then comes at its recorded time.
    """

    def __init__(self, seed: int, started_at: str) -> None:
        super().__init__(seed)
        self.random = _MinimumRandom(seed)
        self._began = asyncio.get_running_loop().time()
        try:
            self._started_at: datetime | None = datetime.fromisoformat(started_at)
        except ValueError:
            self._started_at = None

    def now(self) -> datetime:
        if self._started_at is None:
            return super().now()
        return self._started_at + timedelta(seconds=asyncio.get_running_loop().time() - self._began)


class _MinimumRandom(Random):
    def uniform(self, a: float, b: float) -> float:
        return min(a, b)
