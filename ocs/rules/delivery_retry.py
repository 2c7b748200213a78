"""Delivery retry: when a delivery that failed is sent again, and when it is given up."""

from __future__ import annotations

from datetime import timedelta

from ocs.timing import timing

MOST_ATTEMPTS = 12
"""With the pauses between them somewhat over five hours."""
JITTER = 0.1


def pause_after(attempts: int, *, retryable: bool, retry_after: timedelta | None, spread: float) -> timedelta | None:
    """How long to wait after so many failed attempts; None when the delivery is given up.

    `retryable` says that the failure may pass, `retry_after` what the other side asked for. `spread` in [-1, 1] is
    drawn by the caller, so that many deliveries do not return to an overloaded receiver at once.
    """
    if not retryable or attempts >= MOST_ATTEMPTS:
        return None
    times = timing()
    pause = min(times.delivery_retry_first * 2 ** min(attempts - 1, 16), times.delivery_retry_cap)
    asked = min(retry_after or timedelta(0), times.delivery_retry_cap)
    return max(pause * (1 + JITTER * spread), asked)
