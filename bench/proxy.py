"""A TCP proxy that counts API requests: what a worker costs is seen from outside, the same way for any worker."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

REQUEST = re.compile(rb"^(GET|POST|PATCH|PUT|DELETE) (/\S*) HTTP/1\.1\r\n")
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
CHUNK = 65536


class CountingProxy:
    """Passes bytes on, websockets included, and counts requests by method and path."""

    def __init__(self, api_url: str) -> None:
        server = urlsplit(api_url)
        self._server = (server.hostname, server.port)
        self._path = server.path
        self._passing: set[asyncio.Task[None]] = set()
        self.requests: Counter[str] = Counter()
        self.api_url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[CountingProxy]:
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.api_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}{self._path}"
        try:
            yield self
        finally:
            listening.close()
            for passing in self._passing:
                passing.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._server)
        except OSError:
            writer.close()
            return
        for source, sink, count in ((reader, server_writer, True), (server_reader, writer, False)):
            task = asyncio.create_task(self._pass_on(source, sink, count))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, count: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await source.read(CHUNK):
                if count and (request := REQUEST.match(chunk)):
                    path = ID.sub("ID", request[2].decode().removeprefix(self._path).partition("?")[0])
                    self.requests[f"{request[1].decode()} {path}"] += 1
                sink.write(chunk)
                await sink.drain()
        sink.close()
