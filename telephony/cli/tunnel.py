"""Gets a public URL for this machine from an installed tunnel program: cloudflared or ngrok."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from typing import IO

from .errors import CliError

__all__ = ["tunnel"]

_READY_S = 30.0
_PROGRAMS = {
    "cloudflared": (
        ("tunnel", "--no-autoupdate", "--url", "http://127.0.0.1:{port}"),
        re.compile(r"https://[a-z0-9-]+\.trycloudflare\.com"),
    ),
    "ngrok": (
        ("http", "{port}", "--log", "stdout", "--log-format", "logfmt"),
        re.compile(r"(?<=\burl=)https://[a-z0-9.-]+"),
    ),
}
"""The arguments of each program, and the pattern of the URL in the output of the program."""


@contextmanager
def tunnel(port: int) -> Iterator[str]:
    """Yields an https URL that leads to this port of the machine, during this block. Raises `CliError` if no tunnel can
    be opened.
    """
    name = next((name for name in _PROGRAMS if shutil.which(name)), None)
    if name is None:
        raise CliError(
            "PUBLIC_URL is not set, and neither cloudflared nor ngrok is installed.",
            "Install one of them, or set PUBLIC_URL to an https address that leads to this machine.",
        )
    arguments, address = _PROGRAMS[name]
    process = subprocess.Popen(  # noqa: S603
        [name, *(argument.format(port=port) for argument in arguments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,  # Ctrl-C must not end the tunnel before the calls
    )  # fmt: skip
    assert process.stdout is not None
    found: Queue[str] = Queue()
    reader = threading.Thread(target=_read, args=(process.stdout, address, found), name="tunnel", daemon=True)
    reader.start()
    try:
        try:
            url = found.get(timeout=_READY_S)
        except Empty:
            url = ""
        if not url.startswith("https://"):
            raise CliError(
                f"{name} printed no address. Its last line: {url or 'nothing'}",
                f"Run it by itself to see why: {name} --help",
            )
        yield url
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(1)
        process.stdout.close()


def _read(output: IO[str], address: re.Pattern[str], found: Queue[str]) -> None:
    """Reads the output of the program to its end, so the program never blocks. If the program ends early, the last line
    is the error.
    """
    line = ""
    for line in output:
        if match := address.search(line):
            found.put(match[0])
    found.put(line.strip())
