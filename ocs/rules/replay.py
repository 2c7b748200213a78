"""Replay: is a run whose worker died begun again?"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ocs.rules.retry import Again, GiveUp

if TYPE_CHECKING:
    from ocs.spec import Run


def after_crash(run: Run, *, attempt: int, replays: int, queue_free: int) -> Again | GiveUp:
    """Decide what follows a run that was cut off after `replays` earlier replays.

    A replay is the same attempt once more: it uses up none of the job's retries. It is bounded, and an
    at-most-once job is never begun again, because what it did before it was cut off cannot be known.
    """
    if run.guarantee == "at-most-once":
        return GiveUp("It is not begun again, because run.guarantee is at-most-once.")
    if replays >= run.max_replays:
        return GiveUp(f"It is not begun again: all {run.max_replays} replays are used.")
    if queue_free < 1:
        return GiveUp("It is not begun again: the job's queue is full.")
    return Again(attempt, timedelta(0))
