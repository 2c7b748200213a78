"""What the worker answers over HTTP: /metrics, /health and /ready. It reads memory only, in threads of its own.

So it answers while the event loop stands still, and says so.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ocs.worker.address import Address
from ocs.worker.wellness import STANDS_STILL, Wellness

AT_ONCE = 16
PATIENCE = 10.0
LONGEST = 20.0
"""Seconds: how long a caller may say nothing, and how long it may take with its request and our answer."""
Answer = tuple[str, str, bytes]
"""Status, type, body."""


class Exposition:
    """The pages, by path."""

    def __init__(self, registry: CollectorRegistry, wellness: Wellness) -> None:
        self._registry = registry
        self._wellness = wellness
        self._pages: dict[str, Callable[[], Answer]] = {
            "/metrics": self._metrics,
            "/health": self._health,
            "/ready": self._ready,
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """A WSGI application."""
        page = (
            self._pages.get(environ.get("PATH_INFO", "")) if environ.get("REQUEST_METHOD") in ("GET", "HEAD") else None
        )
        status, kind, body = page() if page else ("404 Not Found", "text/plain", b"See /metrics, /health, /ready.\n")
        start_response(status, [("Content-Type", kind), ("Cache-Control", "no-store")])
        return [body]

    def _metrics(self) -> Answer:
        return "200 OK", CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def _health(self) -> Answer:
        """Whether the process does anything at all."""
        return _said(() if self._wellness.found.is_fresh else (STANDS_STILL,))

    def _ready(self) -> Answer:
        """Whether it takes runs and all is well; not while it is ending."""
        return _said(self._wellness.against)


@contextlib.contextmanager
def served(address: Address, pages: Exposition) -> Generator[None]:
    """Answer for as long as the context lasts.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    with _Server(address) as server:
        server.set_app(pages)
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Quiet(WSGIRequestHandler):
    """Gives up a caller that says nothing, and writes no log of those that do."""

    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name there
        pass


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each caller, of whom there are so many at most."""

    daemon_threads = True

    def __init__(self, address: Address) -> None:
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        super().__init__((address.host, address.port), _Quiet)

    def server_bind(self) -> None:
        """Without asking a name server who we are."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # there is no thread to be had
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One that sends a byte now and then is given up too: it must not keep a slot from those who ask."""
        ends = threading.Timer(LONGEST, _hang_up, (request,))
        ends.daemon = True
        ends.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            ends.cancel()
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that goes away is nothing to write about."""


def _hang_up(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def _said(against: Sequence[str]) -> Answer:
    status = "503 Service Unavailable" if against else "200 OK"
    return status, "application/json", json.dumps({"ok": not against, "why": [*against]}).encode() + b"\n"
