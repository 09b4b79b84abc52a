"""Simulates a Twilio account with its REST API.

```python
async with SimulatedTwilio(account_sid="AC...", auth_token="...") as twilio:
    client = Client("AC...", "...")             # the official client
    client.api.base_url = twilio.base_url       # our setting: TELEPHONY_TWILIO_API_URL
    twilio.callees["+14155550123"] = callees.voicemail()
    twilio.add_number("+14155550199", voice_url="http://127.0.0.1:8000/incoming-call")
    call = await twilio.ring(to="+14155550199", caller=callers.demo)
```

All requests stay on this machine. Requests to other addresses are refused, except for addresses that `reach` maps to
this machine.

The simulation runs over real sockets in real time. With `in_memory=True` it needs no sockets. In virtual time,
`in_memory=True` is the default, and nothing else changes:

```python
async def main() -> None:
    async with SimulatedTwilio() as twilio, twilio.serving(app) as address:
        twilio.add_number("+14155550199", voice_url=f"{address}/incoming-call")
        client = Client(twilio.account_sid, twilio.auth_token, http_client=twilio.http_client())
        call = await twilio.ring(caller=callers.demo)

virtual_time.run(main)                          # or @pytest.mark.virtual_time
```
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self

from starlette.types import ASGIApp
from twilio.http.http_client import TwilioHttpClient

from ..errors import UndocumentedRequest
from .account import OWN_NUMBER, SimulatedAccount
from .rest_api import rest_api

__all__ = ["OWN_NUMBER", "SimulatedTwilio"]


class SimulatedTwilio(SimulatedAccount):
    """A Twilio account with its REST API, which is served during an `async with` block. `SimulatedAccount` describes
    the arguments.
    """

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        self.base_url = await self._stack.enter_async_context(self.links.serve(rest_api(self), port=self.port))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the calls in progress, and sends the callbacks that are due."""
        await self.close()
        await self._stack.aclose()
        self.links.close()
        if self.undocumented and exc is None:
            raise UndocumentedRequest(self.undocumented)

    def serving(self, app: ASGIApp) -> AbstractAsyncContextManager[str]:
        """Serves an application that uses this simulated Twilio: `async with twilio.serving(app) as address`."""
        return self.links.serve(app)

    def http_client(self, timeout_s: float = 10.0) -> TwilioHttpClient:
        """Returns an HTTP client for the official Twilio client. Its requests go to this simulated Twilio. Its
        `session` must be closed after use.
        """
        return self.links.http_client(timeout_s)
