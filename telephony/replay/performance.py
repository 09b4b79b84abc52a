"""Mode (a): a recording replayed against today's code, both sides recorded, in virtual time.

What it proves: given what came then, the code does today what it did. Nothing is proved about other callers, lines or
answers of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, cast

from realtime_core import OpenAIRealtimeWebSocketModel, RealtimeModel, RealtimeModelConfig, RealtimeRunConfig
from realtime_core.testing import virtual_time
from realtime_core.turns import OurTurns

from ..call.options import AgentSource, CallOptions
from ..call.pacing.policy import CallPolicy
from ..call.pacing.silence_prompts import SilencePolicy
from ..journal.format import Record
from ..journal.memory import MemoryJournal
from .answers import Answers, recorded_agent
from .perturbation import Perturbation
from .placed import open_again, with_recorded_tools
from .recording import Recording
from .repeating import SOME_NUMBER
from .sources import RecordedSources
from .staged import admitted, perform_staged
from .twilio import RecordedTwilio
from .uncollected import uncollected

__all__ = ["Performance", "options_of", "perform_recorded", "source_of"]


@dataclass(slots=True)
class Performance:
    """A call that was made again: its journal."""

    journal: MemoryJournal
    unrecorded: list[tuple[str, str]] = field(default_factory=list)
    """Tool calls for which the recording has no answer."""

    def ours(self) -> Iterator[tuple[int, Record]]:
        """All records but the messages that came in."""
        return self.journal.numbered(lambda kind: kind not in ("twilio.in", "model.in"))


def perform_recorded(
    recording: Recording,
    agent: AgentSource | None = None,
    *,
    perturbation: Perturbation | None = None,
    run_tools: bool = False,
    configure: Callable[[CallOptions], None] | None = None,
    seed: int = 0,
) -> Performance:
    """Replay it. Tools answer from the recording; `run_tools=True` runs the agent's own, with all that they do."""

    perturbation = perturbation or Perturbation(seed=seed)

    async def perform() -> Performance:
        answers = Answers(recording.tools, recording.clips, slower_s=perturbation.slow_tools_s)
        journal = MemoryJournal(masks_digits=recording.header.get("redaction", {}).get("digits", True))
        options = options_of(recording, journal, seed)
        open_again(recording, options)
        source = source_of(recording, agent, answers, run_tools=run_tools)
        await perform_staged(recording, source, options, perturbation, configure)
        return Performance(journal, answers.unrecorded)

    with uncollected():
        return virtual_time.run(perform, seed=seed)


def source_of(recording: Recording, agent: AgentSource | None, answers: Answers, *, run_tools: bool) -> AgentSource:
    """The given agent, or the recorded one, with recorded answers in place of its tools unless these are to run."""
    if agent is None:
        return recorded_agent(recording, answers)
    return with_recorded_tools(recording, agent if run_tools else answers.silenced(agent), answers)


def options_of(recording: Recording, journal: MemoryJournal, seed: int) -> CallOptions:
    """How the call was run then, as far as its header says."""
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
        admit=lambda start: admitted(recording, start),
        sources=RecordedSources(seed, str(recording.header.get("started_at", ""))),
    )
    for name in ("digits_to_model", "reattach_s"):
        if name in config:
            setattr(options, name, config[name])
    if isinstance(policy := config.get("policy"), dict):
        options.policy = _policy(policy)
    twilio = RecordedTwilio(recording)
    options.control = twilio if config.get("has_control") else None
    if config.get("has_way_back", len(recording.streams) > 1):
        options.way_back = twilio
    options.model = _model(recording.model_class.get("turn_policy"))
    options.own_number = SOME_NUMBER if config.get("has_own_number", True) else None
    options.fallback = SOME_NUMBER if config.get("has_fallback") else None
    return options


def _model(policy: Any) -> Callable[[], RealtimeModel] | None:
    """The model with the turn policy that it had; None: with its own."""
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


def _policy(values: dict[str, Any]) -> CallPolicy:
    """What an older or newer version does not know is left at its default."""
    silence = values.get("silence")
    known = {each.name: values[each.name] for each in fields(CallPolicy) if each.name in values}
    if isinstance(silence, dict):
        known["silence"] = SilencePolicy(
            **{each.name: silence[each.name] for each in fields(SilencePolicy) if each.name in silence}
        )
    return CallPolicy(**known)


def _known(values: Any) -> Any:
    """Without what the header could only name: functions and objects."""
    return {name: value for name, value in values.items() if not (isinstance(value, dict) and "$type" in value)}
