"""A small real HTTP server in the place of the gateway, for the faults that the real one does not make on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

CHAT = "/v1/chat/completions"
INVOKE = "/tools/invoke"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Connection:
    """The other end of one request."""

    def __init__(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes | str) -> None:
        self._writer.write(data.encode() if isinstance(data, str) else data)
        await self._writer.drain()

    async def head(self, status: int, kind: str, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Status", f"Content-Type: {kind}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join(lines) + "\r\n\r\n")

    async def json(self, status: int, document: Any, **headers: str) -> None:
        await self.head(status, "application/json", **headers)
        await self.send(json.dumps(document))

    async def stream(self) -> None:
        await self.head(200, "text/event-stream")

    async def say(self, text: str) -> None:
        await self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})

    async def event(self, document: Any) -> None:
        await self.send(f"data: {json.dumps(document)}\n\n")

    async def done(self) -> None:
        await self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        await self.send("data: [DONE]\n\n")

    async def call(self, wishes: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """End the reply with calls of tools, in pieces, as the gateway does."""
        for at, (name, arguments) in enumerate(wishes):
            made = {"index": at, "id": f"call-{at}", "type": "function", "function": {"name": name, "arguments": ""}}
            for piece in (made, {"index": at, "function": {"arguments": json.dumps(arguments)}}):
                await self.event({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]})
        await self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
        await self.send("data: [DONE]\n\n")

    async def is_left(self) -> None:
        """Wait until the client has gone."""
        while await self._reader.read(1024):
            pass


Answer = Callable[[Connection], Awaitable[None]]


async def well(connection: Connection) -> None:
    """What a gateway in good health answers."""
    if connection.request.path == "/health":
        await connection.json(200, {"ok": True, "status": "live"})
        return
    if connection.request.path == INVOKE:
        await connection.json(200, {"ok": True, "result": {"details": {"tasks": [], "active": []}}})
        return
    await connection.stream()
    await connection.say("All ")
    await connection.say("well.")
    await connection.done()


@dataclass
class Server:
    url: str
    answer: Answer = well
    requests: list[Request] = field(default_factory=list)

    def turns(self) -> list[Request]:
        return [request for request in self.requests if request.path == CHAT]

    def invoked(self, tool: str) -> list[Request]:
        """What was asked of one of the gateway's tools."""
        return [request for request in self.requests if request.path == INVOKE and request.body["tool"] == tool]


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[Server]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            request = await _request(reader)
            server.requests.append(request)
            await server.answer(Connection(request, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", port)
    server = Server(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    try:
        yield server
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    length = int(headers.get("content-length", 0))
    body = await reader.readexactly(length) if length else b""
    return Request(method, path, headers, json.loads(body) if body else None)
