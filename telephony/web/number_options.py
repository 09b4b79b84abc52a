"""The agent and the options of a call to a configured number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from realtime_core import RealtimeModelConfig, RealtimeRunConfig
from realtime_core.events import RealtimeAnyEvent
from realtime_core.openai_realtime.model import OpenAIRealtimeWebSocketModel
from realtime_core.openai_realtime.recovery import ReconnectPolicy
from realtime_core.openai_realtime.websocket import TransportConfig

from ..agent_choice import chosen_agent
from ..call.call import Call, CallInfo
from ..call.ending import Ending, EndReason
from ..call.options import AgentSource, CallOptions
from ..call.wording import voice_of
from ..numbers.config import Choice, NumberConfig
from ..numbers.endpoints import CallEndpoints
from ..numbers.ladder import text_in
from ..numbers.languages import LanguageDetector
from ..numbers.policies import ConsentConfig, RecordingConfig
from ..outcomes.call_agent import agent_for_call
from ..tools import transfer
from ..twilio import twiml
from ..versions import Canary
from .addresses import Addresses
from .live_numbers import LiveNumbers, RoutedCall
from .number_book import consent_for

__all__ = ["agent_of", "canary_of", "number_options"]

_SESSION_S = 3.0
"""The time in seconds in which a server of the model must begin the session. After this time the next server is tried.
"""
_FIRST_SESSION_S = 8.0


def number_options(
    numbers: LiveNumbers, call: RoutedCall, base: CallOptions, addresses: Addresses
) -> tuple[AgentSource, CallOptions]:
    """Returns the agent and the options of a call to a configured number. `base` has the options of the application,
    which the number may change.
    """
    number, book = call.number, call.book
    locale = book.locale(call.language)
    on_start, on_end, on_event = [base.on_start], [base.on_end], list(base.on_event)
    options = replace(
        base,
        greeting=_greeting(call) if call.at == 0 else base.greeting,
        run_config=_with_voice(base.run_config, number.voices.get(call.language, number.voice)),
        data={**base.data, **number.variables},
        consent=consent_for(number, book.locales) if _has_consent(number) else base.consent,
        locale=locale,
        control=None if base.control is None else numbers.rest(call) or base.control,
        fallback_twiml=_fallback_twiml(call, addresses),
    )
    if base.model is None:
        endpoints = CallEndpoints(
            numbers.endpoints, number.models, book.config.models, base.model_config, _model_name(base)
        )
        options.model = _model
        options.model_config = RealtimeModelConfig(**{**base.model_config, "transport": endpoints.transport})
        on_end.append(_reports_failures(numbers, endpoints))
    on_start.append(_with_targets(call))
    if Choice.SPEECH in number.choose_language:
        switch = _LanguageSwitch(call)
        on_start.append(switch.start)
        on_event.append(switch.on_event)
        options.beside = switch.run
    options.on_start, options.on_end, options.on_event = _all(on_start), _all(on_end), tuple(on_event)
    return _agent(call, call.step.agent, call.language), options


def canary_of(call: RoutedCall) -> Canary | None:
    """Returns the canary of the called number: the new version of the number's agent, and the percentage of the callers
    who get this version. Returns None if the number has no canary, or if the current step of the call has another
    agent.
    """
    number = call.number
    if number.canary is None or call.step.agent is not number.agent:
        return None
    return Canary(call.book.agent(number.canary), number.canary_percent)


def agent_of(call: RoutedCall, agent: AgentSource) -> AgentSource:
    """Returns a copy of `agent` (or of the function that selects the agent) with the variables and the transfer targets
    of the called number, and with a note about the language of the call.
    """
    number, language = call.number, call.language
    tools = [transfer(warm=number.warm, **number.transfer_targets)] if number.transfer_targets else []
    notes = () if language == number.language == "en" else (call.book.locale(language).instructions["language"],)
    return agent_for_call(agent, number.variables, tools, notes=notes)


def _agent(call: RoutedCall, given: Any, language: str) -> AgentSource:
    number = call.number
    source = call.book.agent(number.agents.get(language, given) if call.step.agent is number.agent else given)
    tools = [transfer(warm=number.warm, **number.transfer_targets)] if number.transfer_targets else []
    notes = (
        () if language == "en" and number.language == "en" else (call.book.locale(language).instructions["language"],)
    )
    return agent_for_call(source, number.variables, tools, notes=notes)


def _has_consent(number: NumberConfig) -> bool:
    """Returns whether the configuration of the number has a consent policy or recording settings. If not, the policy of
    the application applies.
    """
    return number.consent != ConsentConfig() or number.recording != RecordingConfig()


def _greeting(call: RoutedCall) -> str | bytes | None:
    given = call.number.greeting
    if isinstance(given, Path):
        return call.book.greetings[given]
    return text_in(given, call.language) or None


def _with_voice(config: RealtimeRunConfig, voice: str) -> RealtimeRunConfig:
    if not voice:
        return config
    settings = {**config.get("model_settings", {}), "voice": voice}
    return RealtimeRunConfig(**{**config, "model_settings": settings})  # type: ignore[typeddict-item]


def _model_name(base: CallOptions) -> str | None:
    settings = {
        **base.run_config.get("model_settings", {}),
        **base.model_config.get("initial_model_settings", {}),
    }
    name = settings.get("model_name")
    return None if name is None else str(name)


def _model() -> OpenAIRealtimeWebSocketModel:
    return OpenAIRealtimeWebSocketModel(
        reconnect=ReconnectPolicy(first_session_s=_FIRST_SESSION_S),
        transport_config=TransportConfig(session_timeout=_SESSION_S),
    )


def _fallback_twiml(call: RoutedCall, addresses: Addresses) -> Callable[[CallInfo, bool], str | None]:
    """Returns a function that returns the TwiML for a call whose agent cannot continue: the next step of the ladder."""
    place = f"{call.route.ladder}.{call.at + 1}.{call.language}"

    def fallback_twiml(info: CallInfo, apologises: bool) -> str | None:
        if not apologises:
            return twiml.redirect(addresses.ladder(place))
        locale = call.book.locale(call.language)
        return twiml.redirect(addresses.ladder(place), locale.words["hold_the_line"], voice_of(locale))

    return fallback_twiml


def _reports_failures(numbers: LiveNumbers, endpoints: CallEndpoints) -> Callable[[Call], None]:
    """Returns a function for the end of a call. The function reports an endpoint to the circuit breaker if the endpoint
    accepted the call and did not answer.
    """

    def ended(call: Call) -> None:
        ending = Ending.parse(call.ended)
        silent = ending is not None and ending.reason is EndReason.FAILED and ending.detail in _SILENT
        if silent and endpoints.current:
            numbers.endpoints.failed(endpoints.current)

    return ended


_SILENT = ("no answer came", "the model's responses fail")


def _with_targets(routed: RoutedCall) -> Callable[[Call], None]:
    def start(call: Call) -> None:
        call.transfer_targets.update(routed.number.transfer_targets)
        if routed.number.warm:
            call.warm_targets.update(routed.number.transfer_targets)

    return start


def _all(functions: list[Callable[[Call], None]]) -> Callable[[Call], None]:
    def call_all(call: Call) -> None:
        for function in functions:
            function(call)

    return call_all


class _LanguageSwitch:
    """Changes a call to the language that the caller speaks."""

    def __init__(self, routed: RoutedCall) -> None:
        self._routed = routed
        self._detector = LanguageDetector(routed.number.offered, routed.language)
        self._found: asyncio.Queue[str] = asyncio.Queue(8)

    def start(self, call: Call) -> None:
        self._detector.language = call.language

    def on_event(self, event: RealtimeAnyEvent) -> None:
        if event.type == "raw_model_event" and event.data.type == "input_audio_transcription_completed":
            found = self._detector.heard(event.data.transcript, event.data.languages)
            if found is not None and not self._found.full():
                self._found.put_nowait(found)

    async def run(self, call: Call) -> None:
        while True:
            language = await self._found.get()
            routed = self._routed
            routed.speak(language)
            source = _agent(routed, routed.step.agent, language)
            agent = await chosen_agent(source, call.info)
            await call.change_language(routed.book.locale(language), agent)
