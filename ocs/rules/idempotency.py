"""Idempotency: which key stands for a dispatch, and how long the ledger remembers it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from ocs.rules.dispatch import Dispatch, DispatchKind

if TYPE_CHECKING:
    from ocs.spec import Job

KEY_LENGTH = 32
RESULT_HASH_LENGTH = 16
REMEMBERED = timedelta(days=7)
REMEMBERED_ONE_SHOT = timedelta(hours=24)


def key_for(job_id: str, dispatch: Dispatch, flow_run_id: UUID) -> str:
    """The key of a dispatch: two dispatches of one occurrence have the same.

    A retry's key comes from the run it retries, a child's from the parent's run; a manual run is a
    scope of its own, known by its dispatch, or by its flow run when somebody made it in Prefect's UI.
    """
    match dispatch.kind:
        case DispatchKind.SCHEDULED:
            scope = f"{job_id}:{dispatch.scheduled_for.astimezone(UTC).isoformat()}"
        case DispatchKind.CHAIN | DispatchKind.QUEUED:
            scope = f"chain:{dispatch.source_run or dispatch.id}:{job_id}"
        case DispatchKind.RETRY if dispatch.id is None:
            # A person pressed Retry in the UI: their decision stands beside the job's own retries.
            scope = f"run_now:{job_id}:{dispatch.retry_of}"
        case DispatchKind.RETRY | DispatchKind.REPLAY:
            scope = f"chain:{dispatch.retry_of or dispatch.id}:{job_id}"
        case DispatchKind.MANUAL:
            scope = f"run_now:{job_id}:{dispatch.id or flow_run_id}"
    return hashlib.sha256(scope.encode()).hexdigest()[:KEY_LENGTH]


def expires_at(job: Job, claimed_at: datetime) -> datetime:
    """Until when a claimed key blocks its scope: 24 h for one-shots, else 7 days."""
    one_shot = job.schedule is not None and job.schedule.at is not None
    return claimed_at + (REMEMBERED_ONE_SHOT if one_shot else REMEMBERED)


def result_hash(content: str) -> str | None:
    """A fingerprint of what a run produced; None when it produced nothing."""
    return hashlib.sha256(content.encode()).hexdigest()[:RESULT_HASH_LENGTH] if content else None
