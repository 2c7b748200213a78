"""What openclaw-scheduler has done and has still to do: its ledger, whose keys are digests, and its queue."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from deployments.importing.database import Database
from deployments.importing.foreign import Found, Had, Waiting
from deployments.importing.scheduler_job import moment_of
from ocs.rules.dispatch import DispatchKind
from ocs.rules.occurrences import newest_between
from ocs.spec import Schedule

LEDGER = """
SELECT key, job_id, run_id, claimed_at, expires_at FROM idempotency_ledger
WHERE status = 'claimed' ORDER BY claimed_at DESC LIMIT 10000
"""
QUEUE = """
SELECT q.id, q.job_id, q.dispatch_kind, q.status, q.scheduled_for, q.source_run_id, q.retry_of_run_id,
       j.enabled, r.retry_count
FROM job_dispatch_queue q JOIN jobs j ON j.id = q.job_id LEFT JOIN runs r ON r.id = q.retry_of_run_id
WHERE q.status IN ('pending', 'awaiting_approval') ORDER BY q.scheduled_for LIMIT 10001
"""
KINDS = {"manual": DispatchKind.MANUAL, "chain": DispatchKind.CHAIN, "retry": DispatchKind.RETRY}
SECOND, BEFORE = timedelta(seconds=1), timedelta(days=1)
MOST = 20_000
MOST_RETRIES = 1000
OVERDUE = timedelta(minutes=2)
"""What waits so long past its time is not taken by anybody: that program looks every ten seconds."""
Row = Mapping[str, Any]


def ledger(opened: Database, now: datetime) -> list[Row]:
    """The keys that still stand against a run."""
    if not {"key", "job_id", "run_id", "status", "claimed_at", "expires_at"} <= set(
        opened.columns("idempotency_ledger")
    ):
        return []
    return [row for row in opened.rows(LEDGER) if (ends := moment_of(row["expires_at"])) is not None and ends > now]


def had_by(jobs: Sequence[Found], rows: Sequence[Row]) -> Iterator[Had]:
    """Which occurrences the keys are of. Keys of manual runs and chains come up nowhere else, and are passed over."""
    by_job: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_job.setdefault(str(row["job_id"]), {})[str(row["key"])] = row
    for job in jobs:
        keys = by_job.get(job.source_id)
        if not keys or "schedule" not in job.document:
            continue
        for due in _candidates(job, keys.values()):
            if row := keys.get(key_of(job.source_id, due)):
                claimed, ends = moment_of(row["claimed_at"]), moment_of(row["expires_at"])
                if claimed is not None and ends is not None:
                    yield Had(job.source_id, str(row["run_id"]), due, claimed, ends)


def key_of(source_id: str, due: datetime) -> str:
    """The key of an occurrence in its ledger."""
    return hashlib.sha256(f"{source_id}:{due:%Y-%m-%d %H:%M:%S}".encode()).hexdigest()[:32]


def _candidates(job: Found, rows: Iterable[Row]) -> set[datetime]:
    """The occurrences that any of the keys may be of: what is due is claimed soon after."""
    claimed = [moment for row in rows if (moment := moment_of(row["claimed_at"]))]
    due = {job.standing.due} if job.standing.due else set[datetime]()
    try:
        schedule = Schedule.model_validate(job.document["schedule"])
    except ValueError:  # which is said where the job is settled
        return due
    if schedule.moment is not None or not claimed:
        return due
    try:
        return due | set(newest_between(schedule, min(claimed) - BEFORE, max(claimed) + SECOND, MOST))
    except OverflowError:  # before the first year, or after the last
        return due


def queue(opened: Database, now: datetime) -> Iterator[Waiting]:
    """What has become no run yet: of jobs that are off it never will over there."""
    if "dispatch_kind" not in opened.columns("job_dispatch_queue"):
        return
    for row in opened.rows(QUEUE):
        due, kind = moment_of(row["scheduled_for"]), KINDS.get(str(row["dispatch_kind"]))
        if due is None or kind is None:
            continue
        asked = row["status"] == "awaiting_approval"
        is_taken = (asked or due > now - OVERDUE) and (bool(row["enabled"]) or kind is DispatchKind.MANUAL)
        yield Waiting(
            str(row["id"]),
            str(row["job_id"]),
            kind,
            due,
            is_taken,
            row["source_run_id"],
            row["retry_of_run_id"],
            _count(row["retry_count"]) + 1 if kind is DispatchKind.RETRY else 1,
        )


def _count(given: object) -> int:
    return given if isinstance(given, int) and 0 <= given <= MOST_RETRIES else 0
