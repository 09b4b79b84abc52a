"""Implements `telephony probe`: a synthetic call that shows whether a server answers and the agent can be heard."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..text_encoding import visible
from .errors import FAILED, USAGE, CliError, reporting

__all__ = ["probe"]


def probe(
    url: Annotated[
        str | None, typer.Argument(help="The voice webhook. [PUBLIC_URL/incoming-call]", show_default=False)
    ] = None,
    within: Annotated[float, typer.Option(min=1, help="How long the call may take, in seconds.")] = 30.0,
    caller: Annotated[str, typer.Option("--from", help="The number of the synthetic caller.")] = "+14155550100",
    called: Annotated[
        str | None, typer.Option("--to", help="The called number. [TWILIO_PHONE_NUMBER]", show_default=False)
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Write the result to this file, for Prometheus's textfile collector.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Call a running server as Twilio does, say hello, and listen. Exit code 0 means that the agent was heard and
    answered.

    For the server the call is real: the call uses the model, and has a call record. The webhook and the stream are
    signed with TWILIO_AUTH_TOKEN. Twilio is not involved in the call.
    """
    import asyncio

    from realtime_core.sources import SYSTEM

    from ..settings import load_settings
    from ..simulator.probe import probe as call
    from ..simulator.probe import write_metrics

    with reporting(verbose=False):
        settings = load_settings()
        if url is None:
            if settings.public_url is None:
                raise CliError("There is no address to call.", "Give one, or set PUBLIC_URL.", code=USAGE)
            url = f"{settings.public_url}/incoming-call"
        token = settings.twilio_auth_token
        result = asyncio.run(
            call(
                url,
                within_s=within,
                auth_token=None if token is None else token.get_secret_value(),
                account_sid=settings.twilio_account_sid,
                from_=caller,
                to=called or settings.twilio_phone_number or "+14155550199",
                public_url=settings.public_url,
            )
        )
        if metrics is not None:
            write_metrics(result, metrics, now=SYSTEM.now().timestamp())
        if json:
            typer.echo(jsonlib.dumps({**asdict(result), "succeeded": result.succeeded}))
        elif result.succeeded:
            greeting = "" if result.first_word_s is None else f"first word after {result.first_word_s:.1f} s, "
            typer.echo(f"The call was answered and heard: {greeting}answer after {result.response_s:.1f} s.")
        else:
            typer.echo(f"The call failed: {visible(result.error.rstrip('.'))}.", err=True)
        if not result.succeeded:
            raise typer.Exit(FAILED)
