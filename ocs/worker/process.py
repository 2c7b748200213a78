"""The worker's health check, for what supervises it: a name of Prefect's that is not public, which a test pins."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from typing import Any

from prefect.settings import get_current_settings
from prefect.workers.base import BaseWorker


@contextlib.contextmanager
def health_check(worker: BaseWorker[Any, Any, Any]) -> Generator[None]:
    """Serve Prefect's health check for as long as the context lasts."""
    from prefect.workers.server import build_healthcheck_server

    server = build_healthcheck_server(worker, get_current_settings().worker.query_seconds)
    thread = threading.Thread(target=server.run, name="health check", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
