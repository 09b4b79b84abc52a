"""Endpoints of the simulated Twilio REST API for recordings. https://www.twilio.com/docs/voice/api/recording"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..audio.files import wav_header
from . import resources
from .documented_parameters import Form
from .parameters import Refused
from .rest_forms import not_found, one, page

if TYPE_CHECKING:
    from .account import SimulatedAccount
    from .recordings import Recording

__all__ = ["Recordings"]


class Recordings:
    """The endpoints for the recordings of a simulated Twilio account."""

    def __init__(self, twilio: SimulatedAccount) -> None:
        self._twilio = twilio

    async def list_recordings(self, request: Request, form: Form) -> Response:
        """Returns a list of all recordings of the account, or the recordings of the call in the path."""
        wanted = request.path_params.get("sid") or one(form, "CallSid")
        found = [
            resources.recording(it)
            for call in self._twilio.calls.values()
            for it in call.recordings
            if wanted in ("", call.sid)
        ]
        return page(request, "recordings", found)

    async def create_recording(self, request: Request, form: Form) -> Response:
        call = self._twilio.calls.get(request.path_params["sid"])
        if call is None:
            raise not_found(request)
        if call.status != "in-progress":
            raise Refused(400, 21220, "Requested resource is not eligible for recording")
        events = " ".join(form.get("RecordingStatusCallbackEvent", ()))
        options = {name[0].lower() + name[1:]: values[0] for name, values in form.items()}
        recording = call.record("StartCallRecordingAPI", options | {"recordingStatusCallbackEvent": events})
        return JSONResponse(resources.recording(recording), status_code=201)

    async def fetch_recording(self, request: Request, form: Form) -> Response:
        return JSONResponse(resources.recording(self._recording(request)))

    async def update_recording(self, request: Request, form: Form) -> Response:
        recording = self._recording(request)
        match one(form, "Status"):
            case _ if recording.is_over:
                raise Refused(400, 21220, "The recording is over")
            case "paused":
                recording.pause()
            case "in-progress":
                recording.resume()
            case "stopped":
                recording.stop()
            case status:
                raise Refused(400, 20001, f"Invalid status {status}")
        return JSONResponse(resources.recording(recording))

    async def audio(self, request: Request, form: Form) -> Response:
        """Returns the audio of a completed recording. `form` is not used."""
        for call in self._twilio.calls.values():
            for it in call.recordings:
                if it.sid == request.path_params["recording"] and it.is_over and it.audio:
                    return Response(_wav(bytes(it.audio)), media_type="audio/x-wav")
        raise not_found(request)

    async def delete_recording(self, request: Request, form: Form) -> Response:
        """Deletes a recording. A recording in progress cannot be deleted."""
        for call in self._twilio.calls.values():
            for it in call.recordings:
                if it.sid == request.path_params["recording"]:
                    if not it.is_over:
                        raise Refused(400, 21220, "Requested resource is not eligible for deletion")
                    call.recordings.remove(it)
                    return Response(status_code=204)
        raise not_found(request)

    def _recording(self, request: Request) -> Recording:
        """Returns a recording by its SID. `Twilio.CURRENT` is the recording in progress."""
        call, wanted = self._twilio.calls.get(request.path_params["sid"]), request.path_params["recording"]
        for it in call.recordings if call is not None else ():
            if wanted == it.sid or (wanted == "Twilio.CURRENT" and not it.is_over):
                return it
        raise not_found(request)


def _wav(ulaw: bytes) -> bytes:
    return wav_header(7, 1, 8000, 8, len(ulaw)) + ulaw
