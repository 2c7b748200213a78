"""Patience: which failures of a server pass by themselves, and how long to wait between attempts."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
TOO_MANY_REQUESTS = 429


def pauses() -> Iterator[float]:
    """Seconds between attempts: growing, bounded, without end."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(LONGEST_PAUSE, pause * 2)


def is_outage(error: BaseException) -> bool:
    """Whether a request failed for a reason that passes: the server is away, restarting or overloaded."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == TOO_MANY_REQUESTS
    return isinstance(error, httpx.TransportError | TimeoutError)
