"""Simulates answering machine detection, with the result and the delay that the callee sets.

https://www.twilio.com/docs/voice/answering-machine-detection
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from .callees import Callee
from .ports import Leg

__all__ = ["detect", "starts_before_detection"]


def starts_before_detection(options: Mapping[str, Any]) -> bool:
    """Returns whether the TwiML of the call starts without waiting for the result of the answering machine detection.
    `options` are the parameters of the request that created the call. The TwiML also starts immediately if the call has
    no such detection.
    """
    return (
        options.get("AsyncAmd") == "true"
        or "AmdStatusCallback" in options  # a parameter of participants and of <Number>
        or "MachineDetection" not in options
    )


async def detect(call: Leg, callee: Callee | None) -> None:
    """Simulates machine detection: sets `answered_by` of the call and sends the callback, if the call has answering
    machine detection.
    """
    options = call.options
    mode = options.get("MachineDetection")
    if mode is None or callee is None:
        return
    loop = asyncio.get_running_loop()
    start = loop.time()
    call.answered_by = await _verdict(call, callee, mode)
    name = "AsyncAmdStatusCallback" if "AsyncAmd" in options else "AmdStatusCallback"
    if starts_before_detection(options) and (url := options.get(name)):
        form = {
            "CallSid": call.sid,
            "AccountSid": call.twilio.account_sid,
            "AnsweredBy": call.answered_by,
            "MachineDetectionDuration": str(round((loop.time() - start) * 1000)),
        }
        call.twilio.notify(call, url, form, options.get(f"{name}Method", "POST"), event="amd")


async def _verdict(call: Leg, callee: Callee, mode: str) -> str:
    verdict = callee.answered_by
    try:
        async with asyncio.timeout(float(call.options.get("MachineDetectionTimeout") or 30)):
            if verdict.startswith("machine_end") and mode == "DetectMessageEnd":
                await call.phone.beeped.wait()
                return verdict
            await asyncio.sleep(callee.verdict_after_s)
            return "machine_start" if verdict.startswith("machine") and mode == "Enable" else verdict
    except TimeoutError:
        return "unknown"
