"""Republish: a dispatch whose flow run broke before a claim gets another one, less and less often."""

from __future__ import annotations

from datetime import datetime
from enum import Enum, auto

from ocs.timing import timing


class Republish(Enum):
    """Whether publish makes another flow run for it."""

    AGAIN = auto()
    LATER = auto()
    NEVER = auto()


def republish(ready: datetime, sent: datetime, now: datetime) -> Republish:
    """Decide for a dispatch that could run since `ready`, and whose last flow run was made at `sent`.

    With pauses that double it gets some ten flow runs: what breaks each of them will break the next one, too.
    """
    if sent - ready > timing().republish_limit:
        return Republish.NEVER
    return Republish.AGAIN if now - sent >= max(timing().republish_first, sent - ready) else Republish.LATER
