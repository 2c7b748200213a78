"""HTTP connections to gateways: one pool for each event loop, shared by all runs in it."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

import httpx

KEPT_OPEN = 20
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()


def connections() -> httpx.AsyncClient:
    """The client of this event loop, made at its first use.

    A waiting turn holds a connection for minutes, so their number has no bound here: the worker's limit is one.
    """
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None or client.is_closed:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=KEPT_OPEN)
        client = _clients[loop] = httpx.AsyncClient(limits=limits)
    return client


async def close_connections() -> None:
    """Close what this event loop has open."""
    client = _clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.aclose()
