"""`python -m telephony.simulator ring URL`: runs a simulated caller as a process. The caller calls the server whose
webhook for incoming calls is `URL` (`http://HOST:PORT/incoming-call`). A `ws:` URL is connected without a webhook.

With `--json`, each line of the output is an object. The first object is `started`: the SIDs of the call and of the
stream, the quality of the simulated line (delays and jitter, drawn at random with a seed), the seed, and `clock`.
`clock` is the monotonic clock at the start of the stream, which all processes of a machine share. The other objects are
the events of `telephony.simulator.events`.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from realtime_core.errors import RealtimeCoreError

from ..audio.files import write_ulaw
from ..errors import TelephonyError
from . import callers
from .events import AudioReceived, Event, as_dict
from .line import Line
from .peer import MediaPeer
from .ringing import ring as ring_server

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def main() -> None:
    """Simulates Twilio on this machine."""


@app.command()
def ring(
    url: Annotated[str, typer.Argument(help="The webhook, http://HOST:PORT/incoming-call, or a ws: address.")],
    caller: Annotated[str, typer.Option(help="demo, visitor, patient, FILE.toml or module:function.")] = "demo",
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    heard: Annotated[Path | None, typer.Option(help="Write what the caller heard to this WAV file.")] = None,
    from_: Annotated[str, typer.Option("--from")] = "+14155550100",
    to: Annotated[str, typer.Option()] = "+14155550199",
    auth_token: Annotated[str | None, typer.Option(help="Sign requests with this token.")] = None,
    public_url: Annotated[str | None, typer.Option(help="The server's own PUBLIC_URL, if it has one.")] = None,
    round_trip_ms: Annotated[float, typer.Option(help="The network's round trip.")] = 0.0,
    jitter_ms: Annotated[float, typer.Option(help="Extra delay of each message, up to this.")] = 0.0,
    rough: Annotated[bool, typer.Option("--rough", help="A line with delay, jitter, stalls and drift.")] = False,
    seed: Annotated[int | None, typer.Option(help="The seed of the line.")] = None,
) -> None:
    """Call a server, talk and hang up."""
    line = Line.rough(seed=seed) if rough else _line(round_trip_ms, jitter_ms, seed)

    def started(peer: MediaPeer) -> None:
        drawn = {name: value for name, value in asdict(line).items() if name != "seed"}
        _print(
            {
                "event": "started",
                "call_sid": peer.call_sid,
                "stream_sid": peer.stream_sid,
                "seed": line.seed,
                "line": drawn,
                "clock": asyncio.get_running_loop().time(),
            },
            json,
        )

    def happened(event: Event) -> None:
        if json or not isinstance(event, AudioReceived):
            _print(as_dict(event), json)

    async def call() -> MediaPeer:
        return await ring_server(
            url,
            callers.find(caller),
            line=line,
            from_=from_,
            to=to,
            auth_token=auth_token,
            public_url=public_url,
            on_start=started,
            on_event=happened,
        )

    try:
        peer = asyncio.run(call())
        if heard is not None:
            write_ulaw(heard, peer.heard)
    except (TelephonyError, RealtimeCoreError, OSError) as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _line(round_trip_ms: float, jitter_ms: float, seed: int | None) -> Line:
    line = Line(round_trip_s=round_trip_ms / 1000, jitter_s=jitter_ms / 1000)
    return line if seed is None else replace(line, seed=seed)


def _print(fields: dict[str, Any], json: bool) -> None:
    if json:
        typer.echo(jsonlib.dumps(fields))
    else:
        t = fields.pop("t", 0.0)
        typer.echo(f"{t:9.3f}  {fields.pop('event'):15} " + " ".join(f"{key}={value}" for key, value in fields.items()))


if __name__ == "__main__":
    app()
