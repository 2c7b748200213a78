"""Lifecycle: what becomes of a job after its runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from ocs.rules.dispatch import RunStatus

if TYPE_CHECKING:
    from ocs.spec import Job

ENDED = (RunStatus.OK, RunStatus.ERROR, RunStatus.TIMEOUT)


class Fate(StrEnum):
    """Whether a job stays as it is."""

    KEEP = "keep"
    DISABLE = "disable"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What the store knows of a job since it was rolled out.

    `busy`: a run executes or waits. `had_its_moment`: the one occurrence of a one-shot has its record. `last_status`
    and `last_finished_at` are None before the first end.
    """

    busy: bool = False
    had_its_moment: bool = False
    last_status: RunStatus | None = None
    last_finished_at: datetime | None = None


def fate(job: Job, past: Past, *, enabled: bool, now: datetime) -> Fate:
    """Decide. History, and children that were already started, are not concerned.

    A one-shot ends disabled after its final run, however that went, or is removed with `delete_after_run`. Any other
    job with `delete_after_run` is removed after a run that went well, and with `ttl` so long after the last run of a
    disabled job.
    """
    if past.busy:
        return Fate.KEEP
    if job.schedule is not None and job.schedule.at is not None and past.had_its_moment:
        if job.lifecycle.delete_after_run:
            return Fate.REMOVE
        if enabled:
            return Fate.DISABLE
    elif job.lifecycle.delete_after_run and past.last_status is RunStatus.OK:
        return Fate.REMOVE
    return Fate.REMOVE if _outlived(job, past, enabled, now) else Fate.KEEP


def _outlived(job: Job, past: Past, enabled: bool, now: datetime) -> bool:
    if job.lifecycle.ttl is None or enabled or past.last_finished_at is None or past.last_status not in ENDED:
        return False
    return now - past.last_finished_at > job.lifecycle.ttl
