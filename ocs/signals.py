"""Signals: what a process does on some of them for as long as a context lasts."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Generator


@contextlib.contextmanager
def on_signals(call: Callable[[], None], *signums: signal.Signals) -> Generator[None]:
    """Call `call` in the event loop on each of these signals; the former handlers come back at the end.

    Without effect outside the main thread, where signals cannot be handled.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    previous = {signum: signal.getsignal(signum) for signum in signums}
    for signum in signums:
        loop.add_signal_handler(signum, call)
    try:
        yield
    finally:
        for signum in signums:
            loop.remove_signal_handler(signum)
            signal.signal(signum, previous[signum])
