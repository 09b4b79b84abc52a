"""The embedded server with the OpenAI Realtime protocol, for tests and demos. Connects each session's state machine
(`Conversation`) to sockets, timers and threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from ..connection import Connection
from ..connection.memory import Faults, memory_pair
from ..connection.websocket import WebSocketConnection, WebSocketServer, serve
from ..deadline_timer import DeadlineTimer
from ..model import RealtimeModelConfig
from ..sources import SYSTEM, Sources
from ..testing import virtual_time
from .conversation import Conversation, HangUp
from .improviser import Improviser
from .reply import Director
from .script import Script, builtin_script, load_script
from .script_director import ScriptDirector
from .transcription import Transcription
from .voice import Voice

__all__ = ["LocalRealtimeServer"]

_BASE = "/v1"
_PATH = f"{_BASE}/realtime"
_MAX_MESSAGE_BYTES = 32 * 2**20
"""The maximum size of a message in bytes. The size allows an append of 15 MiB of audio in base64."""


class LocalRealtimeServer:
    """A server with the OpenAI Realtime protocol that needs no key, no network and no model. The object is an async
    context manager.

    ```python
    async with LocalRealtimeServer() as server:
        session = await RealtimeRunner(agent).run(model_config=server.model_config)
    ```

    `script` is a `Script`, the path of a TOML file, or the name of a script in the package (`"trattoria"`);
    without a script the server greets, tries the agent's tools and reacts to keys (`improviser`).

    With `in_memory=True`, there is no socket. This is the default in the event loop of
    `realtime_core.testing.virtual_time`. `model_config` then has a `transport` that connects in memory (with `faults`
    in each direction), and everything works in virtual time. Audio is sent at `speed` times real time.

    Text without stored speech is built from stored words, and from humming for other words. With `synthesise=True`
    flite or espeak-ng speaks such text, if one of these programs is on PATH. Transcripts always have the full text.

    `director` makes the decisions of each session, in place of a script.

    Raises `ScriptError` for an invalid script.
    """

    def __init__(
        self,
        script: Script | str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        in_memory: bool | None = None,
        speed: float = 5.0,
        sources: Sources = SYSTEM,
        faults: Faults | None = None,
        synthesise: bool = False,
        director: Callable[[], Director] | None = None,
    ) -> None:
        self.script = _find_script(script)
        self._director = director
        self._host = host
        self._port = port
        self._in_memory = virtual_time.is_running() if in_memory is None else in_memory
        self._speed = speed
        self._sources = sources
        self._faults = faults
        self._voice = _voice(synthesise)
        self._sessions = 0
        self._transcriptions = 0
        self._listening: WebSocketServer | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._connections: set[Connection] = set()
        self._check_clips()

    @property
    def url(self) -> str:
        """The WebSocket address: `ws://127.0.0.1:<port>/v1/realtime`. `?model=...` names the session's model.
        `?intent=transcription` opens a transcription session.
        """
        return f"ws://{self._authority}{_PATH}"

    @property
    def base_url(self) -> str:
        """The HTTP address of the server, for the environment variable `OPENAI_BASE_URL` of a client."""
        return f"http://{self._authority}{_BASE}"

    @property
    def _authority(self) -> str:
        if self._in_memory:
            return "in-memory"
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    @property
    def port(self) -> int:
        if self._listening is None:
            raise RuntimeError("The embedded server has an address only within `async with`, and not in memory.")
        return self._listening.port

    @property
    def model_config(self) -> RealtimeModelConfig:
        """The model configuration for a session with this server."""
        if self._in_memory:
            return {"url": self.url, "api_key": "local", "transport": self._connect}
        return {"url": self.url, "api_key": "local"}

    async def __aenter__(self) -> Self:
        if self._in_memory:
            self._tasks = asyncio.TaskGroup()
            await self._tasks.__aenter__()
        else:
            server = serve(
                self._handle,
                self._host,
                self._port,
                process_request=_only_realtime,
                max_message_bytes=_MAX_MESSAGE_BYTES,
            )
            self._listening = await server
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for connection in list(self._connections):
            connection.close(1001, "the embedded server stops")
        if self._listening is not None:
            await self._listening.close()
            self._listening = None
        if self._tasks is not None:
            tasks, self._tasks = self._tasks, None
            # The tasks do not fail, so the body's exception can be raised without a group.
            await tasks.__aexit__(None, None, None)

    async def serve_connection(
        self, connection: Connection, *, model: str | None = None, transcribes: bool = False
    ) -> None:
        """Serves one session over an open connection, and returns when the session has ended. `model` is the name of
        the model in the client's URL, or None. If `transcribes` is True, the session is a transcription session.
        """
        session = self._transcription(model) if transcribes else self._conversation(model)
        self._connections.add(connection)
        try:
            await _Session(session, connection, self._voice).run()
        finally:
            self._connections.discard(connection)

    def _transcription(self, model: str | None) -> Transcription:
        self._transcriptions += 1
        sources = self._sources.fork(f"transcription {self._transcriptions}")
        script = self.script or Script()
        return Transcription(
            iter(script.transcribed),
            sources=sources,
            now=asyncio.get_running_loop().time(),
            expires_at=int(sources.now().timestamp() + script.expires_after_s),
            expires_after_s=script.expires_after_s,
            model=model,
        )

    def _conversation(self, model: str | None) -> Conversation:
        loop = asyncio.get_running_loop()
        self._sessions += 1
        sources = self._sources.fork(f"session {self._sessions}")
        script = self.script
        expires_after_s = 3600.0 if script is None else script.expires_after_s
        director = self._director() if self._director is not None else _director(script)
        return Conversation(
            director,
            self._voice,
            sources=sources,
            now=loop.time(),
            expires_at=int(sources.now().timestamp() + expires_after_s),
            expires_after_s=expires_after_s,
            model=model,
            speed=self._speed,
            latency_s=0.3 if script is None else script.latency_s,
        )

    async def _handle(self, connection: WebSocketConnection, request: Request) -> None:
        await self.serve_connection(connection, **_wanted(request.path))

    async def _connect(self, url: str, headers: Mapping[str, str]) -> Connection:
        """Opens a connection in memory. This method is the `transport` of `model_config`."""
        if self._tasks is None:
            raise RuntimeError("The embedded server takes connections only within `async with`.")
        near, far = memory_pair(faults=self._faults, reverse_faults=self._faults)
        self._tasks.create_task(self._guarded(far, url))
        return near

    async def _guarded(self, connection: Connection, url: str) -> None:
        # As in the WebSocket server: a session that fails is closed and reported, and the others continue.
        try:
            await self.serve_connection(connection, **_wanted(url))
        except Exception as error:  # noqa: BLE001
            connection.close(1011, "internal error")
            context = {"message": "A session of the embedded server failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def _check_clips(self) -> None:
        if self.script is not None:
            replies = [self.script.greeting, self.script.otherwise, *(turn.answer for turn in self.script.turns)]
            for reply in replies:
                if reply is not None and reply.clip is not None:
                    self._voice.speech(reply.say, reply.clip)


class _Session:
    """One session on one connection: passes messages to the conversation and the outbox to the connection, with
    one timer.
    """

    def __init__(self, conversation: Conversation | Transcription, connection: Connection, voice: Voice) -> None:
        self._conversation = conversation
        self._connection = connection
        self._voice = voice
        self._loop = asyncio.get_running_loop()
        self._timer = DeadlineTimer(self._on_time)
        self._tasks = asyncio.TaskGroup()
        self._running: asyncio.Task[object] | None = None
        self._over = False

    async def run(self) -> None:
        try:
            async with self._tasks as tasks:
                self._flush()
                self._running = tasks.create_task(self._connection.run(self._on_message))
        finally:
            self._over = True
            self._timer.cancel()

    def _on_message(self, message: str | bytes) -> None:
        self._conversation.receive(message, self._loop.time())
        self._flush()

    def _on_time(self, now: float) -> None:
        self._conversation.run(now)
        self._flush()

    def _flush(self) -> None:
        conversation = self._conversation
        if conversation.outbox:
            for action in conversation.outbox:
                if isinstance(action, str):
                    self._connection.send(action)
                else:
                    self._hang_up(action)
            conversation.outbox.clear()
        while conversation.wanted_speech:
            self._tasks.create_task(self._prepare(conversation.wanted_speech.pop(0)))
        if not self._over:
            self._timer.set(conversation.next_due)

    def _hang_up(self, action: HangUp) -> None:
        self._over = True
        self._timer.cancel()
        if action.code != 1006:
            self._connection.close(action.code, action.reason)
        elif self._running is not None:
            self._running.cancel()

    async def _prepare(self, text: str) -> None:
        await asyncio.to_thread(self._voice.prepare, text)
        if not self._over:
            self._conversation.speech_is_ready(self._loop.time())
            self._flush()


def _director(script: Script | None) -> Director:
    return Improviser() if script is None else ScriptDirector(script)


@cache
def _voice(synthesise: bool) -> Voice:
    """Returns the voice of the process. All sessions share the rendered speech."""
    return Voice(synthesise=synthesise)


def _find_script(script: Script | str | Path | None) -> Script | None:
    if script is None or isinstance(script, Script):
        return script
    if isinstance(script, str) and script.isidentifier() and not Path(script).exists():
        try:
            return builtin_script(script)
        except FileNotFoundError:
            pass
    return load_script(script)


def _only_realtime(request: Request) -> Response | None:
    if urlsplit(request.path).path == _PATH:
        return None
    body = f"The embedded realtime server answers at {_PATH} only.\n".encode()
    headers = Headers([("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close")])
    return Response(HTTPStatus.NOT_FOUND, HTTPStatus.NOT_FOUND.phrase, headers, body)


class _Wanted(TypedDict):
    """The session that a client requests by its URL."""

    model: str | None
    transcribes: bool


def _wanted(url: str) -> _Wanted:
    query = parse_qs(urlsplit(url).query)
    return _Wanted(model=query.get("model", [None])[0], transcribes=query.get("intent") == ["transcription"])
