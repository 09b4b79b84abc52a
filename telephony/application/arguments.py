"""Checks the arguments of `create_app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from realtime_core import RealtimeModel
from realtime_core.sources import Sources

from ..argument_types import Rule, check_types
from ..call.consent import Consent, ConsentSource
from ..call.pacing.policy import CallPolicy
from ..call.screening import Screening
from ..numbers.config import NumbersConfig
from ..settings import Settings
from ..twilio.rest import TwilioRest
from ..versions import Canary
from ..web.routing import by_number

__all__ = ["by_called_number", "check_arguments"]


@runtime_checkable
class _TracerProvider(Protocol):
    """A provider of OpenTelemetry, whose package is an extra."""

    def get_tracer(self, *arguments: Any) -> Any: ...


_RULES: Mapping[str, Rule] = {
    "numbers": (NumbersConfig | Path | str | None, "a NumbersConfig, or the path of a numbers file"),
    "settings": (Settings | None, "a Settings object, such as the result of load_settings()"),
    "model": (RealtimeModel | Callable | None, "a RealtimeModel, or a function that returns one"),
    "model_config": (Mapping | Callable | None, "a mapping, or a function that returns one"),
    "run_config": (Mapping | None, "a mapping"),
    "policy": (CallPolicy | None, "a CallPolicy"),
    "noise_suppression": (bool, "True or False"),
    "data": (Mapping | None, "a mapping"),
    "outgoing": (Mapping | None, "a mapping from names to agents"),
    "consent": (Consent | Mapping | Callable | None, "a Consent, a mapping from called numbers, or a function"),
    "screening": (Screening | None, "a Screening"),
    "canary": (Canary | Mapping | None, "a Canary, or a mapping from called numbers to such values"),
    "on_end": (Callable | None, "a function"),
    "tracer_provider": (_TracerProvider | None, "a TracerProvider of OpenTelemetry"),
    "rest": (TwilioRest | None, "a TwilioRest"),
    "account_rest": (Callable | None, "a function"),
    "agent_loader": (Callable, "a function"),
    "sources": (Sources, "a Sources object"),
}


def check_arguments(given: Mapping[str, object]) -> None:
    """Raises `UserError` if an argument of `create_app` has a wrong type. `given` has the arguments by name. Clips and
    the type of the result have checks of their own.
    """
    check_types("create_app", _RULES, {name: value for name, value in given.items() if name in _RULES})


def by_called_number(consent: ConsentSource | None) -> ConsentSource | None:
    """Returns the consent policies of an application. The called numbers of a mapping are converted to E.164, as Twilio
    writes them. Raises `UserError` for an invalid number, and for a value that is no policy.
    """
    if not isinstance(consent, Mapping):
        return consent
    found = by_number(consent, "consent policy")
    for number, policy in found.items():
        name = f"consent[{number!r}]"
        check_types("create_app", {name: (Consent, "a Consent")}, {name: policy})
    return found
