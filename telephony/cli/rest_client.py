"""The clients of Twilio's REST API for commands. If the settings name a collector of traces, each request is written as
a span.

If the environment variable `TRACEPARENT` is set, the spans belong to the trace that the variable names. Programs that
trace the commands they start set it (https://opentelemetry.io/docs/specs/otel/context/env-carriers/).
"""

from __future__ import annotations

from functools import partial

from realtime_core.sources import SYSTEM

from ..env_file import environment
from ..settings import Settings
from ..tracing import Tracing, global_provider, otlp_provider
from ..twilio.rest import TwilioRest
from .errors import at_end

__all__ = ["observed", "rest_client"]


def rest_client(settings: Settings) -> TwilioRest:
    """Returns a client with the credentials of the settings.

    Raises:
        TwilioNotConfigured: there are no credentials.
        SettingsError: traces need an extra that is not installed.
    """
    return observed(TwilioRest.of(settings), settings)


def observed(rest: TwilioRest, settings: Settings) -> TwilioRest:
    """Returns the client `rest`, which from now on writes a trace span for each request if the settings configure
    traces.
    """
    if (tracing := _tracing(settings)) is not None:
        headers = {"traceparent": environment().get("TRACEPARENT", "")}
        rest.on_request = partial(tracing.rest_request, headers=headers)
    return rest


def _tracing(settings: Settings) -> Tracing | None:
    provider, endpoint, ends = global_provider(), settings.otel_exporter_otlp_endpoint, at_end()
    if provider is None and endpoint is not None and ends is not None:
        provider, close = otlp_provider(endpoint)
        ends.callback(close)
    return None if provider is None else Tracing(provider, SYSTEM)
