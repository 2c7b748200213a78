"""Parent-death watch: a child ends when its parent does, which holds the other end of its standard input."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from datetime import timedelta

VARIABLE = "OCS_LIFELINE"
"""Set for children whose parent holds the other end of their standard input."""


def end_with_parent(patience: timedelta | None) -> None:
    """Send this process SIGTERM when its input ends, and end it for good `patience` later; None waits for its end.

    Without effect when the parent holds no end of it.
    """
    if os.environ.pop(VARIABLE, None) is None:
        return
    threading.Thread(target=_watch, args=(patience,), daemon=True, name="parent-death watch").start()


def _watch(patience: timedelta | None) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    if patience is not None:
        time.sleep(patience.total_seconds())
        os._exit(1)
