"""A port for what is started, ended and started again on it."""

from __future__ import annotations

import random
import socket

BELOW_WHAT_CALLERS_GET = range(20_000, 32_000)
"""Whoever connects somewhere gets a port from above these, of Linux: none of ours is taken so while nobody listens."""


def free_port() -> int:
    """One on which nobody listens now."""
    while True:
        port = random.choice(BELOW_WHAT_CALLERS_GET)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
