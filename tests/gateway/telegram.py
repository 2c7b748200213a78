"""A Bot API server of our own behind the real gateway: a chat that keeps what arrives, as its reader would see it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.parser import BytesParser
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl

LONGEST_TEXT = 4096
LONGEST_CAPTION = 1024
LONG_POLL = 1.0
"""Seconds; the gateway asks for half a minute, and ending it would wait for that."""
BOT = {"id": 77, "is_bot": True, "first_name": "Brief", "username": "brief_bot"}
Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Arrived:
    """One message in a chat: what its reader sees, how that was written, and the file that came with it."""

    chat: str
    text: str
    source: str = ""
    name: str = ""
    file: bytes | None = None


@dataclass(frozen=True)
class Refusal:
    """What the Bot API answers instead of sending."""

    status: int
    description: str
    retry_after: int | None = None


@dataclass
class Telegram:
    """`refusing` says what the next sends are answered with; None lets one through."""

    port: int = 0
    token: str = "77:token-of-the-test-bot"
    chats: frozenset[int] = frozenset({4711})
    arrived: list[Arrived] = field(default_factory=list[Arrived])
    refusing: list[Refusal | None] = field(default_factory=list[Refusal | None])
    _updates: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _server: ThreadingHTTPServer | None = None
    _connections: set[socket.socket] = field(default_factory=set[socket.socket])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def say(self, chat: int, text: str) -> None:
        """Somebody writes to the bot."""
        person = {"id": chat, "is_bot": False, "first_name": "Ann", "username": "ann"}
        number = len(self._updates) + 1
        message = {"message_id": 9000 + number, "date": int(time.time()), "chat": _chat(chat), "from": person}
        self._updates.append({"update_id": number, "message": {**message, "text": text}})

    def updates(self, since: int) -> list[dict[str, Any]]:
        return [each for each in self._updates if each["update_id"] >= since]

    def come(self) -> None:
        """Listen, on the same port as before."""
        telegram = self

        class Handler(_Handler):
            def setup(self) -> None:
                super().setup()
                self.telegram = telegram
                telegram._connections.add(self.connection)

        server = self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        self.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def go(self) -> None:
        """Be away: nobody listens, and no connection is left."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()


class _Reader(HTMLParser):
    """The text of a message that is written in Telegram's HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.open: list[str] = []

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise ValueError(f"unexpected end tag {tag}")


def _seen(text: str, parse_mode: str | None) -> str:
    """What a reader sees of a text.

    Raises:
        ValueError: it is no HTML that Telegram takes.
    """
    if parse_mode is None:
        return text.strip()
    reader = _Reader()
    reader.feed(text)
    reader.close()
    if reader.open:
        raise ValueError("unclosed tag")
    return reader.text.strip()


def _chat(chat: int) -> dict[str, Any]:
    return {"id": chat, "type": "private", "first_name": "Ann"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    telegram: Telegram

    def do_POST(self) -> None:
        fields, files = self._read()
        _, token, method = self.path.partition("?")[0].split("/")
        with suppress(ConnectionError):
            if token != f"bot{self.telegram.token}":
                self._refuse(Refusal(401, "Unauthorized"))
            elif method in ("sendMessage", "sendPhoto", "sendDocument", "sendAnimation"):
                self._send(fields, files, caption=method != "sendMessage")
            elif method == "getChat" and int(fields["chat_id"]) not in self.telegram.chats:
                self._refuse(Refusal(400, "Bad Request: chat not found"))
            else:
                self._answer(self._about(method, fields))

    def do_GET(self) -> None:
        self.do_POST()

    def _read(self) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
        """The fields of a request, and the names and contents of its files."""
        body = self._chunks() if self.headers.get("Transfer-Encoding") == "chunked" else self._whole()
        kind = self.headers.get("Content-Type") or ""
        if kind.startswith("application/json"):
            return json.loads(body), []
        if not kind.startswith("multipart/form-data"):
            return dict(parse_qsl(body.decode())), []
        fields: dict[str, Any] = {}
        files: list[tuple[str, bytes]] = []
        whole = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        for part in cast("list[Any]", whole.get_payload()):
            content = cast("bytes", part.get_payload(decode=True))
            if part.get_filename() is not None:
                files.append((part.get_filename(), content))
            else:
                fields[part.get_param("name", header="content-disposition")] = content.decode()
        return fields, files

    def _whole(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, fields: Fields, files: list[tuple[str, bytes]], *, caption: bool) -> None:
        if self.telegram.refusing and (refusal := self.telegram.refusing.pop(0)):
            self._refuse(refusal)
            return
        source = str(fields.get("caption" if caption else "text", ""))
        try:
            text = _seen(source, fields.get("parse_mode"))
        except ValueError as wrong:
            self._refuse(Refusal(400, f"Bad Request: can't parse entities: {wrong}"))
            return
        if len(text.encode("utf-16-le")) // 2 > (LONGEST_CAPTION if caption else LONGEST_TEXT):
            self._refuse(Refusal(400, "Bad Request: message is too long"))
            return
        name, content = files[0] if files else ("", None)
        self.telegram.arrived.append(Arrived(str(fields["chat_id"]), text, source, name, content))
        chat = _chat(int(fields["chat_id"]))
        number = len(self.telegram.arrived)
        self._answer({"message_id": number, "date": int(time.time()), "chat": chat, "from": BOT, "text": text})

    def _about(self, method: str, fields: Fields) -> Any:
        match method:
            case "getMe":
                return {**BOT, "can_join_groups": True, "can_read_all_group_messages": False}
            case "getUpdates":
                return self._updates(int(fields.get("offset") or 0), float(fields.get("timeout") or 0))
            case "getWebhookInfo":
                return {"url": "", "has_custom_certificate": False, "pending_update_count": 0}
            case "getMyCommands":
                return []
            case "getChat":
                return {**_chat(int(fields["chat_id"])), "accent_color_id": 0}
            case _:
                return True

    def _updates(self, since: int, patience: float) -> list[dict[str, Any]]:
        deadline = time.monotonic() + min(LONG_POLL, patience)
        while not (found := self.telegram.updates(since)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def _refuse(self, refusal: Refusal) -> None:
        said: dict[str, Any] = {"ok": False, "error_code": refusal.status, "description": refusal.description}
        if refusal.retry_after is not None:
            said["parameters"] = {"retry_after": refusal.retry_after}
        self._respond(refusal.status, said)

    def _answer(self, result: Any) -> None:
        self._respond(200, {"ok": True, "result": result})

    def _respond(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Say nothing."""


@contextmanager
def telegram_server() -> Iterator[Telegram]:
    telegram = Telegram()
    telegram.come()
    try:
        yield telegram
    finally:
        telegram.go()
