"""Replaces Twilio in a replay: returns the recorded responses of the REST API, and sends the recorded webhooks."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import errors
from ..call.call import CallInfo
from ..errors import TwilioError
from ..journal.format import Record
from ..twilio.callbacks import CallStatus, DialResult, MachineDetection
from ..twilio.twiml import StreamTarget
from ..urls import as_websocket
from .recording import Recording

if TYPE_CHECKING:
    from ..call.registry import Registry

__all__ = ["RecordedTwilio"]

_SECOND_LEG = "CA" + "0" * 32
_RECORDING = "RE" + "0" * 32
_ADDRESS = "https://recorded.invalid"


class RecordedTwilio:
    """Answers the requests to Twilio's REST API from a recording, in a replay. The class implements `PhoneControl` and
    `CallAddresses`, and sends nothing to Twilio. A request of the recording has its recorded result after its recorded
    duration. Any other request succeeds immediately.
    """

    def __init__(self, recording: Recording) -> None:
        self._answers: defaultdict[str, deque[Record]] = defaultdict(deque)
        for record in recording.rest:
            self._answers[str(record.data.get("action"))].append(record)
        self._leg_id = ""

    # --- PhoneControl

    async def hang_up(self, call_sid: str) -> bool:
        return await self._answer("hang_up") is not False

    async def redirect(self, call_sid: str, twiml: str) -> None:
        await self._answer("redirect")

    async def create_call(self, **options: Any) -> str:
        await self._answer("create_call")
        return _SECOND_LEG

    async def start_recording(self, call_sid: str) -> str:
        return str(await self._answer("start_recording") or _RECORDING)

    async def pause_recording(self, call_sid: str) -> str | None:
        found = await self._answer("pause_recording")
        return None if found is None else str(found)

    async def resume_recording(self, call_sid: str, recording_sid: str) -> bool:
        return await self._answer("resume_recording") is not False

    async def stop_recording(self, call_sid: str, recording_sid: str) -> bool:
        return await self._answer("stop_recording") is not False

    async def _answer(self, action: str) -> Any:
        """Waits for the recorded time, and returns the recorded response to the next request of this kind."""
        if not self._answers[action]:
            return None
        data = self._answers[action].popleft().data
        await asyncio.sleep(float(data.get("ms") or 0.0) / 1000)
        kind = getattr(errors, str(data.get("status")), None)
        if isinstance(kind, type) and issubclass(kind, TwilioError):
            raise kind(str(data.get("error") or "as recorded"), status=data.get("http"), code=data.get("code"))
        return data.get("result")

    # --- CallAddresses

    def stream(self, info: CallInfo) -> StreamTarget:
        return StreamTarget(as_websocket(_ADDRESS), _ADDRESS)

    after_dial = call_status = _ADDRESS

    def leg_key(self, leg_id: str) -> str:
        self._leg_id = leg_id
        return f"{_ADDRESS}/{leg_id}"

    # --- webhooks

    def send(self, registry: Registry, call_sid: str, callback: Mapping[str, Any]) -> None:
        """Sends a recorded webhook of Twilio to the calls of `registry`, for the call with this CallSid."""
        match callback:
            case {"what": "call status", "status": str(status)}:
                registry.call_status(CallStatus(call_sid, status))
            case {"what": "after stream"}:
                registry.stream_end(call_sid)
            case {"what": "leg status", "status": str(status)}:
                registry.call_status(CallStatus(_SECOND_LEG, status))
            case {"what": "leg key", "key": str(key)}:
                registry.leg_key(self._leg_id, key)
            case {"what": "dialled", "status": str(status), "leg": str(leg)}:
                registry.call_status(CallStatus(leg, status, parent_call_sid=call_sid))
            case {"what": "dial", "status": str(status), "leg": str(leg)}:
                registry.dial_ended(DialResult(call_sid, status, leg))
            case {"what": "machine", "answered_by": str(answered_by)}:
                registry.machine_detected(MachineDetection(call_sid, answered_by))
            case {"what": "consent", "answer": str(answer), "by": str(by)}:
                registry.consent_answered(call_sid, answer, by)
            case {"what": "emergency"}:
                registry.emergency(call_sid)
            case {"what": "stop"}:
                registry.stop()
