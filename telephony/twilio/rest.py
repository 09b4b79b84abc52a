"""A client for Twilio's REST API. The client runs Twilio's official client in threads, with time-outs.

The official client is synchronous, and by default waits for a response without a limit. The asynchronous client of the
same library ignores its time-out. If retries are configured, the asynchronous client also repeats a POST request after
a failure, which may call a person twice. Therefore this module runs the synchronous client in `asyncio.to_thread`, with
a time-out and without retries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

import requests
from pydantic import SecretStr
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client
from urllib3.exceptions import NewConnectionError

from ..errors import (
    TwilioError,
    TwilioInvalidState,
    TwilioNotConfigured,
    TwilioNotFound,
    TwilioServerError,
    TwilioTimeout,
    TwilioUnreachable,
    TwimlError,
)
from .callbacks import is_sid
from .resources import Account, Application, CallResource, DialingPermission, PhoneNumber
from .rest_errors import error_of, one_line

__all__ = ["Credentials", "TwilioRest"]

_T = TypeVar("_T")

_EDGES = {"ie1": "dublin", "au1": "sydney"}
"""The edge locations of the regions other than us1. Source:
https://www.twilio.com/docs/global-infrastructure/regional-product-and-feature-availability
"""
MAX_TWIML_CHARS = 4000
"""The maximum length of TwiML in a request, in characters. Twilio refuses longer TwiML (error 32018)."""


class Credentials(Protocol):
    """The settings that a client of Twilio's REST API needs. Implemented by `Settings`."""

    @property
    def twilio_account_sid(self) -> str | None: ...
    @property
    def twilio_auth_token(self) -> SecretStr | None: ...
    @property
    def twilio_api_key(self) -> str | None: ...
    @property
    def twilio_api_secret(self) -> SecretStr | None: ...
    @property
    def telephony_twilio_api_url(self) -> str | None: ...


class TwilioRest:
    """Sends requests to Twilio's REST API. Every method raises only `TwilioError`, or `TwimlError` for TwiML that is
    too long.

    Args:
        account_sid: The SID of the account.
        username: The SID of the account or of an API key.
        password: The auth token, or the secret of the API key.
        base_url: The URL of the API, if the API is not Twilio's (a simulator).
        timeout_s: The time limit of one request, in seconds.
        region: The Twilio region of the account's resources: `us1`, `ie1` or `au1`.
        http: The HTTP client that sends the requests (through a proxy, or to a simulator in memory). The client has its
            own time-out.
    """

    def __init__(
        self,
        account_sid: str,
        username: str,
        password: str,
        *,
        base_url: str | None = None,
        timeout_s: float = 10.0,
        http: TwilioHttpClient | None = None,
        region: str = "us1",
    ) -> None:
        self.on_request: Callable[[str, str, float], None] = lambda action, code, seconds: None
        """A function that is called after each request. Its arguments are the name of the method, `ok` or the code of
        the error, and the duration of the request in seconds.
        """
        self._account_sid = account_sid
        self._timeout_s = timeout_s
        self._http = http or TwilioHttpClient(timeout=timeout_s)
        edge = _EDGES.get(region)
        self._client = Client(
            username, password, account_sid, http_client=self._http, region=region if edge else None, edge=edge
        )
        if base_url is not None:
            self._client.region = self._client.edge = None  # values of the environment would change the host name
            address = base_url.rstrip("/")
            self._client.api.base_url = self._client.voice.base_url = self._client.routes.base_url = address

    @classmethod
    def of(cls, settings: Credentials, http: TwilioHttpClient | None = None) -> TwilioRest:
        """Returns a client with the credentials of the settings. An API key has priority over the auth token.

        Raises:
            TwilioNotConfigured: the settings contain no credentials.
        """
        account = settings.twilio_account_sid
        key, secret, token = settings.twilio_api_key, settings.twilio_api_secret, settings.twilio_auth_token
        base_url = settings.telephony_twilio_api_url
        if account is not None and key is not None and secret is not None:
            return cls(account, key, secret.get_secret_value(), base_url=base_url, http=http)
        if account is not None and token is not None:
            return cls(account, account, token.get_secret_value(), base_url=base_url, http=http)
        raise TwilioNotConfigured("Twilio's REST API is needed but not configured.")

    def close(self) -> None:
        """Closes the open connections to Twilio."""
        if self._http.session is not None:
            self._http.session.close()

    # --- calls ---------------------------------------------------------------------------------------------------

    async def hang_up(self, call_sid: str) -> bool:
        """Ends a call in any state. Returns False if the call had already ended."""
        try:
            await self._ask("hang_up", lambda: self._client.calls(call_sid).update(status="completed"))
        except (TwilioNotFound, TwilioInvalidState):
            return False
        return True

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """Continues a call with other TwiML. If the call has a media stream, the stream ends with a `stop` message."""
        _check_length(twiml)
        await self._ask("redirect", lambda: self._client.calls(call_sid).update(twiml=twiml))

    async def create_call(
        self,
        *,
        to: str,
        from_: str,
        twiml: str | None = None,
        url: str | None = None,
        status_callback: str | None = None,
        machine_detection: Literal["Enable", "DetectMessageEnd"] | None = None,
        amd_callback: str | None = None,
        ring_s: int = 60,
        max_s: int | None = None,
        send_digits: str | None = None,
    ) -> str:
        """Places a call and returns its CallSid. The media stream of the call may start before this method returns.

        Args:
            to: The number to call, in E.164, or a `sip:` or `client:` address.
            from_: A number of the account, or a verified number.
            twiml: The TwiML for the answered call, at most 4,000 characters. With None, Twilio requests the TwiML from
                `url`.
            status_callback: The URL that gets every status (`initiated`, `ringing`, `answered`, `completed`).
            machine_detection: The mode of answering machine detection. `amd_callback` gets the result during the call.
                Without `amd_callback`, the TwiML waits for the result.
            ring_s: The time in seconds for which the phone rings before the call counts as not answered.
            max_s: The maximum length of the call, in seconds.
            send_digits: The keys that are pressed when the call is answered.
        """
        options: dict[str, Any] = {"to": to, "from_": from_, "timeout": ring_s}
        if twiml is not None:
            _check_length(twiml)
            options["twiml"] = twiml
        else:
            options["url"] = url
        if status_callback is not None:
            options["status_callback"] = status_callback
            options["status_callback_event"] = ["initiated", "ringing", "answered", "completed"]
        if machine_detection is not None:
            options["machine_detection"] = machine_detection
            if amd_callback is not None:
                options["async_amd"] = "true"  # a text, because the library would write `True`
                options["async_amd_status_callback"] = amd_callback
        if max_s is not None:
            options["time_limit"] = max_s
        if send_digits is not None:
            options["send_digits"] = send_digits
        return _sid((await self._ask("create_call", lambda: self._client.calls.create(**options))).sid)

    async def call_status(self, call_sid: str) -> str:
        """Returns the status of a call: `queued`, `ringing`, `in-progress`, `completed`, `busy`, `failed`, `no-answer`
        or `canceled`. The status may be older than the last callback.
        """
        return str((await self._ask("call_status", lambda: self._client.calls(call_sid).fetch())).status)

    async def call(self, call_sid: str) -> CallResource:
        """Returns the call with this CallSid. The status of the call may be older than the last callback."""
        return await self._ask("call", lambda: CallResource.of(self._client.calls(call_sid).fetch()))

    async def calls_between(self, from_: str, to: str, *, limit: int = 20) -> list[CallResource]:
        """Returns the last `limit` calls from the number `from_` to the number `to`, the newest first."""
        listing = self._client.calls
        return await self._ask(
            "calls_between", lambda: [CallResource.of(it) for it in listing.list(from_=from_, to=to, limit=limit)]
        )

    async def inbound_calls(self, since: datetime, *, limit: int = 1000) -> list[CallResource]:
        """Returns the inbound calls that began at `since` or later, the newest first. Only the last `limit` calls of
        the account are searched.
        """
        listing = self._client.calls
        found = await self._ask(
            "inbound_calls",
            lambda: [CallResource.of(it) for it in listing.list(start_time_after=since, limit=limit)],
        )
        return [it for it in found if it.direction == "inbound"]

    async def start_recording(self, call_sid: str) -> str:
        """Starts a Twilio recording of a live call, with two channels and without the silence at its ends. Returns the
        SID of the recording. https://www.twilio.com/docs/voice/api/recording#create-a-recording
        """
        recordings = self._client.calls(call_sid).recordings
        made = await self._ask("start_recording", lambda: recordings.create(recording_channels="dual"))
        return _sid(made.sid)

    async def pause_recording(self, call_sid: str) -> str | None:
        """Pauses the Twilio recording of a call that is in progress. The recording contains silence for the pause.
        Returns the SID of the recording, or None if no recording is in progress.
        """
        current = self._client.calls(call_sid).recordings("Twilio.CURRENT")
        try:
            found = await self._ask(
                "pause_recording", lambda: current.update(status="paused", pause_behavior="silence")
            )
        except TwilioNotFound:
            return None
        return str(found.sid)

    async def resume_recording(self, call_sid: str, recording_sid: str) -> bool:
        """Continues a paused recording of a call. Returns False if the recording has ended."""
        recording = self._client.calls(call_sid).recordings(recording_sid)
        try:
            await self._ask("resume_recording", lambda: recording.update(status="in-progress"))
        except (TwilioNotFound, TwilioInvalidState):
            return False
        return True

    async def stop_recording(self, call_sid: str, recording_sid: str) -> bool:
        """Stops a recording of a call and deletes it. Returns False if the recording does not exist."""
        recording = self._client.calls(call_sid).recordings(recording_sid)
        try:
            try:
                await self._ask("stop_recording", lambda: recording.update(status="stopped"))
            except TwilioInvalidState:  # the recording has already ended
                pass
            await self._ask("stop_recording", self._client.recordings(recording_sid).delete)
        except TwilioNotFound:
            return False
        return True

    async def delete_recordings(self, call_sid: str) -> int:
        """Deletes all Twilio recordings of a call. Returns the number of deleted recordings."""
        recordings = self._client.recordings
        found = await self._ask("delete_recordings", lambda: recordings.list(call_sid=call_sid, limit=1000))
        for each in found:
            await self._ask("delete_recordings", each.delete)
        return len(found)

    async def recording_audio(self, recording_sid: str) -> bytes:
        """Returns the audio of a completed recording, as WAV: https://www.twilio.com/docs/voice/api/recording"""
        path = f"/2010-04-01/Accounts/{self._account_sid}/Recordings/{recording_sid}.wav"
        return await self._ask("recording_audio", lambda: self._fetch(path))

    def _fetch(self, path: str) -> bytes:
        session, api = self._http.session or requests.Session(), self._client.api
        auth = (str(self._client.username), str(self._client.password))
        answer = session.get(api.absolute_url(path), auth=auth, timeout=self._timeout_s)
        if answer.status_code == 404:
            raise TwilioNotFound("The recording is not there.", status=404)
        if not answer.ok:
            raise TwilioServerError("The recording could not be fetched.", status=answer.status_code)
        return bytes(answer.content)

    # --- conferences ---------------------------------------------------------------------------------------------

    async def conference_sid(self, name: str) -> str | None:
        """Returns the SID of the active conference with this name, or None."""
        listing = self._client.conferences
        found = await self._ask(
            "conference_sid", lambda: listing.list(friendly_name=name, status="in-progress", limit=1)
        )
        return str(found[0].sid) if found else None

    async def add_participant(
        self, conference: str, *, to: str, from_: str, label: str | None = None, end_on_exit: bool = False
    ) -> str:
        """Calls the number `to` from the number `from_`, and adds the callee to a conference (given by its SID or
        name). `label` is a name for the participant. With `end_on_exit`, the conference ends when the participant
        leaves. Returns the CallSid of the new call.
        """
        options: dict[str, Any] = {"to": to, "from_": from_, "end_conference_on_exit": end_on_exit, "beep": "false"}
        if label is not None:
            options["label"] = label
        participants = self._client.conferences(conference).participants
        return _sid((await self._ask("add_participant", lambda: participants.create(**options))).call_sid)

    async def update_participant(
        self, conference_sid: str, call_sid: str, *, hold: bool | None = None, muted: bool | None = None
    ) -> None:
        """Puts a participant of a conference on hold or ends the hold (`hold`), and mutes or unmutes the participant
        (`muted`). None changes nothing.
        """
        options = {name: value for name, value in (("hold", hold), ("muted", muted)) if value is not None}
        participant = self._client.conferences(conference_sid).participants(call_sid)
        await self._ask("update_participant", lambda: participant.update(**options))

    async def remove_participant(self, conference_sid: str, call_sid: str) -> bool:
        """Removes a participant from a conference, which ends the call of the participant. Returns False if the
        participant had already left.
        """
        try:
            await self._ask(
                "remove_participant", lambda: self._client.conferences(conference_sid).participants(call_sid).delete()
            )
        except TwilioNotFound:
            return False
        return True

    # --- what is configured at Twilio ----------------------------------------------------------------------------

    async def account(self) -> Account:
        found = await self._ask("account", lambda: self._client.api.accounts(self._account_sid).fetch())
        return Account(str(found.sid), str(found.status), str(found.type).lower() == "trial")

    async def phone_number(self, number: str) -> PhoneNumber | None:
        """Returns the number `number` (E.164) of the account, or None if the account does not have this number."""
        listing = self._client.incoming_phone_numbers
        found = await self._ask(
            "phone_number", lambda: [PhoneNumber.of(it) for it in listing.list(phone_number=number, limit=1)]
        )
        return found[0] if found else None

    async def phone_numbers(self) -> list[PhoneNumber]:
        """Returns all numbers of the account."""
        listing = self._client.incoming_phone_numbers
        return await self._ask("phone_numbers", lambda: [PhoneNumber.of(it) for it in listing.list(limit=1000)])

    async def region(self, number: str) -> str:
        """Returns the region in which Twilio handles the calls to the number. The client must use the region `us1`.
        https://www.twilio.com/docs/global-infrastructure/inbound-processing-region-api-phone-number
        """
        found = await self._ask("region", lambda: self._client.routes.v2.phone_numbers(number).fetch())
        return str(found.voice_region or "us1")

    async def set_region(self, number: str, region: str) -> None:
        """Sets the region in which Twilio handles the calls to the number. The change takes effect within five
        minutes.
        """
        context = self._client.routes.v2.phone_numbers(number)
        await self._ask("set_region", lambda: context.update(voice_region=region))

    async def application(self, sid: str) -> Application:
        """Returns the TwiML application with this SID."""
        found = await self._ask("application", lambda: self._client.applications(sid).fetch())
        return Application(str(found.sid), found.friendly_name or "", found.voice_url or "")

    async def verified_numbers(self) -> list[str]:
        """Returns the verified numbers of the account. A trial account may call only verified numbers."""
        listing = self._client.outgoing_caller_ids
        return [str(it.phone_number) for it in await self._ask("verified_numbers", lambda: listing.list(limit=1000))]

    async def dialing_permission(self, country: str) -> DialingPermission:
        """Returns the permission of the account to call this country (ISO 3166, two letters)."""
        countries = self._client.voice.v1.dialing_permissions.countries
        found = await self._ask("dialing_permission", lambda: countries(country).fetch())
        return DialingPermission(found.name or country, bool(found.low_risk_numbers_enabled))

    async def set_voice_webhook(
        self,
        number_sid: str,
        *,
        url: str,
        method: str,
        fallback_url: str,
        fallback_method: str,
        application_sid: str,
        status_callback: str,
        status_callback_method: str,
    ) -> None:
        """Sets the voice webhook (`url`), the fallback webhook and the status callback of a number. Each `method` is
        the HTTP method of its URL. A TwiML application (`application_sid`) has priority over the URLs.
        """
        number = self._client.incoming_phone_numbers(number_sid)
        await self._ask(
            "set_voice_webhook",
            lambda: number.update(
                voice_url=url,
                voice_method=method,
                voice_fallback_url=fallback_url,
                voice_fallback_method=fallback_method,
                voice_application_sid=application_sid,
                status_callback=status_callback,
                status_callback_method=status_callback_method,
            ),
        )

    # -------------------------------------------------------------------------------------------------------------

    async def _ask(self, action: str, request: Callable[[], _T]) -> _T:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            result = await self._asked(request)
        except TwilioError as error:
            self.on_request(action, str(error.code or error.status or type(error).__name__), clock() - began)
            raise
        self.on_request(action, "ok", clock() - began)
        return result

    async def _asked(self, request: Callable[[], _T]) -> _T:
        try:
            async with asyncio.timeout(self._timeout_s * 2):  # the timeout of the client restarts with each byte
                return await asyncio.to_thread(request)
        except TimeoutError:
            raise TwilioTimeout(f"Twilio did not respond within {2 * self._timeout_s:g} s.") from None
        except requests.ConnectTimeout as error:
            raise TwilioUnreachable(f"Twilio could not be reached: {error}") from error
        except requests.Timeout as error:
            raise TwilioTimeout(f"Twilio did not respond within {self._timeout_s:g} s.") from error
        except requests.ConnectionError as error:
            raise _broken(error) from error
        except TwilioException as error:
            raise error_of(error) from error
        except (requests.RequestException, ValueError, AttributeError, KeyError, TypeError) as error:
            # the library reads fields of any JSON value, also of a list
            raise TwilioServerError(f"Twilio's response could not be read: {one_line(error)}") from error


def _sid(given: object) -> str:
    """Returns the SID in a response. Raises `TwilioServerError` if there is none, because the request may have been
    executed.
    """
    if isinstance(given, str) and is_sid(given):
        return given
    raise TwilioServerError("Twilio's response has no SID.")


def _broken(error: requests.ConnectionError) -> TwilioError:
    """Returns the exception for a connection that failed before or during the request."""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(cause, NewConnectionError):  # a failed DNS lookup is one of these
        return TwilioUnreachable("Twilio could not be reached.")
    return TwilioTimeout("The connection to Twilio broke before it answered.")


def _check_length(twiml: str) -> None:
    if len(twiml) > MAX_TWIML_CHARS:
        raise TwimlError(
            f"This TwiML has {len(twiml)} characters; Twilio accepts {MAX_TWIML_CHARS} in a request (32018)."
        )
