"""The calls of `telephony certify`: the actions of each end, and the checks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from .call_checks import Check, check_clear, check_frames, check_marks, heard_times, test_sound
from .leg import Leg
from .server import CertifiedCall, CertifyServer

__all__ = ["SCENARIOS", "Scenario", "ScenarioCall", "names"]

_ANSWER_S = 20.0
_SETTLE_S = 0.5
_KEYS_THERE, _KEYS_BACK = "159", "074"
_EVENTS = ("initiated", "ringing", "in-progress", "completed")


class ScenarioCall:
    """One placed call of a scenario. The methods do what a scenario needs: wait for both ends, hang up one end, or
    redirect one end.
    """

    def __init__(
        self,
        call: CertifiedCall,
        server: CertifyServer,
        *,
        hang_up: Callable[[str], Awaitable[object]],
        redirect: Callable[[str, str], Awaitable[object]],
        silence_s: float,
    ) -> None:
        self.call = call
        self.near: Leg = call.near
        self.far: Leg = call.far
        self.server = server
        self.silence_s = silence_s
        self._hang_up = hang_up
        self._redirect = redirect

    async def both(self) -> bool:
        """Waits until both ends of the call have a media stream. Returns whether this happened in time."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self.near.attached.wait()
                await self.far.attached.wait()
        except TimeoutError:
            return False
        await asyncio.sleep(_SETTLE_S)
        return True

    async def hang_up(self, leg: Leg) -> None:
        if leg.call_sid:
            await self._hang_up(leg.call_sid)

    async def redirect(self, leg: Leg, twiml: str) -> None:
        await self._redirect(leg.call_sid, twiml)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One call of `telephony certify`. `run` carries out the actions of both ends in the placed call, and returns the
    results of the checks. `near_twiml` is the TwiML for the end that calls, and `far_twiml` is the TwiML for the called
    end. In each, `{stream}` stands for the TwiML that opens the media stream of this end. `detects` is True if Twilio's
    machine detection is on. `minutes` is the maximum length of the call, from which the cost is estimated.
    """

    name: str
    run: Callable[[ScenarioCall], Awaitable[list[Check]]]
    near_twiml: str = "{stream}"
    far_twiml: str = "{stream}"
    detects: bool = False
    minutes: int = 1


async def _line(placed: ScenarioCall) -> list[Check]:
    """Checks the codec, the timestamps, the jitter, the delay before playback starts, and the marks."""
    near, far = placed.near, placed.far
    await near.mark("probe")
    await asyncio.sleep(_SETTLE_S)
    await near.play(test_sound(2.0))
    await asyncio.sleep(3.0)
    return [*check_frames(near.trace), *check_marks(near.trace, far.trace)]


async def _barge_in(placed: ScenarioCall) -> list[Check]:
    """Checks a call in which the far end speaks during a long sound. The near end clears the sound."""
    near, far = placed.near, placed.far
    await near.play(test_sound(5.0))
    if not await far.until_loud(1.2, 5.0):
        return [Check("clear", False, "the other end heard nothing")]
    await far.play(test_sound(0.4))
    await near.until_loud(0.04, 3.0)
    await near.clear()
    await asyncio.sleep(2.5)
    return check_clear(near.trace, far.trace, 5.0)


async def _digits(placed: ScenarioCall) -> list[Check]:
    """Checks a call in which each end sends keys to the other end."""
    await placed.far.until_keys(len(_KEYS_THERE), 5.0)
    placed.call.far_twiml = f"<Play digits='{_KEYS_BACK}'/>{{stream}}"
    await placed.far.close()  # Twilio then asks for the next TwiML
    await placed.near.until_keys(len(_KEYS_BACK), 5.0)
    there = "".join(key for _, key in placed.far.trace.keys)
    back = "".join(key for _, key in placed.near.trace.keys)
    return [
        Check("digits to the far end", there == _KEYS_THERE, f"pressed {_KEYS_THERE}, heard {there or 'nothing'}"),
        Check("digits to the near end", back == _KEYS_BACK, f"pressed {_KEYS_BACK}, heard {back or 'nothing'}"),
    ]


async def _reattach(placed: ScenarioCall) -> list[Check]:
    """Checks a call in which the near end closes its media stream, and gets another stream."""
    near, loop = placed.near, asyncio.get_running_loop()
    dropped = loop.time()
    await near.close()
    await near.stopped.wait()
    try:
        async with asyncio.timeout(10):
            await near.attached.wait()
    except TimeoutError:
        return [Check("reattach", False, "no new stream came within 10 s")]
    took = near.trace.started_at - dropped
    await near.play(test_sound(0.5))
    await asyncio.sleep(1.5)
    heard = heard_times(placed.far.trace) is not None
    return [Check("reattach", heard, f"a new stream came after {took:.2f} s", "", {"reattach_s": round(took, 3)})]


async def _transfer(placed: ScenarioCall) -> list[Check]:
    """Checks a call in which the near end is redirected, as in a transfer, and returns."""
    near, loop = placed.near, asyncio.get_running_loop()
    began, streams = loop.time(), near.trace.streams
    placed.call.near_twiml = "<Pause length='1'/>{stream}"
    await placed.redirect(near, placed.server.document("near"))
    try:
        async with asyncio.timeout(10):
            await near.stopped.wait()
            stopped = loop.time() - began
            while near.trace.streams == streams:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        return [Check("transfer", False, "the stream did not stop, or no other one came")]
    return [Check("transfer", True, f"the stream stopped {stopped:.2f} s after the redirect, and another one came")]


async def _machine(placed: ScenarioCall) -> list[Check]:
    """Checks a call in which a voicemail answers at the far end."""
    async with asyncio.timeout(45):
        while not placed.call.verdict:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    verdict = placed.call.verdict
    right = verdict.startswith("machine")
    return [Check("machine detection", right, f"a voicemail was taken for {verdict}", "" if right else "AMD wrong")]


async def _silence(placed: ScenarioCall) -> list[Check]:
    """Checks a call in which both ends are silent."""
    before = len(placed.near.trace.frames)
    await asyncio.sleep(placed.silence_s)
    came = len(placed.near.trace.frames) - before
    expected = placed.silence_s * 50
    fine = abs(came - expected) <= max(5, expected * 0.02)
    return [Check("silence", fine, f"{came} frames came in {placed.silence_s:.0f} s; {expected:.0f} are expected")]


async def _far_end_hangs_up(placed: ScenarioCall) -> list[Check]:
    """Checks a call in which the far end hangs up."""
    began = asyncio.get_running_loop().time()
    await placed.hang_up(placed.far)
    return [await _stops(placed.near, began, "hang-up of the other end")]


async def _near_end_hangs_up(placed: ScenarioCall) -> list[Check]:
    """Checks a call in which the near end hangs up by a request to the REST API."""
    began = asyncio.get_running_loop().time()
    await placed.hang_up(placed.near)
    return [await _stops(placed.near, began, "hang-up by the API")]


async def _stops(leg: Leg, began: float, name: str) -> Check:
    try:
        async with asyncio.timeout(10):
            await leg.stopped.wait()
    except TimeoutError:
        return Check(name, False, "the stream did not stop within 10 s")
    took = (leg.trace.stopped_at or began) - began
    return Check(name, True, f"the stream stopped after {took:.2f} s", "", {"stop_s": round(took, 3)})


async def _both_speak(placed: ScenarioCall) -> list[Check]:
    """Checks a call in which both ends speak at the same time. Each end must hear only the other end. Returns the
    results.
    """
    await asyncio.gather(placed.near.play(test_sound(1.0)), placed.far.play(test_sound(1.0, first=5)))
    await asyncio.sleep(2.0)
    heard = [heard_times(leg.trace) is not None for leg in (placed.near, placed.far)]
    return [
        Check("both directions", all(heard), "both ends heard the other one" if all(heard) else "one heard nothing")
    ]


_MACHINE = "<Pause length='1'/><Say>We are not here. Please leave a message.</Say><Record maxLength='5'/>"

SCENARIOS: Sequence[Scenario] = (
    Scenario("line", _line),
    Scenario("barge-in", _barge_in),
    Scenario("both", _both_speak),
    Scenario(
        "digits",
        _digits,
        f"<Pause length='3'/><Play digits='{_KEYS_THERE}'/>{{stream}}",
    ),
    Scenario("reattach", _reattach),
    Scenario("transfer", _transfer),
    Scenario("machine", _machine, "{stream}", _MACHINE, detects=True),
    Scenario("silence", _silence),
    Scenario("far hangs up", _far_end_hangs_up),
    Scenario("near hangs up", _near_end_hangs_up),
)


def names() -> list[str]:
    return [scenario.name for scenario in SCENARIOS]


def check_statuses(name: str, statuses: Sequence[str]) -> Check:
    """Checks that all four status callbacks of a call arrived: initiated, ringing, in-progress and completed.
    `statuses` are the statuses that arrived, and `name` is the name of the check. Returns the result of the check.
    """
    missing = [event for event in _EVENTS if event not in statuses]
    return Check(
        f"status callbacks of `{name}`", not missing,
        f"missing: {', '.join(missing)}" if missing else "all four came",
        "callbacks lost" if missing else "",
    )  # fmt: skip


def check_signatures(signed: dict[str, list[bool]]) -> list[Check]:
    """Checks that Twilio signed each request. `signed` has, for each kind of request, whether each signature was valid
    for the address that Twilio was given. Returns the results of the checks.
    """
    return [
        Check(
            f"signatures of {kind}s", all(results), f"{sum(results)} of {len(results)} were signed for their address",
            "" if all(results) else "signatures over another URL",
        )
        for kind, results in sorted(signed.items())
    ]  # fmt: skip
