"""Signing in to the UI by a link: the page that it opens gives the browser the password, once.

Prefect's UI keeps the password in the browser's local storage, where only pages of this server read it, and otherwise
asks for it. The link carries a code instead, behind `#`, so that neither a log nor a proxy sees it. The process list
shows a link that somebody opens: the code is good once, for a few minutes, and for the server's own user only.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import time

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ocs import peer

PAGE = "/ocs/sign-in"
CODES = "/ocs/sign-in/codes"
GOOD_FOR = 300.0
SECRET = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
AGAIN = "This link has been used, or is too old. Another one: ocs ui\n"
ANOTHER_USER = "This link is for the user whose server this is. Others need the password itself.\n"
HTML = """<!doctype html>
<meta charset="utf-8">
<title>Signing in</title>
<p id="said">Signing in.</p>
<noscript>Prefect's UI needs JavaScript.</noscript>
<script>
  const code = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  fetch(location.pathname, {method: "POST", headers: {"X-Code": code}}).then(async (answer) => {
    const said = await answer.text();
    if (answer.ok) {
      localStorage.setItem("prefect-password", said);
      location.replace("/");
    } else {
      document.getElementById("said").textContent = said;
    }
  });
</script>
"""


class SignIn:
    """Answers what stands in links for signing in; the rest is the application's."""

    def __init__(self, app: ASGIApp, password: str) -> None:
        self._app = app
        self._password = base64.b64encode(password.encode()).decode()
        self._codes: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "http" and scope["path"] in (PAGE, CODES):
            await self._answer(Request(scope))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        if request.method == "POST":
            return self._new_code(request) if request.url.path == CODES else self._redeem(request)
        return HTMLResponse(HTML, headers=SECRET)

    def _new_code(self, request: Request) -> Response:
        said = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(said, f"Basic {self._password}".encode()):
            return PlainTextResponse("Unauthorized\n", 401)
        now = time.monotonic()
        self._codes = {code: until for code, until in self._codes.items() if until > now}
        code = secrets.token_urlsafe(32)
        self._codes[code] = now + GOOD_FOR
        return PlainTextResponse(code, headers=SECRET)

    def _redeem(self, request: Request) -> Response:
        code = request.headers.get("x-code", "")
        if self._codes.get(code, 0.0) < time.monotonic():
            return PlainTextResponse(AGAIN, 403)
        client, server = request.scope.get("client"), request.scope.get("server")
        if client and server and peer.user_of(client, server) not in (None, os.geteuid()):
            return PlainTextResponse(ANOTHER_USER, 403)
        del self._codes[code]
        return PlainTextResponse(self._password, headers=SECRET)
