"""The endpoints of models, with a circuit breaker for each endpoint.

A call tries the endpoints of its number in order each time its model connects: at the start of the call, and after a
lost connection. Therefore a conversation continues at the second endpoint if the first endpoint fails.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from realtime_core import RealtimeModelConfig
from realtime_core.connection import Close, Connection, MessageHandler
from realtime_core.connection.wrapper import ConnectionWrapper
from realtime_core.errors import ConnectFailed, RealtimeCoreError
from realtime_core.openai_realtime.defaults import DEFAULT_MODEL
from realtime_core.openai_realtime.endpoint import resolve_endpoint
from realtime_core.openai_realtime.websocket import TransportConfig, websocket_transport

from .breaker import BreakerState, CircuitBreaker
from .config import ModelEndpoint

__all__ = ["CallEndpoints", "Endpoints"]

log = logging.getLogger(__name__)

HANDSHAKE_S = 2.0
"""The maximum time in seconds for the handshake with a model endpoint. After this time the next endpoint is tried."""
_PATIENCE_S = 1.5
"""The time in seconds after which an endpoint without a session counts as failed. If the call ends earlier, the caller
hung up, and the endpoint has not failed.
"""
_CREATED = '"session.created"'
_Transport = Callable[[str, Mapping[str, str]], Any]


class Endpoints:
    """The circuit breakers of all model endpoints by name. The breakers keep their state when the configuration is
    reloaded.
    """

    def __init__(self) -> None:
        self._breakers: dict[str, CircuitBreaker] = {}

    def breaker(self, name: str) -> CircuitBreaker:
        return self._breakers.setdefault(name, CircuitBreaker())

    def may_try(self, names: Sequence[str]) -> bool:
        """Returns whether a new call may use at least one of the model endpoints with these names now."""
        now = asyncio.get_running_loop().time()
        return any(self.breaker(name).may_try(now) for name in names)

    def states(self) -> dict[str, BreakerState]:
        now = asyncio.get_running_loop().time()
        return {name: breaker.state(now) for name, breaker in self._breakers.items()}

    def failed(self, name: str) -> None:
        """Counts a failure of the model endpoint with this name, because a call failed on it. After some failures in a
        row, new calls do not use the endpoint for some time (see `CircuitBreaker`).
        """
        breaker, now = self.breaker(name), asyncio.get_running_loop().time()
        was_open = breaker.state(now) is not BreakerState.CLOSED
        breaker.failed(now)
        if not was_open and breaker.state(now) is not BreakerState.CLOSED:
            log.error("The model's endpoint %s fails. New calls do not use it until it works again.", name)

    def succeeded(self, name: str) -> None:
        breaker = self.breaker(name)
        if breaker.state(asyncio.get_running_loop().time()) is not BreakerState.CLOSED:
            log.warning("The model's endpoint %s works again.", name)
        breaker.succeeded()


class CallEndpoints:
    """The endpoints of models that one call may use, in order of preference. `transport` opens each connection to the
    model: it tries the first endpoint, and the next ones if the first does not work.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        names: Sequence[str],
        models: Mapping[str, ModelEndpoint],
        main: RealtimeModelConfig,
        model_name: str | None,
    ) -> None:
        self.current = ""
        """The endpoint of the last connection."""
        self._endpoints = endpoints
        self._names = tuple(names)
        self._models = models
        self._main = main
        self._model_name = model_name
        self._began = False
        self._failed: dict[str, None] = {}
        """The endpoints that failed in this call, in the order of their last failure."""

    async def transport(self, url: str, headers: Mapping[str, str]) -> Connection:
        """Connects to the first endpoint that works. Endpoints that failed earlier in this call are tried last. Returns
        the connection.

        Raises:
            ConnectFailed: no endpoint works, or no endpoint may be tried now.
        """
        now = asyncio.get_running_loop().time
        failure: RealtimeCoreError = ConnectFailed("No endpoint of the model may be tried now: all of them fail.")
        for name in self._order():
            breaker = self._endpoints.breaker(name)
            if not breaker.may_try(now()) and name != self.current:
                continue
            breaker.tries(now())
            self.current = name
            try:
                return _ObservedConnection(await self._connect(name, url, headers), partial(self._result, name))
            except RealtimeCoreError as error:
                log.warning("The model's endpoint %s cannot be reached: %s", name, error)
                self.failed(name)
                failure = error
        if isinstance(failure, ConnectFailed):
            # At the start of a call, the caller does not wait for a second attempt. During a call, any endpoint may
            # work again, even an endpoint that refused earlier.
            failure.status = None if self._began else 404
        raise failure

    def failed(self, name: str) -> None:
        self._failed.pop(name, None)
        self._failed[name] = None
        self._endpoints.failed(name)

    def _order(self) -> list[str]:
        fresh = [name for name in self._names if name not in self._failed]
        return [*fresh, *(name for name in self._failed if name in self._names)]

    def _result(self, name: str, ok: bool) -> None:
        if ok:
            self._began = True
            self._endpoints.succeeded(name)
        else:
            self.failed(name)

    async def _connect(self, name: str, url: str, headers: Mapping[str, str]) -> Connection:
        """Connects to one endpoint. `url` and `headers` come from the settings, with the changes of the application for
        this call.
        """
        given: _Transport | None = self._main.get("transport")
        transport = given or websocket_transport(TransportConfig(handshake_timeout=HANDSHAKE_S))
        if (endpoint := self._models.get(name)) is not None:
            options = RealtimeModelConfig(api_key=os.environ.get(endpoint.api_key_env, ""))
            if base_url := endpoint.base_url or self._main.get("base_url"):
                options["base_url"] = base_url
            address = await resolve_endpoint(options, endpoint.model or self._model_name, DEFAULT_MODEL, os.environ)
            url, headers = address.url, address.headers
        connection: Connection = await transport(url, headers)
        return connection


class _ObservedConnection(ConnectionWrapper):
    """A connection that reports whether its session began, and whether the connection broke."""

    def __init__(self, connection: Connection, report: Callable[[bool], None]) -> None:
        super().__init__(connection)
        self._report = report
        self._closes = False
        self._clock = asyncio.get_running_loop().time
        self._since = self._clock()

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._closes = True
        self.inner.close(code, reason)

    async def run(self, on_message: MessageHandler) -> Close:
        began = False

        def take(message: str | bytes) -> None:
            nonlocal began
            if not began and _CREATED in str(message[:200]):
                began = True
                self._report(True)
            on_message(message)

        try:
            close = await super().run(take)
        except asyncio.CancelledError:
            if not began and self._clock() - self._since >= _PATIENCE_S:
                self._report(False)
            raise
        if not self._closes:
            if not began or close.code != 1000:
                self._report(False)
        elif not began and self._clock() - self._since >= _PATIENCE_S:
            self._report(False)
        return close
