"""The smallest server of the Realtime protocol: it sends the messages that a test gives it, and stores the client's
messages.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Self

from realtime_core.connection import Connection
from realtime_core.connection.memory import MemoryConnection, memory_pair
from realtime_core.model import DONE, Done, RealtimeModelConfig, RealtimeModelListener
from realtime_core.model_events import RealtimeModelEvent
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from realtime_core.sources import Sources


class Recorder(RealtimeModelListener):
    """Stores the events of the model, raw events separately."""

    def __init__(self) -> None:
        self.events: list[RealtimeModelEvent] = []
        self.raw: list[Mapping[str, Any]] = []

    def on_event(self, event: RealtimeModelEvent) -> Done:
        if event.type == "raw_server_event":
            self.raw.append(event.data)
        else:
            self.events.append(event)
        return DONE

    def types(self) -> list[str]:
        return [each.type for each in self.events]

    def of(self, *types: str) -> list[Any]:
        return [each for each in self.events if each.type in types]

    def one(self, type: str) -> Any:
        (event,) = self.of(type)
        return event


class Peer:
    """Serves one session after another. `on_client` may answer each client event. By default the peer accepts the
    session.
    """

    def __init__(self, *, created: Mapping[str, Any] | None = None, accepts: bool = True) -> None:
        self.created = {"id": "sess", **(created or {})}
        self.accepts = accepts
        self.sent: list[dict[str, Any]] = []
        self.sessions: list[list[dict[str, Any]]] = []
        self.connection: MemoryConnection | None = None
        self.opened = 0
        self.refusals: list[Exception] = []
        self.requested: list[tuple[str, Mapping[str, str]]] = []
        self.on_client: Callable[[dict[str, Any]], None] = self.accept
        self._tasks: set[asyncio.Task[Any]] = set()

    async def transport(self, url: str, headers: Mapping[str, str]) -> Connection:
        self.requested.append((url, headers))
        if self.refusals:
            raise self.refusals.pop(0)
        self.opened += 1
        ours, theirs = memory_pair()
        self.connection = theirs
        self.sent = []
        self.sessions.append(self.sent)
        task = asyncio.create_task(theirs.run(self._receive))
        self._tasks.add(task)
        self.emit("session.created", session=self.created)
        return ours

    def _receive(self, message: str | bytes) -> None:
        event = json.loads(message)
        self.sent.append(event)
        self.on_client(event)

    def accept(self, event: dict[str, Any]) -> None:
        if event["type"] == "session.update" and self.accepts:
            session = {**self.created, **event["session"]}
            self.emit("session.updated", session=session)

    def emit(self, type: str, **fields: Any) -> None:
        assert self.connection is not None
        self.connection.send(json.dumps({"type": type, "event_id": "event_x", **fields}))

    def error(self, code: str, message: str = "no", *, event_id: str | None = None, **fields: Any) -> None:
        body = {"type": "invalid_request_error", "code": code, "message": message, "event_id": event_id, **fields}
        self.emit("error", error=body)

    def respond(self, response_id: str = "resp_1", **fields: Any) -> None:
        self.emit("response.created", response={"id": response_id, "status": "in_progress", **fields})

    def audio(self, ms: float, item_id: str = "item_a", response_id: str = "resp_1", content_index: int = 0) -> None:
        delta = base64.b64encode(bytes(2 * round(ms * 24))).decode()
        part = {"response_id": response_id, "item_id": item_id, "content_index": content_index, "output_index": 0}
        self.emit("response.output_audio.delta", **part, delta=delta)

    def audio_done(self, item_id: str = "item_a", response_id: str = "resp_1") -> None:
        self.emit("response.output_audio.done", response_id=response_id, item_id=item_id, content_index=0)

    def done(self, response_id: str = "resp_1", status: str = "completed", **fields: Any) -> None:
        self.emit("response.done", response={"id": response_id, "status": status, **fields})

    def commands(self, *but: str) -> list[dict[str, Any]]:
        """Returns the client's events, without the first configuration and without event ids."""
        return [
            {key: value for key, value in each.items() if key != "event_id"}
            for each in self.sent
            if each["type"] not in ("session.update", *but)
        ]

    def types(self) -> list[str]:
        return [each["type"] for each in self.sent]

    @property
    def config(self) -> RealtimeModelConfig:
        return {"transport": self.transport}


class Talk:
    """A model that is connected to a peer, and the events that the model emitted."""

    def __init__(self, peer: Peer | None = None, *, options: Mapping[str, Any] | None = None, **model: Any) -> None:
        self.peer = peer or Peer()
        self.options: Any = {**self.peer.config, **(options or {})}
        self.model = OpenAIRealtimeWebSocketModel(sources=Sources(1), **model)
        self.heard = Recorder()
        self.model.add_listener(self.heard)

    async def __aenter__(self) -> Self:
        await self.model.connect(self.options)
        self.heard.events.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.model.close()

    def send(self, event: Any) -> None:
        assert self.model.send_event(event) is DONE


async def settle(seconds: float = 0.001) -> None:
    """Lets the messages that were sent arrive."""
    await asyncio.sleep(seconds)
