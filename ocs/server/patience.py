"""Connections: as many as the system gives one process, and none for whoever does not say what it wants."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from ocs.timing import timing

MOST_FILES = 65_536
"""More are of no use to one process, and some programs walk through all that they may have."""


def take_more_files() -> None:
    """Shells usually give 1,024: who reaches the port could hold as many connections, and nobody gets another."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):  # this system has a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Impatient(H11Protocol):
    """Hangs up on a connection whose first request is not there in time."""

    def connection_made(self, transport: Any) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self.loop.call_later(timing().first_request.total_seconds(), self._hang_up)

    def _hang_up(self) -> None:
        transport: asyncio.Transport = self.transport
        # A websocket has another protocol by now.
        if self.cycle is None and transport.get_protocol() is self:  # pyright: ignore[reportUnnecessaryComparison]
            transport.close()
