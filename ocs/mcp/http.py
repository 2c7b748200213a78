"""The door over HTTP on this machine: whoever calls presents a token with every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from mcp_types import INVALID_REQUEST, ErrorData, JSONRPCError

from ocs.errors import OcsError, Refused, UsageError
from ocs.mcp.caller import Caller, calls
from ocs.mcp.door import Door
from ocs.mcp.stdio import MOST_MESSAGE
from ocs.server.config import is_loopback
from ocs.server.listen import listen
from ocs.service import session
from ocs.service.tokens import Token, of_caller

PATH = "/mcp"
AT_THE_SAME_TIME = 64
"""Connections; more are told to come again."""
WANTED = "No valid token: it is missing, unknown or revoked.  Make one: ocs mcp token create --name NAME --may read"
OTHER_PORT = "Choose another, or let one be chosen: --http 127.0.0.1:0"

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Any, Send], Awaitable[None]]


def address_of(text: str) -> tuple[str, int]:
    """A host of this machine and a port.

    Raises:
        UsageError: it is no such thing.
        Refused: others could reach it.
    """
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise UsageError(f'--http "{text[:100]}": write an address and a port, such as 127.0.0.1:8377')
    if not is_loopback(host):
        hint = "Listen on 127.0.0.1, and let others come through a tunnel or a proxy with TLS."
        raise Refused(f"{host} is not on loopback, and tokens would travel in the clear.", hint=hint)
    return host, int(port)


async def serve(door: Door, host: str, port: int, told: Callable[[str], None]) -> None:
    """Answer until somebody ends it; `told` hears the address.

    Raises:
        Refused: the port is taken.
    """
    listening = listen(host, port, hint=OTHER_PORT)
    inner = door.streamable_http_app(
        streamable_http_path=PATH, json_response=True, stateless_http=True, max_request_body_size=MOST_MESSAGE,
        host="127.0.0.1",
    )  # fmt: skip
    config = uvicorn.Config(
        Guarded(inner), log_level="error", access_log=False, limit_concurrency=AT_THE_SAME_TIME, server_header=False,
        ws="none",
    )  # fmt: skip
    shown = f"[{host}]" if ":" in host else host
    told(f"http://{shown}:{listening.getsockname()[1]}{PATH}")
    await uvicorn.Server(config).serve(sockets=[listening])


class Guarded:
    """Lets a request in whose token is valid now: one that was revoked is refused at its next request."""

    def __init__(self, inner: App) -> None:
        self._inner = inner

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Send) -> None:
        """Answer a request, or say why not."""
        if scope["type"] == "http":
            try:
                token = await _token_of(scope)
            except OcsError as away:
                await _refuse(send, 503, away.message)
                return
            if token is None:
                await _refuse(send, 401, WANTED)
                return
            calls(Caller(token.name, token.scopes))
        await self._inner(scope, receive, send)


async def _token_of(scope: MutableMapping[str, Any]) -> Token | None:
    given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    kind, _, presented = given.decode("latin-1").partition(" ")
    if kind.lower() != "bearer":
        return None
    async with session.store() as store:
        return await of_caller(store, presented.strip())


async def _refuse(send: Send, status: int, why: str) -> None:
    """As an error of the protocol, so that clients show the sentence."""
    error = JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=INVALID_REQUEST, message=why))
    headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": error.model_dump_json().encode()})
