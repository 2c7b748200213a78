"""Sent again: a dispatch whose flow run broke before it could be claimed gets another one, less and less often."""

from __future__ import annotations

from datetime import datetime
from enum import Enum, auto

from ocs.timing import timing


class Sending(Enum):
    """What becomes of it."""

    AGAIN = auto()
    LATER = auto()
    NEVER = auto()


def sending(ready: datetime, sent: datetime, now: datetime) -> Sending:
    """Decide for one that could run since `ready`, and whose last flow run was made at `sent`.

    With pauses that double it gets some ten flow runs: what breaks each of them will break the next one, too.
    """
    if sent - ready > timing().republish_limit:
        return Sending.NEVER
    return Sending.AGAIN if now - sent >= max(timing().republish_first, sent - ready) else Sending.LATER
