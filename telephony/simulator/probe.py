"""Makes a synthetic call to a server, to find out whether the server answers, can be heard, and hears the caller."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from realtime_core.errors import RealtimeCoreError
from realtime_core.sources import SYSTEM, Sources

from ..errors import TelephonyError
from .handset import Handset
from .ringing import ring

__all__ = ["ProbeResult", "probe", "write_metrics"]

_GREETING_S = 8.0
"""The time in seconds after which the probe speaks first. An agent without a greeting waits for the caller."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of a synthetic call. Times are in seconds. A time is None if the event did not happen."""

    first_word_s: float | None = None
    """The time from the start of the call until the caller heard the first sound of the agent."""
    response_s: float | None = None
    """The time from the end of the caller's words until the caller heard the first sound of the answer."""
    error: str = ""

    @property
    def answered(self) -> bool:
        """Whether the caller heard the agent."""
        return self.first_word_s is not None or self.response_s is not None

    @property
    def succeeded(self) -> bool:
        """Whether the caller heard the agent, and the agent answered the caller's words."""
        return self.response_s is not None


async def probe(
    url: str,
    *,
    within_s: float = 30.0,
    auth_token: str | None = None,
    account_sid: str | None = None,
    from_: str = "+14155550100",
    to: str = "+14155550199",
    public_url: str | None = None,
    sources: Sources = SYSTEM,
) -> ProbeResult:
    """Makes a simulated call from `from_` to the number `to`, whose voice webhook is `url`. Says hello, and waits at
    most `within_s` seconds for the agent's answer. Returns the measured times. With `auth_token`, the requests are
    signed as Twilio signs them, for the address `public_url` if it is given. `account_sid` is the account that the
    webhook names (None: a random id).

    Raises no exception: if the call could not be made, the result has an `error`. A sentence that fills the time before
    a late answer ("One moment, please.") also counts as a sound of the agent. `response_s` shows a late answer.
    """
    clock = asyncio.get_running_loop().time
    began, heard = clock(), dict[str, float]()

    async def caller(phone: Handset) -> None:
        try:
            await phone.agent_speaks(within_s=_GREETING_S)
            heard["first_word_s"] = clock() - began
            await phone.agent_silent(1.0)
        except TimeoutError:
            pass
        await phone.say("hello")
        said = clock()
        await phone.agent_speaks(within_s=within_s)
        heard["response_s"] = clock() - said
        phone.hang_up()

    try:
        async with asyncio.timeout(within_s):
            await ring(url, caller, from_=from_, to=to, auth_token=auth_token, account_sid=account_sid,
                       public_url=public_url, sources=sources)  # fmt: skip
        error = "" if "response_s" in heard else "the call ended before the agent answered"
    except TimeoutError:
        what = "did not answer what the caller said" if heard else "was not heard"
        error = f"the agent {what} within {within_s:g} s"
    except (TelephonyError, RealtimeCoreError, OSError) as failure:
        error = str(failure) or type(failure).__name__
    return ProbeResult(heard.get("first_word_s"), heard.get("response_s"), error)


def write_metrics(result: ProbeResult, path: Path, *, now: float) -> None:
    """Writes the result of a synthetic call as metrics to the file `path`, for the textfile collector of Prometheus's
    node_exporter. `now` is Unix time in seconds. The file is replaced atomically.
    """
    values = {
        "success": float(result.succeeded),
        "answered": float(result.answered),
        "first_word_seconds": result.first_word_s,
        "response_seconds": result.response_s,
        "timestamp_seconds": now,
    }
    lines = []
    for name, value in values.items():
        if value is not None:
            lines += [f"# TYPE telephony_probe_{name} gauge", f"telephony_probe_{name} {value:.3f}"]
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
    unfinished.replace(path)
