"""The list of the HTTP and WebSocket routes of the application."""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount, Route, Router, WebSocketRoute

from ..console.routes import routes as console_routes
from ..web import callbacks, error_responses, health, ladder, media_streams, outgoing, webhooks
from ..web.calls_api import create_call, end_call, fetch_call, list_calls
from ..web.campaigns_api import campaign_routes

__all__ = ["routes"]


def routes() -> list[BaseRoute]:
    """Returns all HTTP and WebSocket routes of the application. The routes under `/i/INSTANCE` are for Twilio and the
    console, to reach one particular process of several.
    """
    return [
        *_for_twilio(),
        Mount("/i/{instance}", _routes_of_an_instance()),
        Route("/calls", list_calls),
        Route("/calls", create_call, methods=["POST"]),
        Route("/calls/{id}", fetch_call),
        Route("/calls/{id}", end_call, methods=["DELETE"]),
        *campaign_routes(),
        Route("/healthz", health.healthz),
        Route("/readyz", health.readyz),
        Route("/metrics", health.metrics),
        *console_routes(),
    ]


def _routes_of_an_instance() -> Router:
    return Router(
        [*_for_twilio(), *console_routes()],
        default=error_responses.unknown_path,
        redirect_slashes=False,
    )


def _for_twilio() -> list[BaseRoute]:
    both = ["GET", "POST"]
    return [
        Route("/incoming-call", webhooks.incoming_call, methods=both),
        Route("/after-stream", webhooks.after_stream, methods=both),
        Route("/after-dial", webhooks.after_dial, methods=both),
        Route("/leg-key/{leg}", webhooks.leg_key, methods=both),
        Route("/call-status", callbacks.call_status, methods=both),
        Route("/stream-status", callbacks.stream_status, methods=both),
        Route("/amd-status", callbacks.amd_status, methods=both),
        Route("/ladder/{place}", ladder.ladder_step, methods=both),
        Route("/ladder/{place}/{what}", ladder.ladder_step, methods=both),
        Route("/language/{place}", ladder.chosen_language, methods=both),
        Route("/voicemail/{place}/{what}", ladder.voicemail_callback, methods=both),
        Route("/outgoing-answer/{token}", outgoing.outgoing_call, methods=both),
        Route("/outgoing-status/{token}", outgoing.outgoing_status, methods=both),
        Route("/outgoing-machine/{token}", outgoing.outgoing_machine, methods=both),
        WebSocketRoute("/media-stream", media_streams.media_stream),
    ]
