"""Implements `telephony simulate`, a simulated Twilio as a process of its own."""

from __future__ import annotations

import asyncio
import json as jsonlib

import typer

from telephony.simulator import callees, callers
from telephony.simulator.twilio import OWN_NUMBER, SimulatedTwilio
from telephony.twilio.numbers import e164, tidy

from .errors import USAGE, CliError

__all__ = ["run_simulator"]

_HEADER = """\
# A simulated Twilio on this machine. No real call is made. Set these variables, and a PUBLIC_URL on this machine like
# http://127.0.0.1:8000, in the environment of your server. Ctrl-C ends the simulation."""


def run_simulator(
    *,
    port: int,
    account_sid: str | None,
    auth_token: str | None,
    voice_url: str | None,
    callee: list[str],
    ring: str | None,
    calls_per_second: float,
    json: bool,
) -> None:
    """Simulates Twilio until SIGINT or SIGTERM. If `ring` names a simulated caller, this caller makes one call to the
    number of the simulated account, and the result is printed. With `json`, prints JSON lines.

    `port` is the port of the REST API, 0 for any free port. `account_sid` and `auth_token` are the credentials that the
    REST API accepts (None: created at random). `calls_per_second` is the maximum rate of outgoing calls. `voice_url` is
    the voice webhook of the number of the simulated account. `callee` has the callees of outgoing calls, such as
    `voicemail`, or `+14155550123=voicemail` for one number. Raises `CliError` for `ring` without `voice_url`.
    """
    if ring is not None and not voice_url:
        raise CliError(
            "The number of the application has no webhook.",
            "Add --voice-url http://127.0.0.1:8000/incoming-call.",
            code=USAGE,
        )
    at = dict(_at_number(text) for text in callee)

    async def main() -> None:
        twilio = SimulatedTwilio(
            account_sid=account_sid, auth_token=auth_token, calls_per_second=calls_per_second, port=port
        )
        async with twilio:
            twilio.add_number(OWN_NUMBER, voice_url=voice_url or "")
            twilio.callees |= {number: found for number, found in at.items() if number}
            twilio.default_callee = at.get("", twilio.default_callee)
            if ring is not None:
                call = await twilio.ring(to=OWN_NUMBER, caller=callers.find(ring))
                _show(json, call=call.sid, status=call.status, seconds=call.duration_s, warnings=call.warnings)
                return
            if not json:
                typer.echo(_HEADER)
            _show(
                json,
                TELEPHONY_TWILIO_API_URL=twilio.base_url,
                TWILIO_ACCOUNT_SID=twilio.account_sid,
                TWILIO_AUTH_TOKEN=twilio.auth_token,
                TWILIO_PHONE_NUMBER=OWN_NUMBER,
            )
            await _log_forever(twilio, json)

    asyncio.run(main())


def _at_number(text: str) -> tuple[str, callees.Callee]:
    """Parses `+14155550123=voicemail`: a number and its callee. Without a number, the callee is used for all other
    numbers.
    """
    number, equals, name = text.rpartition("=")
    if equals and not number.startswith("+"):
        raise CliError(f"{text!r} has no callee.", "Write +14155550123=voicemail, or voicemail for all.", code=USAGE)
    try:
        return (e164(number) if number else ""), callees.find(tidy(name))
    except ValueError as error:
        raise CliError(f"--callee {text!r}: {error}.", code=USAGE) from None


async def _log_forever(twilio: SimulatedTwilio, json: bool) -> None:
    while True:
        while twilio.log_lines:
            line = twilio.log_lines.popleft()
            typer.echo(jsonlib.dumps({"log": line}) if json else line)
        await asyncio.sleep(0.1)


def _show(json: bool, **fields: object) -> None:
    if json:
        typer.echo(jsonlib.dumps(fields))
    else:
        for name, value in fields.items():
            typer.echo(f"{name}={value}")
