"""Sent again: a dispatch whose flow run broke before it could be claimed gets another one, less and less often."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum, auto

FIRST_PAUSE = timedelta(minutes=2)
GIVEN_UP_AFTER = timedelta(days=1)
"""With pauses that double, some ten flow runs: what breaks each of them will break the next one, too."""


class Sending(Enum):
    """What becomes of it."""

    AGAIN = auto()
    LATER = auto()
    NEVER = auto()


def sending(ready: datetime, sent: datetime, now: datetime) -> Sending:
    """Decide for one that could run since `ready`, and whose last flow run was made at `sent`."""
    if sent - ready > GIVEN_UP_AFTER:
        return Sending.NEVER
    return Sending.AGAIN if now - sent >= max(FIRST_PAUSE, sent - ready) else Sending.LATER
