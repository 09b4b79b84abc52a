"""Implements `telephony certify`, which checks the behaviour of Twilio's media streams with ten calls between two of
the user's numbers.
"""

from __future__ import annotations

import json as jsonlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telephony.env_file import environment

from .errors import FAILED, USAGE, CliError, reporting

if TYPE_CHECKING:
    from ..certify.runner import Certificate
    from ..settings import Settings

__all__ = ["certify"]


def certify(
    from_: Annotated[str | None, typer.Option("--from", help="Your number that makes the calls.")] = None,
    to: Annotated[str | None, typer.Option(help="Your number that is called.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the report to this .html file, and to a .json file next to it.")
    ] = None,
    silence: Annotated[
        float, typer.Option(min=1, max=120, help="The time in seconds for which both sides of a call are silent.")
    ] = 20.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the calls.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Make ten calls between two of your numbers, and compare Twilio's media streams with the simulation. The calls
    cost money. With TELEPHONY_SIMULATE=1 the calls are simulated.
    """
    with reporting(verbose=False):
        simulate = environment().get("TELEPHONY_SIMULATE", "").strip() not in ("", "0")
        found = _simulated(silence, json) if simulate else _real(from_, to, silence, yes=yes, json=json)
        report = found.to_json()
        if output is not None:
            _write(output, report)
        if json:
            typer.echo(jsonlib.dumps(report, indent=1))
        else:
            _show(found)
        if not found.passed:
            raise typer.Exit(FAILED)


def _simulated(silence_s: float, json: bool) -> Certificate:
    from realtime_core.testing import virtual_time

    from ..certify.simulated import certify_simulated

    async def main() -> Certificate:
        return await certify_simulated(silence_s=silence_s, on_progress=_progress(json))

    return virtual_time.run(main, seed=1)


def _real(from_: str | None, to: str | None, silence_s: float, *, yes: bool, json: bool) -> Certificate:
    import asyncio

    from ..certify.runner import cost_usd
    from ..certify.scenarios import SCENARIOS
    from ..settings import load_settings
    from ..twilio.numbers import e164

    variables = environment()
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "PUBLIC_URL"):
        if not variables.get(name):
            raise CliError(f"certify needs {name}.", "TELEPHONY_SIMULATE=1 tries it on this machine.")
    if not from_ or not to:
        raise CliError("certify needs two of your numbers.", "Write --from +14155550100 --to +14155550101.", code=USAGE)
    try:
        from_, to = e164(from_), e164(to)
    except ValueError as error:
        raise CliError(f"{error}.", code=USAGE) from None
    if from_ == to:
        raise CliError("The two numbers are the same.", "Name another one with --to.", code=USAGE)
    ask = f"{len(SCENARIOS)} calls from {from_} to {to} cost at most {cost_usd():.2f} USD by Twilio's list prices."
    typer.echo(f"{ask} The webhook of {to} is changed for these calls, and then restored.", err=True)
    if not yes and not typer.confirm("Make the calls?", err=True):
        raise CliError("No call was made.")
    return asyncio.run(_make_calls(load_settings(), from_, to, silence_s, json))


async def _make_calls(settings: Settings, from_: str, to: str, silence_s: float, json: bool) -> Certificate:
    from realtime_core.sources import SYSTEM

    from ..certify.runner import run_calls
    from ..certify.server import CertifyServer
    from ..twilio.number_webhooks import NumberWebhooks, VoiceWebhook
    from ..web.server import listening
    from .rest_client import rest_client

    assert settings.public_url is not None
    assert settings.twilio_auth_token is not None
    server = CertifyServer(settings.public_url, settings.twilio_auth_token.get_secret_value(), SYSTEM.token(16))
    rest = rest_client(settings)
    webhooks = NumberWebhooks(rest)
    try:
        async with listening(server.app, host=settings.host, port=settings.port):
            saved = await webhooks.set(to, VoiceWebhook(server.address("far")))
            try:
                return await run_calls(
                    server, rest, from_=from_, to=to, simulated=False, silence_s=silence_s, on_progress=_progress(json)
                )  # fmt: skip
            finally:
                await webhooks.restore(saved)
    finally:
        rest.close()


def _progress(json: bool) -> Callable[[str], None]:
    def progress(name: str) -> None:
        if not json:
            typer.echo(f"call: {name}", err=True)

    return progress


def _show(found: Certificate) -> None:
    for check in found.checks:
        typer.echo(f"{'passed' if check.passed else 'FAILED':<7} {check.name}: {check.detail}")
    for each in found.suspects:
        typer.echo(f"deviation: {each}")
    for proposal in found.to_json()["proposals"]:
        typer.echo(f"proposal: {proposal}")
    if found.simulated:
        typer.echo("These calls were simulated. They say nothing about the real Twilio.")


def _write(output: Path, report: dict[str, object]) -> None:
    from ..certify.report import page

    try:
        for path, text in ((output, page(report)), (output.with_suffix(".json"), jsonlib.dumps(report, indent=1))):
            with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise CliError(f"{error.filename or output}: {error.strerror}.", "Set another file with --output.") from error
