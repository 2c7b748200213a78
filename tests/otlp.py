"""A receiver of traces: the OTLP protocol over HTTP, as far as tests look."""

from __future__ import annotations

import contextlib
import gzip
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE = 60


@dataclass
class Collector:
    """What has arrived."""

    address: str = ""
    received: list[Span] = field(default_factory=list)
    schemas: set[str] = field(default_factory=set)

    def spans(self, count: int) -> list[Span]:
        """All of them, once there are so many."""
        deadline = time.monotonic() + PATIENCE
        while len(self.received) < count:
            assert time.monotonic() < deadline, [span.name for span in self.received]
            time.sleep(0.02)
        return list(self.received)

    def of(self, run_id: UUID, *names: str) -> dict[str, Span]:
        """The spans of a run's trace by their names, once those are among them."""
        deadline = time.monotonic() + PATIENCE
        while not set(names) <= (found := {span.name: span for span in self._of(run_id)}).keys():
            assert time.monotonic() < deadline, list(found)
            time.sleep(0.02)
        return found

    def _of(self, run_id: UUID) -> list[Span]:
        return [span for span in list(self.received) if span.trace_id == run_id.bytes]

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.schemas.add(scope.schema_url)
                self.received += scope.spans


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens as long as the context lasts."""
    collector = Collector()

    class Receives(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receives) as server:
        collector.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
