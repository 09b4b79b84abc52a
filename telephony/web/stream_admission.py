"""Checks the one-time token in the `start` message of each media stream, and admits the stream if the token is
valid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from realtime_core.sources import Sources

from ..call.call_info import TOKEN_PARAMETER, CallInfo
from ..call.leg.next_twiml import StreamEnds
from ..call.registry import Registry
from ..errors import StreamRefused
from ..records.client import RecordsClient
from ..settings import Settings
from ..twilio.callbacks import is_sid
from ..twilio.media_stream import Start
from ..twilio.stream_token import StreamToken, TokenRefused, mint, verify
from .limits import CallLimits, Limits

__all__ = ["StreamAdmission"]

_LIFETIME_S = 60
_CLOCKS_S = 300
"""The additional time in seconds for which a used token is stored, because the clocks of other machines may be late."""
_KIND = "stream token"


class StreamAdmission:
    """Creates stream tokens, and admits the media streams that have a valid token. A stream token is a one-time secret
    that a media stream gets from its TwiML. All processes together accept each token once. While the database cannot be
    reached, each process accepts a token once. Without an auth token in the settings no token is checked, and only
    connections from this machine are admitted (see `Authenticator`).
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        sources: Sources,
        *,
        client: RecordsClient | None = None,
        limits: Limits | None = None,
        calls: StreamEnds | None = None,
    ) -> None:
        self.has_account: Callable[[str], bool] = lambda sid: False
        """A function that returns whether a further Twilio account with this SID is configured."""
        self._settings = settings
        self._registry = registry
        self._sources = sources
        self._limits = limits or Limits(CallLimits(settings.telephony_max_calls))
        self._calls: StreamEnds = calls or registry
        secret = settings.twilio_auth_token or settings.twilio_shared_key_secret
        self._key = None if secret is None else _derive(secret.get_secret_value())
        self._client = client or RecordsClient(sources=sources)

    def parameters(self, call_sid: str) -> dict[str, str]:
        """Returns the parameters that the media stream of this call must have, with a new stream token."""
        if self._key is None:
            return {}
        expires_at = int(self._now()) + _LIFETIME_S
        return {TOKEN_PARAMETER: mint(self._key, StreamToken(call_sid, expires_at, self._sources.token(8)))}

    async def admit(self, start: Start) -> CallInfo:
        """Checks the token in the `start` message of a media stream, and returns the data of its call.

        Raises:
            StreamRefused: an id or the token is invalid, or no more calls are allowed.
        """
        if not is_sid(start.call_sid) or not is_sid(start.stream_sid):
            raise StreamRefused("its CallSid or its StreamSid is not an id of Twilio")
        account = self._settings.twilio_account_sid
        if account is not None and start.account_sid != account and not self.has_account(start.account_sid):
            raise StreamRefused("the stream belongs to another account than TWILIO_ACCOUNT_SID")
        if self._key is not None:
            await self._use_token(self._key, start)
        info = CallInfo.of(start)
        if not self._calls.knows(info.sid):
            self._make_room(info)
        return info

    def _make_room(self, info: CallInfo) -> None:
        """Admits a call that was not announced to this process by a webhook."""
        if self._limits.expects(info.sid):
            return
        if not self._registry.has_room or self._limits.admit(info.sid, info.caller, self._now()) is not None:
            raise StreamRefused("no room for another call")

    def _now(self) -> float:
        return self._sources.now().timestamp()

    async def _use_token(self, key: bytes, start: Start) -> None:
        now = self._now()
        try:
            token = verify(key, start.parameters.get(TOKEN_PARAMETER, ""), call_sid=start.call_sid, now=now)
        except TokenRefused as error:
            raise StreamRefused(str(error)) from None
        lifetime_s = token.expires_at - now + _CLOCKS_S
        if not await self._client.claim(_KIND, f"{token.call_sid}.{token.nonce}", lifetime_s):
            raise StreamRefused("the stream token has been used")


def _derive(auth_token: str) -> bytes:
    """Returns a key for stream tokens. The key is derived from the auth token, so stream tokens reveal nothing about
    Twilio's signatures.
    """
    return hashlib.sha256(b"telephony stream token\0" + auth_token.encode()).digest()
