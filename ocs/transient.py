"""Transient errors: which failures of server and store pass by themselves, and the pauses between attempts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from ocs.errors import StoreAway

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
TOO_MANY_REQUESTS = 429


def pauses() -> Iterator[float]:
    """Seconds between attempts: growing, bounded, without end."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(LONGEST_PAUSE, pause * 2)


def is_transient(error: BaseException) -> bool:
    """Whether it failed for a reason that passes: server or store are away, stalling, restarting or overloaded.

    The one rule for everything that tells "away" from "wrong". Of several failures at once each has to pass.
    """
    import httpx

    match error:
        case BaseExceptionGroup():
            failures = cast("tuple[BaseException, ...]", error.exceptions)
            return all(is_transient(each) for each in failures)
        case httpx.HTTPStatusError():
            return error.response.status_code >= 500 or error.response.status_code == TOO_MANY_REQUESTS
        case _:
            return isinstance(error, StoreAway | httpx.TransportError | TimeoutError)
