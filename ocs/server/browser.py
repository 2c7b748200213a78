"""What a web page may do with a server that asks for no password: its own pages all, any other page nothing.

A page that creates a flow run runs a command on this machine, and a browser lets every page call loopback addresses:
plainly, over websockets, or under a name of the page's own that resolves to loopback.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocs.server.config import is_loopback

STAY_HERE = b"connect-src 'self' ws: wss:"
"""As shipped, Prefect's UI calls a company that counts its users, analytics switched off or not."""


class OwnPagesOnly:
    """Refuses requests of other pages, and under other names than this machine's own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] not in ("http", "websocket") or _is_own(Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "another page's"})
        else:
            refused = PlainTextResponse("This server answers its own pages only, under localhost.\n", 403)
            await refused(scope, receive, send)


class NoCallsElsewhere:
    """Tells the browser that the pages of this server talk to this server alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the rule beside the answer."""

        async def with_rule(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", STAY_HERE)]
            await send(message)

        await self._app(scope, receive, with_rule if scope["type"] == "http" else send)


def _is_own(headers: Headers) -> bool:
    host = headers.get("host", "")
    origin = headers.get("origin")
    return is_loopback(_name(host)) and (origin is None or urlsplit(origin).netloc == host)


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
