"""What a worker wants of its process: signals that drain it, and a health check for whoever supervises it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from typing import Any

from prefect.settings import get_current_settings
from prefect.workers.base import BaseWorker


@contextlib.contextmanager
def on_stop_signals(stop: Callable[[], None]) -> Generator[None]:
    """Call `stop` on each SIGTERM and SIGINT for as long as the context lasts, in place of Prefect's handlers.

    Without effect outside the main thread, where signals cannot be handled.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    previous = {signum: signal.getsignal(signum) for signum in signals}
    for signum in signals:
        loop.add_signal_handler(signum, stop)
    try:
        yield
    finally:
        for signum in signals:
            loop.remove_signal_handler(signum)
            signal.signal(signum, previous[signum])


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
