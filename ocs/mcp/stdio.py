"""Standard input and output as the protocol's two directions: a message a line, and none longer than one may be."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, cast

from anyio.to_thread import run_sync
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, ErrorData, JSONRPCError

MOST_MESSAGE = 2 * 2**20
"""Bytes of a message, over standard input as over HTTP."""
TOO_LONG = f"The message is longer than {MOST_MESSAGE // 2**20} MiB; nothing of it was read."
_HEAD = 1000
_ID = re.compile(rb'\{(?:\s*"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*,)*\s*"id"\s*:\s*(\d{1,15}|"[^"\\]{1,100}")')
"""Where a request's id stands when it stands before what may be long."""


class Writes(Protocol):
    """Where messages to the caller go."""

    async def send(self, item: SessionMessage, /) -> None:
        """Send one."""
        ...


class Lines:
    """The lines of standard input. One that is too long is refused instead of being kept in memory."""

    def __init__(self) -> None:
        # Whatever reads standard input by itself, such as a program that is started, must not read messages.
        self._wire = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, sys.stdin.fileno())
        os.close(nothing)
        self.answers: Writes | None = None

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self._line():
            if len(line) > MOST_MESSAGE:
                await self._pass_over()
                await self._refuse(line[:_HEAD])
            else:
                yield line.decode(errors="replace")

    async def _pass_over(self) -> None:
        """The rest of a line that is too long."""
        while (more := await self._line()) and not more.endswith(b"\n"):
            pass

    async def _line(self) -> bytes:
        return await run_sync(partial(self._wire.readline, MOST_MESSAGE + 1), abandon_on_cancel=True)

    async def _refuse(self, head: bytes) -> None:
        if self.answers is None:
            return
        found = _ID.match(head)
        given = found[1].decode(errors="replace") if found else None
        request_id = None if given is None else given.strip('"') if given.startswith('"') else int(given)
        error = JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=INVALID_REQUEST, message=TOO_LONG))
        await self.answers.send(SessionMessage(error))


@asynccontextmanager
async def streams() -> AsyncGenerator[tuple[Any, Any]]:
    """What the server reads and writes; whatever else is printed meanwhile goes to standard error."""
    lines = Lines()
    async with stdio_server(stdin=cast("Any", lines)) as (reads, writes):
        lines.answers = writes
        yield reads, writes
