"""A relay between a client and a server, which can go away, hang, stall, or answer that the server has failed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import Enum, auto

CHUNK = 65536
FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Mood(Enum):
    """What the relay does with a connection."""

    PASS_ON = auto()
    REFUSE = auto()
    HANG = auto()
    FAIL = auto()
    STALL = auto()


class Relay:
    """Bytes go both ways, until its mood changes: then open connections end, and new ones meet the new mood.

    When it stalls nothing ends and nothing passes, as when the network swallows everything; later all goes on.
    `troubled` counts the connections that met another mood than PASS_ON.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._mood = Mood.PASS_ON
        self._open: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0
        self.troubled = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listening.close()
            await self._end_all()

    async def turn(self, mood: Mood) -> None:
        """Change the mood; what is under way ends at once, unless it stalls or has stalled."""
        stalls = Mood.STALL in (mood, self._mood)
        self._mood = mood
        self.troubled = 0
        if mood is Mood.STALL:
            self._flows.clear()
        else:
            self._flows.set()
        if not stalls:
            await self._end_all()

    async def _end_all(self) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._mood is Mood.PASS_ON:
                await self._pass_on(reader, writer)
                return
            self.troubled += 1
            if self._mood is Mood.STALL:
                await self._flows.wait()
                await self._pass_on(reader, writer)
                return
            if self._mood is not Mood.REFUSE:
                await reader.read(CHUNK)
            if self._mood is Mood.HANG:
                await asyncio.Event().wait()
            if self._mood is Mood.FAIL:
                writer.write(FAILED)
                await writer.drain()
        except OSError:
            pass  # either end went away: so does the other
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._server)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._copy(reader, server_writer))
                both.create_task(self._copy(server_reader, writer))
        except* OSError:
            pass
        finally:
            server_writer.close()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(CHUNK):
            await self._flows.wait()
            sink.write(chunk)
            await sink.drain()
        sink.close()
