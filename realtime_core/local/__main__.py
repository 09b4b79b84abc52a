"""Runs the embedded realtime server until it is interrupted: `python -m realtime_core.local`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys

from ..errors import ScriptError
from . import LocalRealtimeServer


async def _serve(server: LocalRealtimeServer) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        print(json.dumps({"listening": server.url, "base_url": server.base_url}), flush=True)  # noqa: T201
        await stop.wait()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m realtime_core.local",
        description="A realtime server on this machine that follows a script. It is not an AI. "
        'When it is ready, it prints one line of JSON: {"listening": URL, "base_url": for OPENAI_BASE_URL}.',
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--script", help="a TOML file, or 'trattoria'; default: try the agent's tools")
    parser.add_argument("--speed", type=float, default=5.0, help="how many times faster than real time audio is sent")
    parser.add_argument(
        "--no-synthesis", action="store_true", help="use only stored speech, even if flite or espeak-ng is installed"
    )
    options = parser.parse_args()
    try:
        server = LocalRealtimeServer(
            options.script,
            host=options.host,
            port=options.port,
            speed=options.speed,
            synthesise=not options.no_synthesis,
        )
        asyncio.run(_serve(server))
    except (ScriptError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
