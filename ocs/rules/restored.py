"""Restored: what a store that came out of a backup cannot know: what ran after the backup, before all was lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.spec import Job


@dataclass(frozen=True, slots=True)
class Restored:
    """The store is that of `backed_up_at`; until `lost_at` the scheduler may have gone on, and left no trace of it."""

    backed_up_at: datetime
    lost_at: datetime


def why_unknown(job: Job, dispatch: Dispatch, restored: Restored | None, decided_at: datetime | None) -> str | None:
    """Why it must not run now: it may have run already; None when it may run.

    The same rule as for a worker that was killed: what is at-least-once is begun again, anything else is not. What a
    person has started or approved since (`decided_at`) is their decision.
    """
    if restored is None or job.run.guarantee == "at-least-once" or dispatch.scheduled_for > restored.lost_at:
        return None
    is_pressed = dispatch.kind is DispatchKind.RETRY and dispatch.id is None
    if is_pressed or (decided_at is not None and decided_at > restored.lost_at):
        return None
    return (
        "Nobody knows whether it ran: the store was restored from a backup of"
        f" {restored.backed_up_at:%Y-%m-%d %H:%M:%S} UTC, and run.guarantee is at-most-once."
    )
